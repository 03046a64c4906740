"""Bench the refusals: three adapters that must not be served, each for its own reason.

    make bench NAME=gate-smoke [ARGS="--quick"]

(a) trained at 50 × the planned learning rate, (b) trained long without replay, so that it gains
recall and forgets language, (c) trained on another base: the same shape, other weights. Prints
progress, then one JSON line.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from gguf import GGUFReader  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool import Nightschool, examples  # noqa: E402
from nightschool.children.child import Child  # noqa: E402
from nightschool.errors import NightschoolError, Refused  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from nightschool.registry import pointer  # noqa: E402


def learner(home: Home) -> Child:
    child = Child("nightschool.cycle", [str(home.root)], log=home.logs / "learner.log")
    child.wait_ready()
    return child


def learn(home: Home, plan: dict[str, Any], report: Report) -> dict[str, Any]:
    """One night with these settings; a night that ends in an error gives its class and words."""
    child = learner(home)
    try:
        result: dict[str, Any] = child.call("learn", {"plan": plan})
    except NightschoolError as error:
        return {"outcome": error.code, "message": error.message, "scorecard": None}
    finally:
        child.stop()
    for figure in (result.get("scorecard") or {}).get("figures", ()):
        report.say(f"  {figure['name']}: {figure['value']:g} {figure['bound']} ok={figure['ok']} "
                   f"{figure['note']}")  # fmt: skip
    return result


def said(result: dict[str, Any], *words: str) -> bool:
    return any(word in result["message"] for word in words)


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    seconds = 40.0 if options.quick else 240.0
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder) / "home").create()
        with Nightschool(home.root) as door:
            door.watch(examples.vault_dir())
            planned = door.learn(dry_run=True)
            rate = planned.plan["learning_rate"] if planned.plan else 2e-3

        report.say(f"(a) learning rate {rate:g} × 50")
        result = learn(home, {"learning_rate": rate * 50, "budget_s": seconds / 2}, report)
        report.say(f"    {result['outcome']}: {result['message']}")
        report.exactly("50 × the learning rate is refused",
                       float(result["outcome"] in ("rejected", "TrainError")), 1, 1)  # fmt: skip
        right = said(result, "forgets", "drifts", "degenerate", "worse", "became")
        report.exactly("… for what it did", float(right), 1, 1)

        report.say("(b) long, without replay, at full scale only")
        plan = {"replay": 0.0, "kl": 0.0, "kl_text": 0.0, "passes": 60, "budget_s": seconds,
                "scales": [1.0]}  # fmt: skip
        result = learn(home, plan, report)
        report.say(f"    {result['outcome']}: {result['message']}")
        figures = {f["name"]: f for f in (result["scorecard"] or {}).get("figures", ())}
        gained = figures.get("gain: closed-book recall, unseen phrasing", {"ok": False})
        report.exactly("without replay recall is gained", float(bool(gained["ok"])), 1, 1)
        report.exactly("… and it is refused", float(result["outcome"] == "rejected"), 1, 1)
        report.exactly("… because it forgets language",
                       float(said(result, "forgets general language")), 1, 1)  # fmt: skip

        report.say("(c) fitted to another base")
        foreign = trained_on_another_base(home, seconds / 4, report)
        child = learner(home)
        try:
            child.call("examine", {"directory": str(foreign)})
            reason = ""
        except Refused as error:
            reason = error.message
        finally:
            child.stop()
        report.say(f"    {reason}")
        report.exactly("another base is refused", float("another base model" in reason), 1, 1)
        report.exactly("the base is still served", float(pointer.read(home).version), 0, 1)
    report.finish()


def trained_on_another_base(home: Home, seconds: float, report: Report) -> Path:
    """The candidate of a night on a copy of the starter whose weights differ; its base is then
    put away again."""
    with Nightschool(home.root) as door:
        shipped = door.model()
        other = home.root / "other.gguf"
        shutil.copyfile(shipped.path, other)
        for tensor in GGUFReader(other, "r+").tensors:
            if tensor.name.endswith("ffn_up.weight"):
                tensor.data[...] = tensor.data * 1.02
        added = door.add_model(str(other), name="other")
        report.exactly("the other base is another", float(added.sha256 != shipped.sha256), 1, 1)
        door.use_model("other")
    before = set(home.runs.iterdir())
    result = learn(home, {"budget_s": seconds, "scales": [1.0]}, report)
    report.say(f"    on the other base: {result['outcome']}: {result['message']}")
    (run,) = set(home.runs.iterdir()) - before
    named = json.loads((run / "candidate" / "manifest.json").read_text(encoding="utf-8"))
    report.exactly("it was trained on the other base",
                   float(named["base_sha"] == added.sha256), 1, 1)  # fmt: skip
    with Nightschool(home.root) as door:
        door.use_model(shipped.name)
    return run / "candidate"


if __name__ == "__main__":
    main()
