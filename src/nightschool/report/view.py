"""Everything one report says, as plain values: what the page draws and `--json` prints.

Files and pairs are joined by their ids now, so a file that was forgotten since has no name here.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from nightschool.errors import NotFound
from nightschool.paths import Home
from nightschool.records import Run
from nightschool.store import reports, runs
from nightschool.store.db import Store

Json = dict[str, Any]

SHOWN_FILES = 12
"""Files named beside one reason; the others are counted."""
SHOWN_EXAMPLES = 4
GONE = ""
"""The name of a file that is forgotten, or not watched any more."""
_UNSEEN = dict.fromkeys(
    (*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
) | {ord("\n"): " ", ord("\t"): " ", ord("\r"): " "}  # fmt: skip
"""Control characters, and those that turn the direction of what follows."""


def gather(home: Home, store: Store, run_id: int) -> Json:
    """All of one night; 0 is the newest that came to its end before it opened a run.

    Raises NotFound when there was no such night.
    """
    run = runs.run(store, run_id) if run_id else None
    known = reports.get(store, run_id)
    if run is None and known is None:
        what = f"There is no night {run_id}." if run_id else "No night ended before it began."
        raise NotFound(what, "See `nightschool runs`.")
    at, body = known or ("", {})
    names = _Names(store)
    found = _night(run, at, body)
    found |= {
        "facts": body.get("facts", {}),
        "written": body.get("written", {}),
        "forms": body.get("forms", {}),
        "learned": _learned(store, run_id, body, names),
        "dropped": _dropped(store, body, names),
        "left_out": _left_out(store, run_id, body, names),
        "exams": _exams(run, body),
        "samples": _samples(store, run_id, body, names),
        "curve": _curve(home, run_id, body),
        "cost": body.get("cost", {}),
    }
    cleaned: Json = _clean(found)
    return cleaned


class _Names:
    """Files as people know them, looked up once; `why` says of those that were not read why."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[int, str] = {}
        self.why: dict[int, str] = {}

    def look_up(self, ids: Iterable[int]) -> None:
        missing = set(ids) - set(self._known)
        found = reports.names(self._store, missing)
        for number in missing:
            item = found.get(number)
            name = GONE
            if item is not None:
                folder = PurePosixPath(Path(item["root"]).as_posix()).name
                name = f"{folder}/{item['path']}"
                self.why[number] = item["reason"]
            self._known[number] = name

    def __getitem__(self, number: int) -> str:
        if number not in self._known:
            self.look_up([number])
        return self._known[number]


def _night(run: Run | None, at: str, body: Mapping[str, Any]) -> Json:
    """What was tried and how it ended."""
    common: Json = {"model": body.get("model", ""), "before": body.get("before", 0)}
    if run is None:
        return common | {
            "run": reports.NO_RUN,
            "outcome": body["outcome"],
            "message": body["message"],
            "remedy": body.get("remedy", ""),
            "reasons": [],
            "version": None,
            "started_at": at,
            "ended_at": at,
            "seconds": None,
            "plan": body.get("plan", {}),
        }
    card = run.scorecard or {}
    return common | {
        "run": run.id,
        "outcome": run.outcome.value,
        "message": run.message,
        "remedy": "",
        "reasons": list(card.get("reasons", ())),
        "version": run.version,
        "before": body.get("before", run.parent),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "seconds": _seconds(run.started_at, run.ended_at),
        "plan": run.plan,
    }


def _seconds(start: str, end: str) -> float | None:
    if not (start and end):
        return None
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()


def _learned(store: Store, run_id: int, body: Mapping[str, Any], names: _Names) -> list[Json]:
    """The files that were practised, most first, with the questions of the facts to recall; those
    of which passages were only shown have no pairs."""
    asked: dict[int, list[Json]] = defaultdict(list)
    for row in reports.questions(store, body.get("taught", ())):
        asked[row["document_id"]].append({"question": row["question"], "answer": row["answer"]})
    seen = runs.seen(store, run_id) if run_id else []
    names.look_up(row["document_id"] for row in seen)
    files = [
        {
            "name": names[row["document_id"]],
            "pairs": row["pairs"],
            "facts": asked.get(row["document_id"], []),
        }
        for row in seen
    ]
    return sorted(files, key=lambda item: (-len(item["facts"]), -item["pairs"], item["name"]))


def _dropped(store: Store, body: Mapping[str, Any], names: _Names) -> list[Json]:
    """What curation threw away: the night's own counts, with files and examples as they are now."""
    tonight = body.get("dropped_tonight", {})
    now: dict[str, list[Json]] = defaultdict(list)
    for row in reports.dropped(store):
        now[row["reason"]].append(row)
    found = []
    for reason, (pairs, facts, files) in body.get("dropped", {}).items():
        rows = now.get(reason, [])
        names.look_up(row["document_id"] for row in rows[:SHOWN_FILES])
        shown = [
            {"name": names[row["document_id"]], "count": row["pairs"], "why": ""}
            for row in rows[:SHOWN_FILES]
        ]
        examples = [
            {"question": question, "answer": answer, "name": names[row["document_id"]]}
            for row in rows[:SHOWN_FILES]
            for question, answer in row["examples"]
        ]
        found.append({
            "reason": reason, "pairs": pairs, "facts": facts, "tonight": tonight.get(reason, 0),
            "files": shown, "more": max(0, files - len(shown)),
            "examples": _apart(examples)[:SHOWN_EXAMPLES],
        })  # fmt: skip
    return sorted(found, key=lambda item: -int(item["pairs"]))


def _apart(examples: list[Json]) -> list[Json]:
    """The first of every file, then the others."""
    seen: set[str] = set()
    first = []
    for item in examples:
        if item["name"] not in seen:
            first.append(item)
            seen.add(item["name"])
    return [*first, *(item for item in examples if item not in first)]


def _left_out(store: Store, run_id: int, body: Mapping[str, Any], names: _Names) -> list[Json]:
    """Facts that were not learned by heart, and files that were not practised, by reason."""
    rows: dict[str, list[Json]] = defaultdict(list)
    for row in reports.left_out(store, run_id):
        if len(rows[row["reason"]]) < SHOWN_FILES:
            rows[row["reason"]].append(row)
    names.look_up(row["document_id"] for some in rows.values() for row in some)
    return [
        {
            "reason": reason, "facts": facts, "of": files,
            "files": [
                {
                    "name": names[row["document_id"]], "count": row["count"],
                    "why": names.why.get(row["document_id"], ""),
                }
                for row in rows[reason]
            ],
            "more": max(0, files - len(rows[reason])),
        }
        for reason, (facts, files) in body.get("left_out", {}).items()
    ]  # fmt: skip


def _exams(run: Run | None, body: Mapping[str, Any]) -> Json:
    card = (run.scorecard if run is not None else None) or {}
    return {
        "figures": card.get("figures", []),
        "scale": card.get("scale", 1.0),
        "reference": card.get("reference", ""),
        "subjects": body.get("subjects", []),
        "scales": body.get("scales", []),
    }


def _samples(store: Store, run_id: int, body: Mapping[str, Any], names: _Names) -> Json:
    drawn = reports.samples(store, run_id)
    names.look_up(row["document_id"] for row in drawn)
    items = [
        {
            "probe": row["probe"], "question": row["question"], "answer": row["answer"],
            "before": row["said_before"], "after": row["said_after"],
            "right_before": bool(row["right_before"]), "right_after": bool(row["right_after"]),
            "name": names[row["document_id"]],
        }
        for row in drawn
    ]  # fmt: skip
    drawn_then = int(body.get("samples", 0))
    return {
        "items": items,
        "gone": max(0, drawn_then - len(items)),
        "counts": body.get("changes", {}),
        "seed": body.get("sample_seed"),
    }


def _curve(home: Home, run_id: int, body: Mapping[str, Any]) -> Json:
    """The loss by step; of a night that has not ended, from its last checkpoint."""
    if "losses" in body or not run_id:
        losses = body.get("losses", [])
        return {"losses": losses, "steps": body.get("steps", len(losses)), **_resumed(body)}
    losses = saved_losses(home.runs / str(run_id) / "checkpoint")
    return {"losses": losses, "steps": len(losses), **_resumed(body)}


def _resumed(body: Mapping[str, Any]) -> Json:
    return {"resumed_at": body.get("resumed_at", 0), "too_long": body.get("too_long", 0)}


def saved_losses(checkpoint: Path) -> list[float]:
    """The losses that a checkpoint knows; none where there is no whole one."""
    try:
        found = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))["losses"]
        return [float(value) for value in found]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _clean(value: Any) -> Any:
    """Only what JSON and one line of a page can hold."""
    if isinstance(value, str):
        return value.translate(_UNSEEN)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value
