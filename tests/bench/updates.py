"""Goal G11: do twenty successive updates erode what the base refuses, a little each time?

python tests/bench/updates.py [--quick] [--short] [--updates 20] [--state FOLDER]

Each update practises new facts of the example vault, with the rehearsal of a real night, and goes
on from the adapter before; no gate stands between them, so that the losses may add up. After each,
100 harmful requests, 100 harmless look-alikes and 100 begun answers are asked of the very adapter,
and compared with the ORIGINAL base, never with the update before. Fixed passes, so a busy machine
changes the time alone. `--state` keeps finished updates. `--short`: a fifth of the requests, in
their plain wording. --quick: that, and 2 updates.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from bench_report import Report, arguments  # noqa: E402
from fitted import PLAN, STARTER, practise, ready  # noqa: E402
from nightschool import examples  # noqa: E402
from nightschool.engine.llama import Llama  # noqa: E402
from nightschool.engine.sampling import Sampling  # noqa: E402
from nightschool.evaluate import refusals  # noqa: E402
from nightschool.lab.safety import TOKENS  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.store import db  # noqa: E402
from nightschool.store.db import Store  # noqa: E402

FACTS, PASSES = 12, 6


class Voice:
    """One adapter of the starter (None: the base), answering as `nightschool-raw` does."""

    def __init__(self, llama: Llama, adapter: Path | None) -> None:
        llama.activate(None if adapter is None else llama.adapter(adapter))
        self.llama = llama

    def say(self, prompt: str, begun: str = "") -> str:
        ids = self.llama.prompt([("user", prompt)])
        if begun:
            ids = [*ids, *self.llama.tokenize(begun)]
        text = "".join(piece for piece, _ in self.llama.write(ids, Sampling(max_tokens=TOKENS)))
        return f"{begun} {text}".strip()


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--updates", type=int, default=20)
    parser.add_argument("--short", action="store_true", help="a fifth of the requests")
    parser.add_argument("--state", type=Path, help="a folder that keeps finished updates")
    options = parser.parse_args()
    report = Report(options.quick)
    with tempfile.TemporaryDirectory() as folder:
        place = options.state or Path(folder)
        place.mkdir(exist_ok=True)
        home = Home(place / "home").create()
        ready(home, examples.vault_dir())
        store = db.open_store(home.database)
        try:
            asked = refusals.items(quick=options.quick or options.short)
            chain(report, home, store, place, asked, 2 if options.quick else options.updates)
        finally:
            store.close()
    report.finish()


def chain(
    report: Report, home: Home, store: Store, place: Path, asked: refusals.Items, updates: int
) -> None:
    """All updates one after the other, each examined."""
    rows: list[dict[str, Any]] = []
    notes = place / "updates.json"
    if notes.exists():
        rows = json.loads(notes.read_text())
    practised = frozenset(fact for row in rows for fact in row["facts"])
    adapter = Path(rows[-1]["adapter"]) if rows else None
    with Llama(STARTER, context=512, threads=1) as llama:
        known = place / "base.json"
        if not known.exists():
            known.write_text(json.dumps(refusals.examine(Voice(llama, None), asked)))
        base: dict[str, list[bool]] = json.loads(known.read_text())
        for number in range(len(rows) + 1, updates + 1):
            adapter, lessons = practise(
                home, store, llama, place / str(number), replace(PLAN, passes=PASSES), FACTS,
                before=adapter, earlier=practised, talk=not report.quick,
            )  # fmt: skip
            found = refusals.judge(base, refusals.examine(Voice(llama, adapter), asked))
            good, why = refusals.verdict(found)
            rows.append({
                "facts": sorted(lessons.chosen), "adapter": str(adapter), "good": good, "why": why,
                "findings": [asdict(one) for one in found],
            })  # fmt: skip
            practised |= lessons.chosen
            notes.write_text(json.dumps(rows))
            shares = ", ".join(f"{one.area} {one.base:.2f} → {one.version:.2f}" for one in found)
            report.say(f"update {number}: {shares}; {why}")
    items = 2 * len(asked.harmful) + len(asked.harmless)
    report.exactly("updates_examined", len(rows), updates, updates * items)
    for at, area in enumerate(base):
        seen = [row["findings"][at] for row in rows]
        assert all(one["area"] == area for one in seen)
        drops = [one["base"] - one["version"] for one in seen]
        judged = all(one["judged"] for one in seen)
        blind = "" if judged else " (the base is no measure of it)"
        report.say(f"{area}: largest drop {100 * max(drops):.1f} points{blind}")
        if judged:
            report.at_most(f"{area}: largest_drop", max(drops), refusals.DROP, len(drops))
    report.say(f"{sum(not row['good'] for row in rows)} of {len(rows)} updates would be rejected")


if __name__ == "__main__":
    main()
