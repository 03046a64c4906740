"""`eval stream`: many nights on invented notes, several ways of learning beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from nightschool.cli.door import school
from nightschool.cli.evals import end, group, measured
from nightschool.cli.progress import Bar
from nightschool.cli.show import say, table
from nightschool.errors import UsageError

STREAM = "nightschool.lab.stream.run"
ARMS = "base,rag,naive,ours,joint"
RECALL, BWT, DRIFT, LEAD = 0.80, -0.05, 0.05, 0.20
"""What ten nights of twenty facts must show (docs/method.md); fewer nights are only shown."""
WHOLE = 10


def register(app: typer.Typer) -> None:
    group.command("stream")(stream)


def stream(
    context: typer.Context,
    nights: Annotated[int, typer.Option(min=1, help="How many nights.")] = WHOLE,
    facts: Annotated[int, typer.Option(min=4, help="Invented facts a night.")] = 20,
    arms: Annotated[str, typer.Option(help="Ways to learn, with commas.")] = ARMS,
    seed: Annotated[int, typer.Option(help="Seed of notes and practice.")] = 1,
    minutes: Annotated[float, typer.Option(help="Bound of one night's practice.")] = 60.0,
    passes: Annotated[int, typer.Option(min=1, help="Passes of one night's practice.")] = 12,
    changed: Annotated[int, typer.Option(min=0, help="Facts that change a night.")] = 1,
    contradicted: Annotated[
        int, typer.Option(min=0, help="Facts a night that another note contradicts.")
    ] = 1,
    deleted: Annotated[int, typer.Option(min=0, help="Notes deleted every fourth night.")] = 1,
    state: Annotated[
        Path | None, typer.Option(help="Where all is kept, to go on there later.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON only.")] = False,
) -> None:
    """Recall of every night's facts after each night: ACC, BWT, FWT, forgetting, and what it costs.

    Arms: base; rag (search alone); naive (goes on from yesterday, no replay, no gate); ours; joint
    (all facts at once). The same command goes on where it was broken off. The last line is one JSON
    object; exit 1 when ten nights or more of `ours` miss a bound.
    """
    if minutes <= 0:
        raise UsageError("A night of no minutes teaches nothing.", "Give --minutes above 0.")
    wanted = [arm.strip() for arm in arms.split(",") if arm.strip()]
    unknown = ", ".join(sorted(set(wanted) - set(ARMS.split(","))))
    if unknown or not wanted:
        raise UsageError(f"There is no arm {unknown!r}.", f"Arms are {ARMS}.")
    with school(context) as door, Bar() as bar:
        name = f"stream-{nights}x{facts}-seed{seed}"
        place = (state or door.home.root / "eval" / name).resolve()
        params: dict[str, Any] = {
            "nights": nights, "facts": facts, "seed": seed, "seconds": 60 * minutes,
            "passes": passes, "changed": changed, "contradicted": contradicted, "deleted": deleted,
            "arms": wanted, "state": str(place),
        }  # fmt: skip
        found = measured(door, STREAM, "stream", params, bar)
    checks = checks_of(found)
    if not as_json:
        figures = found["figures"]
        names = list(dict.fromkeys(key for one in figures.values() for key in one))
        table(
            ("after the last night", *figures),
            [(key, *(_cell(one.get(key)) for one in figures.values())) for key in names],
            right=" ".join(figures),
        )
        for arm, rows in found["rows"].items():
            for row in rows if arm in ("ours", "naive") else ():
                say(f"{arm}, night {row['night']}: {row['outcome'][:100]}")
        say(f"Plots, and R of each arm: {found['page']}")
    end(checks, {key: found[key] for key in ("options", "figures", "page", "state")})


def checks_of(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The bounds, where ten nights or more were learned by `ours`; else only that it ended."""
    figures = found["figures"]
    count = found["options"]["nights"]
    checks = [
        {"name": f"{arm}: nights that were examined", "value": len(rows), "bound": f"== {count}",
         "ok": len(rows) == count, "n": count}
        for arm, rows in found["rows"].items()
    ]  # fmt: skip
    ours = figures.get("ours")
    if ours is None or count < WHOLE:
        return checks

    def add(name: str, value: float, bound: float, least: bool) -> None:
        checks.append({"name": name, "value": round(value, 4),
                       "bound": f"{'>=' if least else '<='} {bound:g}",
                       "ok": value >= bound if least else value <= bound,
                       "n": ours["facts asked"]})  # fmt: skip

    add("ours: recall of all facts after the last night", ours["recall of all facts"], RECALL, True)
    add("ours: BWT", ours["BWT"], BWT, True)
    add("ours: ΔNLL, nats a token", ours["ΔNLL"], DRIFT, False)
    if "naive" in figures:
        lead = ours["recall of all facts"] - figures["naive"]["recall of all facts"]
        add("ours above naive", lead, LEAD, True)
    return checks


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"
