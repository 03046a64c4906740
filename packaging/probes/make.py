"""Write the generated probe and rehearsal files, or compare them: `python make.py [--check]`.

`--check` makes every file again in memory and exits with 1 if a committed file differs. The files
written by hand (general, safety, chat) are not touched.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from notes import Item, Writer

SOURCE = Path(__file__).resolve().parents[2] / "src" / "nightschool"
PROBES = SOURCE / "evaluate" / "probes" / "data"
REHEARSAL = SOURCE / "pairs" / "data"


def several(count: int, make: Callable[[], Item], seen: set[str]) -> list[Item]:
    """`count` items whose question was not asked before."""
    out: list[Item] = []
    while len(out) < count:
        item = make()
        if item.question not in seen:
            seen.add(item.question)
            out.append(item)
    return out


def lines(prefix: str, items: list[Item]) -> str:
    """JSON lines with ids counted from 1."""
    rows = (
        {
            "id": f"{prefix}-{number:04d}",
            "context": item.context,
            "question": item.question,
            "answer": item.answer,
        }
        for number, item in enumerate(items, 1)
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def files() -> dict[Path, str]:
    """Path and content of each generated file."""
    # Probe items of seeds 1 and 2 were looked at while the night's settings were chosen; these not.
    probe, rehearsal = Writer("P", seed=3), Writer("R", seed=1)
    asked: set[str] = set()
    reading = several(400, probe.answerable, asked)
    abstain = several(90, probe.unanswerable, asked) + several(60, probe.unknowable, asked)
    practice = several(520, rehearsal.answerable, asked)
    practice += several(320, rehearsal.unanswerable, asked)
    practice += several(360, rehearsal.unknowable, asked)
    screened = several(240, probe.answerable, asked)
    silent = several(144, probe.unanswerable, asked) + several(96, probe.unknowable, asked)
    rehearsal.random.shuffle(practice)
    return {
        PROBES / "reading.jsonl": lines("reading", reading),
        PROBES / "abstain.jsonl": lines("abstain", abstain),
        PROBES / "screen.jsonl": lines("screen-reading", screened)
        + lines("screen-abstain", silent),
        REHEARSAL / "rehearsal.jsonl": lines("rehearsal", practice),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    check = bool(parser.parse_args().check)
    status = 0
    for path, text in files().items():
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
        elif not path.is_file() or path.read_bytes() != text.encode():
            print(f"{path} differs from what make.py writes; run make.py and commit the result.")
            status = 1
    return status


if __name__ == "__main__":
    raise SystemExit(main())
