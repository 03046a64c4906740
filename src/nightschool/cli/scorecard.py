"""The score card as a table: every figure with its bound beside it, then the verdict in words."""

from __future__ import annotations

from nightschool.cli.show import say, table
from nightschool.records import Figure, Scorecard


def show(card: Scorecard) -> None:
    """Print the card."""
    table(
        ("figure", "value", "interval", "bound", "ok", "n"),
        [
            (
                item.name,
                number(item.value, item.unit),
                interval(item),
                item.bound,
                "" if item.ok is None else ("yes" if item.ok else "NO"),
                item.n or "",
            )
            for item in card.figures
        ],
        right="value n",
    )
    for item in card.figures:
        if item.note:
            say(f"  {item.name}: {item.note}")
    against = f" against {card.reference}" if card.reference else ""
    scale = f" at scale {card.scale:g}" if card.scale != 1.0 else ""
    say(f"Verdict: {card.verdict.value.upper()}{against}{scale}")
    for reason in card.reasons:
        say(f"  - {reason}")


def number(value: float, unit: str) -> str:
    """The value in its unit; shares as percent."""
    if unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.4g} {unit}".strip()


def interval(item: Figure) -> str:
    """`low … high`, in the unit of the value."""
    if item.low is None or item.high is None:
        return ""
    return f"{number(item.low, item.unit)} … {number(item.high, item.unit)}"
