"""The two drawings of a report, as numbers for SVG: the loss by step, and an interval on a line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT = 720.0, 220.0
LEFT, BOTTOM, TOP, RIGHT = 44.0, 26.0, 10.0, 8.0
POINTS = 240
"""A curve of more steps is drawn as the means of so many stretches."""
SMOOTH = 24
"""The bold line is a mean over about one part in so many of the curve."""


@dataclass(frozen=True, slots=True)
class Curve:
    """`raw` and `smooth` are points of polylines in a field of WIDTH × HEIGHT; the ticks are
    `(where, what)`."""

    raw: str
    smooth: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    first: float
    last: float


def curve(losses: Sequence[float | None]) -> Curve | None:
    """The loss (nats) by step; None for fewer than two steps that have numbers."""
    known = [(step, value) for step, value in enumerate(losses, start=1) if value is not None]
    if len(known) < 2:
        return None
    points = _means(known, POINTS)
    soft = _smoothed([value for _, value in points])
    top = _round_up(max(value for _, value in points))
    last = known[-1][0]
    span_x, span_y = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def place(step: float, value: float) -> tuple[float, float]:
        return (LEFT + span_x * (step - 1) / max(last - 1, 1), TOP + span_y * (1 - value / top))

    def line(values: Sequence[float]) -> str:
        spots = (place(step, value) for (step, _), value in zip(points, values, strict=True))
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)

    steps = sorted({1, *(round(last * part / 4) for part in (1, 2, 3)), last} - {0})
    return Curve(
        raw=line([value for _, value in points]),
        smooth=line(soft),
        x_ticks=tuple((round(place(step, 0)[0], 1), str(step)) for step in steps),
        y_ticks=tuple(
            (round(place(1, top * part / 4)[1], 1), f"{top * part / 4:.3g}") for part in range(5)
        ),
        first=soft[0],
        last=soft[-1],
    )


@dataclass(frozen=True, slots=True)
class Interval:
    """A value with its interval on a line from −reach to +reach, as shares (0..1) of its length;
    `bound` is where the margin lies, None without one."""

    low: float
    high: float
    value: float
    zero: float
    bound: float | None
    reach: float


def intervals(figures: Sequence[Mapping[str, Any]]) -> list[Interval | None]:
    """One for each figure that is in points and has an interval, all on the same line."""
    drawn = [item if _in_points(item) else None for item in figures]
    ends = [abs(item[end]) for item in drawn if item for end in ("low", "high")]
    reach = _round_up(max([6.0, *ends]))

    def share(points: float) -> float:
        return round(min(1.0, max(0.0, (points + reach) / (2 * reach))), 4)

    found: list[Interval | None] = []
    for item in drawn:
        if item is None:
            found.append(None)
            continue
        margin = re.search(r"−(\d+(?:\.\d+)?) points", str(item["bound"]))
        found.append(
            Interval(
                share(item["low"]),
                share(item["high"]),
                share(item["value"]),
                share(0.0),
                share(-float(margin[1])) if margin else None,
                reach,
            )
        )
    return found


def _in_points(item: Mapping[str, Any]) -> bool:
    return item["unit"] == "points" and None not in (item["low"], item["high"], item["value"])


def _means(known: list[tuple[int, float]], most: int) -> list[tuple[float, float]]:
    if len(known) <= most:
        return [(float(step), value) for step, value in known]
    found = []
    for number in range(most):
        part = known[number * len(known) // most : (number + 1) * len(known) // most]
        found.append(
            (sum(step for step, _ in part) / len(part), sum(value for _, value in part) / len(part))
        )
    return found


def _smoothed(values: list[float]) -> list[float]:
    """A centred mean, narrower at both ends."""
    reach = max(1, len(values) // SMOOTH)
    found = []
    for at in range(len(values)):
        near = min(reach, at, len(values) - 1 - at)
        part = values[at - near : at + near + 1]
        found.append(sum(part) / len(part))
    return found


def _round_up(value: float) -> float:
    """The next of 1, 1.5, 2, 3, 4, 5, 6, 8 × a power of ten; 1 for what is not above 0."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    steps = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
    return next((power * step for step in steps if power * step >= value * 0.9999), power * 10)
