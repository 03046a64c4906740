"""What the icon shows, from what the service says: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from nightschool import __version__
from nightschool.device.desktop import clean
from nightschool.errors import NightschoolError

LINE = 90
"""Characters of one menu line; panels cut longer ones wherever they like."""
_GOOD = ("promoted", "held", "rejected", "nothing_new", "too_little", "interrupted", "forgotten")
"""Outcomes of a night in which nothing broke."""


class Face(StrEnum):
    """The four states; each has a shape of its own, so that no colour must be told apart."""

    IDLE = "idle"
    LEARNING = "learning"
    WAITING = "waiting"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class View:
    """`why` is the reason for the face, `exam` the last night, each in one line.

    `paused_min` is what is left of the user's pause, `rollback` what rolling back would serve
    (empty when there is nothing to go back to), `running` whether the service answers, `allowed`
    whether nights may start by themselves.
    """

    face: Face
    why: str
    exam: str = "No exam yet"
    running: bool = True
    allowed: bool = False
    may_learn: bool = False
    may_pause: bool = False
    paused_min: int = 0
    rollback: str = ""

    @property
    def title(self) -> str:
        """Name and state, for the tooltip."""
        return f"Nightschool: {self.face.value}"


def read(status: Mapping[str, Any]) -> View:
    """The view of a service that answered `/ns/status`, which may be of another version."""
    try:
        return of(status)
    except (KeyError, TypeError, ValueError):
        other = status.get("version", "unknown")
        return absent(
            NightschoolError(
                f"The service is of version {other}, this icon of {__version__}.",
                "Restart it: nightschool stop, nightschool start.",
            )
        )


def of(status: Mapping[str, Any]) -> View:
    """The view of a service of this version."""
    night, serving = status["night"], status["serving"]
    running = night["state"] == "running"
    paused_min = -(-int(night["paused_s"]) // 60)
    last = night["last"]
    problems = list(status["problems"])
    if not problems and last and last["outcome"] not in _GOOD:
        problems = [f"The last night failed: {last.get('message', '')}"]
    if problems:
        face, why = Face.TROUBLE, problems[0]
    elif running:
        face, why = Face.LEARNING, night["reason"]
    elif night["resting"] and not paused_min:
        face, why = Face.IDLE, night["reason"]
    else:
        face, why = Face.WAITING, night["reason"]
    if paused_min and not running:
        left = "for 1 more minute" if paused_min == 1 else f"for {paused_min} more minutes"
        why = why if face is Face.TROUBLE else f"You paused learning {left}."
    return View(
        face=face,
        why=line(why),
        exam=line(exam(last)),
        allowed=bool(night["allowed"]),
        may_learn=not running,
        may_pause=running or bool(night["allowed"]),
        paused_min=paused_min,
        rollback=_rollback(serving["version"], serving["previous"]),
    )


def absent(error: NightschoolError | None = None) -> View:
    """The view while no service answers."""
    return View(
        Face.TROUBLE,
        line("The service is not running." if error is None else str(error)),
        exam="",
        running=False,
    )


def exam(last: Mapping[str, Any] | None) -> str:
    """The last night in one line: when, how it ended, and why."""
    if last is None:
        return "No exam yet"
    when = datetime.fromisoformat(last["ended_at"]).astimezone()
    given = f", version {last['version']}" if last.get("version") else ""
    outcome = str(last["outcome"]).replace("_", " ")
    what = "Last exam" if outcome in ("promoted", "held", "rejected") else "Last night"
    return f"{what} {when:%d %b %H:%M}: {outcome}{given}. {last.get('message') or ''}".strip()


def line(text: str) -> str:
    """One line for a menu: no control characters, no marks of commands, of bounded length."""
    plain = clean(text).replace("`", "")
    if len(plain) <= LINE:
        return plain
    whole = plain[: LINE + 1].rfind(". ")  # whole sentences, when they say something
    return plain[: whole + 1] if whole >= LINE // 3 else plain[: LINE - 1].rstrip() + "…"


def _rollback(now: int, previous: int | None) -> str:
    if previous is None:
        return ""
    back = f"version {previous}" if previous else "the base model"
    return f"Yes, serve {back} instead of {f'version {now}' if now else 'the base model'}"
