"""The plots of a stream as one HTML page that opens offline: inline SVG, no script."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

WIDTH, HEIGHT, LEFT, LOW = 460, 210, 46, 30
COLOURS = {"base": "#888", "rag": "#7a5", "naive": "#c43", "ours": "#26c", "joint": "#b80"}
Series = Mapping[str, Sequence[float | None]]


def page(title: str, rows: Mapping[str, Sequence[Mapping[str, Any]]],
         summary: Sequence[Sequence[str]]) -> str:  # fmt: skip
    """The whole page: a table, then a plot of everything that is measured a night."""
    plots = [
        plot(name, {arm: [_value(row, key) for row in nights] for arm, nights in rows.items()}, low)
        for name, key, low in PLOTS
    ]
    matrices = [matrix(arm, nights) for arm, nights in rows.items() if arm not in ("base", "rag")]
    cells = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in line)}</tr>" for line in summary
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title>"
        "<style>body{font:14px system-ui;margin:2em;max-width:1000px}svg{margin:0 1em 1em 0}"
        "table{border-collapse:collapse;margin:1em 0}td{padding:.2em .7em;border:1px solid #ccc}"
        "text{font:11px system-ui}</style>"
        f"<h1>{escape(title)}</h1><table>{cells}</table>{''.join(plots)}"
        f"<h2>R: recall of each night's facts after each night</h2>{''.join(matrices)}</html>\n"
    )


PLOTS: tuple[tuple[str, str, float], ...] = (
    ("Recall of all facts so far", "known", 0.0),
    ("Recall of tonight's facts", "tonight", 0.0),
    ("General text, ΔNLL against the base (nats a token)", "dnll", 0.0),
    ("Right answers with search, all questions", "served.all", 0.0),
    ("… hidden by phrasing", "served.phrasing", 0.0),
    ("… hidden by document", "served.document", 0.0),
    ("Facts that have changed: the new answer", "changed.new", 0.0),
    ("Minutes of the night", "minutes", 0.0),
    ("Memory of the learner (MB)", "megabytes", 0.0),
)
"""What is drawn: title, where it stands in a row, and where the axis begins at the latest."""


def _value(row: Mapping[str, Any], key: str) -> float | None:
    found: Any = row
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return None if found is None else float(found)


def plot(title: str, series: Series, low: float = 0.0) -> str:
    """Lines over the nights, one an arm; points that were not measured are left out."""
    known = [value for values in series.values() for value in values if value is not None]
    if not known:
        return ""
    bottom, top = min(low, *known), max(known)
    top = top if top > bottom else bottom + 1
    nights = max(len(values) for values in series.values())

    def at(night: int, value: float) -> str:
        x = LEFT + (WIDTH - LEFT - 10) * night / max(nights - 1, 1)
        y = HEIGHT - LOW - (HEIGHT - LOW - 24) * (value - bottom) / (top - bottom)
        return f"{x:.1f},{y:.1f}"

    lines, legend = [], []
    for number, (arm, values) in enumerate(series.items()):
        points = [at(i, value) for i, value in enumerate(values) if value is not None]
        if not points:
            continue
        colour = COLOURS.get(arm, "#000")
        lines.append(
            f'<polyline fill=none stroke="{colour}" stroke-width=2 points="{" ".join(points)}"/>'
        )
        for point in points:
            x, y = point.split(",")
            lines.append(f'<circle cx={x} cy={y} r=2.5 fill="{colour}"/>')
        legend.append(f'<text x={LEFT + 70 * number} y={HEIGHT - 2} fill="{colour}">{arm}</text>')
    axis = (
        f'<line x1={LEFT} x2={LEFT} y1=24 y2={HEIGHT - LOW} stroke="#999"/>'
        f'<line x1={LEFT} x2={WIDTH - 10} y1={HEIGHT - LOW} y2={HEIGHT - LOW} stroke="#999"/>'
        f"<text x=2 y=30>{top:.3g}</text><text x=2 y={HEIGHT - LOW}>{bottom:.3g}</text>"
    )
    return (
        f'<svg width={WIDTH} height={HEIGHT} role=img><text x=2 y=14 font-weight="bold">'
        f"{escape(title)}</text>{axis}{''.join(lines)}{''.join(legend)}</svg>"
    )


def matrix(arm: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """R as a table whose cells are the darker the more is known."""
    lines = []
    for number, row in enumerate(rows):
        cells = [
            f'<td style="background:rgba(40,100,200,{value:.2f})">{value:.2f}</td>'
            for value in row["recall"][: number + 1]
        ]
        lines.append(f"<tr><td>after night {number + 1}</td>{''.join(cells)}</tr>")
    return f"<h3>{escape(arm)}</h3><table>{''.join(lines)}</table>"
