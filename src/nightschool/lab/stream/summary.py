"""The figures of one arm over all its nights, and the table of all arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from nightschool.lab.stream import figures


def share(marks: Sequence[bool]) -> float:
    """The share that is right; 0 of none."""
    return fmean(marks) if marks else 0.0


def summary(
    arm: str, rows: Mapping[str, Sequence[Mapping[str, Any]]], nights: int
) -> dict[str, Any]:
    """ACC, BWT, FWT, forgetting and the rest of one arm."""
    mine = rows[arm]
    # A row knows what came before it: R[j − 1][j] was asked on night j.
    later = [row["before"] for row in mine[1:]]
    matrix = [[*row["recall"], *later[i : i + 1]] for i, row in enumerate(mine)]
    base = [row["tonight"] for row in rows.get("base", ())] or [0.0] * nights
    last = mine[-1]
    return {
        "recall of all facts": last["known"],
        "recall of practised facts": last["practised"],
        "ACC": figures.acc(matrix),
        "BWT": figures.bwt(matrix),
        "FWT": figures.fwt(matrix, base),
        "forgetting": figures.forgetting(matrix),
        "ΔNLL": last["dnll"],
        "minutes a night": fmean(row["minutes"] for row in mine),
        "MB": max(row["megabytes"] for row in mine),
        "facts asked": last["asked"],
        "of files kept out": last["kept_out"],
        **{f"{kind} {name}": last[kind][name] for kind in ("changed", "gone") if kind in last
           for name in last[kind]},
        **{f"with search, {name}": value for name, value in last.get("served", {}).items()},
    }  # fmt: skip


def table(found: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """The summaries, a column an arm."""
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    lines = [[name, *(_cell(one.get(name)) for one in found.values())] for name in names]
    return [["", *found], *lines]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}"
