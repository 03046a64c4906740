"""Bench the gate itself: noise floor, false promotions, power, and how many probes it takes.

    make bench NAME=gate [ARGS="--quick"] [ARGS="--parts candidates --state DIR"]

1. A/A: the shipped base is examined twice, with other batch sizes and threads; what differs is
   noise, not learning. 2. The gate's own `judge` on simulated nights, at the share of discordant
   items in the score cards of docs/experiments.md (or --discordant): equal candidates, candidates
   that gained and forgot, candidates that gained 5 points. 3. Repeated tries on one material,
   with and without spending α. Prints progress, then one JSON line.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]

from sabotage import KINDS, candidates  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, config, examples  # noqa: E402
from nightschool.engine import llama  # noqa: E402
from nightschool.engine.examinee import Examinee, Remembered  # noqa: E402
from nightschool.engine.runtime import Runtime  # noqa: E402
from nightschool.evaluate import power, probes  # noqa: E402
from nightschool.evaluate.gate import Sheet, judge  # noqa: E402
from nightschool.exams import POLICY  # noqa: E402
from nightschool.pairs import synthesize  # noqa: E402
from nightschool.pairs.rules import RuleWriter  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.records import Verdict  # noqa: E402
from nightschool.store import db  # noqa: E402
from nightschool.syllabus import syllabus  # noqa: E402

PARTS = ("simulation", "noise", "candidates")
ITEMS = {"served": 100, "recall": 113, "reading": 400, "abstain": 150}
BASE = {"served": 0.70, "recall": 0.0, "reading": 0.42, "abstain": 0.87}
DISCORDANT = {"served": 0.015, "recall": 0.0, "reading": 0.035, "abstain": 0.035}
"""Of nights on the example vault: items, the base's figures, and the shares of items that changed
sides, from the intervals of the score cards (psi = n · ((high − low) / 3.92)²)."""
LATER = {"known": 0.45, "discordant": 0.20}
"""A later night: what the incumbent recalls, and an assumed discordance of two trainings."""


def quiet(stage: str, done: int, total: int) -> None:
    return None


def sheet_of_base(home: Home, threads: int, block: int, names: list[str]) -> Sheet:
    """The base's answers, computed in blocks of `block` tokens by `threads` threads."""
    store = db.open_store(home.database)
    kept, llama.BLOCK = llama.BLOCK, block
    try:
        settings = config.load(None)
        runtime = Runtime(home, store, _with_threads(settings, threads))
        try:
            parts = Remembered(runtime)
            synthesize.write_pairs(store, [RuleWriter()], parts, parts)
            material = syllabus(store, set(), 40).material
            subject = Examinee(runtime, "the base", None, 1.0, parts.answering())
            return probes.examine(subject, material, quiet, names)
        finally:
            runtime.close()
    finally:
        llama.BLOCK = kept
        store.close()


def _with_threads(settings: config.Config, threads: int) -> config.Config:
    from dataclasses import replace

    return replace(settings, engine=replace(settings.engine, threads=threads))


def noise_floor(report: Report, folder: Path) -> None:
    """Two exams of one model; the differences are what the machine alone does."""
    home = Home(folder / "home").create()
    with Nightschool(home.root) as door:
        door.watch(examples.vault_dir())
    names = ["general", "abstain"] if report.quick else list(probes.PROBES)
    first = sheet_of_base(home, 1, 128, names)
    second = sheet_of_base(home, 2, 48, names)
    for probe, marks in first.right.items():
        if marks:
            changed = sum(a != b for a, b in zip(marks, second.right[probe], strict=True))
            report.at_most(f"A/A: {probe}, items that change sides",
                           changed / len(marks), 0.02, len(marks))  # fmt: skip
    moved = [abs(a - b) / max(n, 1) for (a, n), (b, _) in
             zip(first.general, second.general, strict=True)]  # fmt: skip
    report.at_most(
        "A/A: general text, largest |ΔNLL|, nats a token", float(max(moved)), 0.005, len(moved)
    )


def night(generator: np.random.Generator, psi: dict[str, float], **gains: float) -> Sheet:
    """A candidate whose true gain on each probe is given, at the probe's share of discordance."""
    right = {}
    for probe, n in ITEMS.items():
        base = marks(probe)
        gain = gains.get(probe, 0.0)
        share = max(psi[probe], abs(gain))
        known = sum(base) / n
        up, down = (share + gain) / 2, (share - gain) / 2
        flip = generator.random(n)
        right[probe] = [
            bool(f >= down / max(known, 1e-9)) if b else bool(f < up / max(1 - known, 1e-9))
            for b, f in zip(base, flip, strict=True)
        ]
    drift = gains.get("general", 0.0)
    general = [(300.0 + i + 100 * (drift + generator.normal(0, 0.01)), 100) for i in range(72)]
    return Sheet("the candidate", right, general, [0.02] * 64)


def marks(probe: str) -> list[bool]:
    n = ITEMS[probe]
    return [i < round(BASE[probe] * n) for i in range(n)]


def said(psi: dict[str, float], **gains: float) -> float:
    """The share of held nights without a shown gain that say what they could not have seen."""
    base = Sheet("the base", {p: marks(p) for p in ITEMS}, [(300.0 + i, 100) for i in range(72)])
    generator = np.random.default_rng(13)
    held = told = 0
    for _ in range(100):
        card = judge(night(generator, psi, **gains), base, None, POLICY)
        if any("No gain is shown" in reason for reason in card.reasons):
            held += 1
            told += any("would show it 90 times" in reason for reason in card.reasons)
    return told / max(held, 1)


def promoted(report: Report, nights: int, psi: dict[str, float], **gains: float) -> float:
    """The share of simulated nights that the gate promotes."""
    base = Sheet("the base", {p: marks(p) for p in ITEMS}, [(300.0 + i, 100) for i in range(72)])
    generator = np.random.default_rng(7)
    good = sum(
        judge(night(generator, psi, **gains), base, None, POLICY).verdict is Verdict.PROMOTE
        for _ in range(nights)
    )
    report.say(f"gains {gains or 'none'}: {good} of {nights} promoted")
    return float(good / nights)


def repeated(generator: np.random.Generator, psi: float, spend: bool, tries: int = 7) -> bool:
    """Whether one of `tries` equal candidates shows a gain on the same 100 questions."""
    for attempt in range(tries):
        alpha = power.spent(POLICY.alpha, attempt) if spend else POLICY.alpha
        discordant = int(generator.binomial(ITEMS["served"], psi))
        gained = int(generator.binomial(discordant, 0.5))
        if gained >= power.critical(discordant, alpha):
            return True
    return False


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--discordant", type=float, help="one share for every probe")
    parser.add_argument("--no-exams", action="store_true", help="the simulation alone")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seeds", type=int, default=5, help="candidates of each kind")
    parser.add_argument("--placebos", type=int, default=20)
    parser.add_argument("--passes", type=int, default=12, help="of a candidate over its facts")
    parser.add_argument("--state", type=Path, help="keep and reuse trained candidates")
    options = parser.parse_args()
    report = Report(options.quick)
    if options.no_exams:
        options.parts = ["simulation"]
    if options.quick:
        options.kinds, options.seeds, options.placebos, options.passes = (
            ["over_trained", "canary"], 1, 0, 4)  # fmt: skip
    if "simulation" in options.parts:
        simulated(report, options.discordant)
    with tempfile.TemporaryDirectory() as folder:
        if "noise" in options.parts:
            noise_floor(report, Path(folder))
        if "candidates" in options.parts:
            candidates(report, options.state or Path(folder) / "candidates", tuple(options.kinds),
                       options.seeds, options.placebos, options.passes)  # fmt: skip
    report.finish()


def simulated(report: Report, discordant: float | None) -> None:
    """False promotions, power and repeated tries, at the measured discordance."""
    psi = dict(DISCORDANT)
    if discordant:
        psi = dict.fromkeys(psi, discordant)
    nights = 300 if report.quick else 2000
    for title, known, recall in (
        ("first", 0.0, 0.0),
        ("later", LATER["known"], LATER["discordant"]),
    ):
        BASE["recall"], psi["recall"] = known, discordant or recall
        report.at_most(f"{title} night: equal candidates promoted",
                       promoted(report, nights, psi), 0.025, nights)  # fmt: skip
        few = nights // 8
        for probe in ("reading", "abstain"):
            lost = promoted(report, few, psi, recall=0.3, **{probe: -0.10})
            report.at_most(f"{title} night: recall +30, {probe} −10 points: promoted",
                           lost, 0.025, few)  # fmt: skip
        lost = promoted(report, few, psi, recall=0.3, general=0.08)
        report.at_most(f"{title} night: recall +30, ΔNLL +0.08: promoted", lost, 0.025, few)
        chance = power.power(ITEMS["recall"], max(recall, 0.05), 0.05, POLICY.alpha / 2)
        wanted = power.needed(max(recall, 0.05), 0.05, POLICY.alpha / 2)
        report.say(
            f"{title} night: {ITEMS['recall']} recall items show a true +5 points with "
            f"P = {chance:.2f} (promoted: {promoted(report, few, psi, recall=0.05):.2f}); "
            f"P = .90 takes {wanted}"
        )
    report.exactly("held nights say what they could not see", said(psi), 1, 100)
    for share in (0.05, 0.10, 0.15, 0.20):
        report.say(f"discordant {share:.2f}: {power.needed(share, 0.05, 0.025)} probes for .90")
    weeks = 400 if report.quick else 4000
    for spend in (False, True):
        generator = np.random.default_rng(11)
        shown = sum(repeated(generator, 0.15, spend) for _ in range(weeks)) / weeks
        name = "spending α" if spend else "the same α each time"
        if spend:
            report.at_most(f"7 tries, {name}: false gain shown", shown, POLICY.alpha, weeks)
        else:
            report.say(f"7 tries, {name}: a false gain in {100 * shown:.1f} % of the weeks")


if __name__ == "__main__":
    main()
