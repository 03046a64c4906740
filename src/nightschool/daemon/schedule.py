"""May a night start now? A pure decision over facts; every no has its reason in words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nightschool.config import Learn
from nightschool.config.rules import DaySpan, minutes
from nightschool.device.conditions import Conditions
from nightschool.errors import UsageError
from nightschool.store.schedule import Material

CONCLUDED = ("promoted", "held", "rejected", "nothing_new", "too_little")
"""Outcomes after which the same material is not tried again."""
MAX_TRIES = 3
"""Failed nights with the same material before it is left alone until something changes."""
RETRY_S = (60.0, 900.0, 3600.0)
"""Seconds to wait after the first, second, third failure."""
AUTOMATIC = ("ask", "yes", "no")
"""Values of `learn.automatic`."""
MEASURE_S = 16.0
"""Seconds over which the load of other programs is measured before a night."""
LOOK_AGAIN_S = 60.0
"""Input and material are looked at this often while nothing else is in the way."""
LONGEST_S = 900.0
"""Even a long wait is looked at again after this, because clocks and plans change."""


WARMER_C = 10
"""Degrees between the heat that keeps a night from starting and the one that stops it."""
PRESSURE = (0.05, 0.20)
"""Share of the time in which programs wait for memory: no night starts above the first, and one
that runs stops above the second."""
MEMORY_LEFT = 300_000_000
"""Bytes that must stay free for the user's own programs while a night runs."""
BLIND_IDLE = 4
"""How many times longer nobody may have touched a key where no one knows whether a film runs."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the decision rests on. `now` is local and timezone-aware; `idle_s` None = unknown.

    `conditions` None = not looked at yet, because something else was in the way; `hold` is the
    seconds that are left of a rest and its reason.
    """

    now: datetime
    idle_s: float | None
    material: Material
    used_s: float
    last: dict[str, Any] | None
    tries: int
    running: str = ""
    changing: int = 0
    unfinished: int | None = None
    cannot: str = ""
    """Why the base model cannot learn at all, empty when it can."""
    allowed: bool = True
    """Whether the user said that nights may start by themselves."""
    needs_bytes: int = 0
    spoilt: int = 0
    """Nights on this model that ended in bad numbers or without memory, the newest in a row."""
    conditions: Conditions | None = None
    hold: tuple[float, str] | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`reason` is the first of `blockers`, or why it starts; `check_s` when to look again.

    `resting`: there is nothing to learn, or nobody allowed it; no better moment is waited for.
    """

    start: bool
    reason: str
    blockers: tuple[str, ...]
    check_s: float
    resting: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """A daily span of local time, possibly across midnight; equal ends mean always."""

    opens: int
    closes: int

    @classmethod
    def parse(cls, text: str) -> Window:
        """`"22:00-07:00"` to minutes of the day. Raises UsageError."""
        found = minutes(text)
        if found is None:
            raise UsageError(*DaySpan().refusal("learn.window", text))
        return cls(*found)

    def contains(self, now: datetime) -> bool:
        minute = now.hour * 60 + now.minute
        if self.opens < self.closes:
            return self.opens <= minute < self.closes
        return minute >= self.opens or minute < self.closes or self.opens == self.closes

    def opens_in_s(self, now: datetime) -> float:
        """Seconds of clock time until the window opens; 0 inside."""
        if self.contains(now):
            return 0.0
        start = now.replace(hour=self.opens // 60, minute=self.opens % 60, second=0, microsecond=0)
        if start <= now:
            start += timedelta(days=1)
        return (start - now).total_seconds()

    def __str__(self) -> str:
        first, last = (f"{m // 60:02d}:{m % 60:02d}" for m in (self.opens, self.closes))
        return f"{first}\N{EN DASH}{last}"


def span(seconds: float) -> str:
    """A duration in words: `40 s`, `5 min`, `3 h 12 min`."""
    if seconds < 90:
        return f"{max(seconds, 0):.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h" + (f" {minutes % 60} min" if minutes % 60 else "")


def decide(facts: Facts, learn: Learn) -> Decision:
    """Whether a night starts now, and if not, everything that is in its way."""
    if facts.running:
        return Decision(False, facts.running, (facts.running,), LOOK_AGAIN_S)
    blockers: list[str] = []
    waits: list[float] = []
    idle = (
        _allowed(facts, learn),
        _material(facts, learn),
        (facts.cannot, LONGEST_S) if facts.cannot else None,
    )
    for found in (
        *idle,
        _budget(facts, learn),
        _failures(facts),
        _changing(facts),
        _window(facts, learn),
        _idle(facts, learn),
        *_surroundings(facts, learn),
        _hold(facts),
    ):
        if found is not None:
            blockers.append(found[0])
            waits.append(found[1])
    if blockers:
        # Looking again pays at the earliest when the slowest of the gates may have opened.
        resting = any(found is not None for found in idle)
        return Decision(False, blockers[0], tuple(blockers), min(max(waits), LONGEST_S), resting)
    return Decision(True, _why(facts), (), LOOK_AGAIN_S)


def check(learn: Learn) -> None:
    """Raises UsageError when a setting of the schedule makes no sense."""
    Window.parse(learn.window)
    if learn.automatic not in AUTOMATIC:
        raise UsageError(
            f"learn.automatic is {learn.automatic!r}.", f"One of: {', '.join(AUTOMATIC)}."
        )


def in_the_way(now: Conditions, learn: Learn) -> str:
    """Why a running night must stop at once, empty when it may go on.

    The bounds are wider than those of the start, so that it does not stop and start again.
    """
    if not now.mains and not _charged(now, learn):
        return "The machine runs on battery."
    if now.celsius is not None and now.celsius >= learn.max_celsius + WARMER_C:
        return f"The processor is {now.celsius:.0f} °C hot."
    if learn.max_others < 1 and now.others is not None and now.others > 2 * learn.max_others:
        return f"Other programs use {now.others:.0%} of the processors."
    if learn.max_others < 1 and now.graphics is not None and now.graphics > 2 * learn.max_others:
        return f"Other programs use {now.graphics:.0%} of the graphics card."
    if now.free_bytes < MEMORY_LEFT:
        return f"Only {now.free_bytes >> 20} MB of memory are free."
    if now.pressure is not None and now.pressure > PRESSURE[1]:
        return f"Programs wait for memory {now.pressure:.0%} of the time."
    if now.lost:
        return f"{now.lost[0].capitalize()} of the processor can no longer be read."
    return ""


def unsteady(now: Conditions, learn: Learn) -> str:
    """What keeps a night away now and may come and go by the minute; empty when nothing does.

    A plug that is pulled in and out must not start a night at every turn: whoever asks waits for
    some minutes without it.
    """
    if not now.mains and not _charged(now, learn):
        return "The machine was just on battery"
    if now.celsius is not None and now.celsius >= learn.max_celsius:
        return "The processor was just hot"
    if now.pressure is not None and now.pressure > PRESSURE[0]:
        return "Programs just waited for memory"
    if now.lost:
        return f"{now.lost[0].capitalize()} of the processor just could not be read"
    return ""


def _why(facts: Facts) -> str:
    if facts.material.relearn_since and facts.unfinished is None:
        return "a version saw what is forgotten now, and is learned again without it"
    if facts.unfinished is not None:
        return f"night {facts.unfinished} was interrupted and goes on"
    known = "nobody is at the machine" if facts.idle_s is not None else "input time is unknown here"
    return f"about {facts.material.pairs} new practice pairs, and {known}"


Blocker = tuple[str, float] | None


def _allowed(facts: Facts, learn: Learn) -> Blocker:
    if learn.automatic == "no":
        return ("Nights do not start by themselves (learn.automatic is no).", LONGEST_S)
    if learn.automatic == "ask" and not facts.allowed:
        return (
            "Nights start by themselves once you allow it: `nightschool nights on`. "
            "`nightschool learn` holds one now.",
            LONGEST_S,
        )
    return None


def _hold(facts: Facts) -> Blocker:
    if facts.hold is None:
        return None
    left, why = facts.hold
    return (f"{why}; a night waits {span(left)} more.", left)


def _charged(now: Conditions, learn: Learn) -> bool:
    return 0 < learn.min_battery <= (now.battery or 0.0)


def _surroundings(facts: Facts, learn: Learn) -> list[Blocker]:
    """What the machine itself has against a night; unknown load is looked at again soon."""
    now = facts.conditions
    if now is None:
        return []
    found: list[Blocker] = []
    if not now.mains and not _charged(now, learn):
        charge = "" if now.battery is None else f" ({now.battery:.0f} %)"
        found.append((f"The machine runs on battery{charge}.", LOOK_AGAIN_S))
    if now.celsius is not None and now.celsius >= learn.max_celsius:
        found.append(
            (f"The processor is {now.celsius:.0f} °C hot; a night waits for less than "
             f"{learn.max_celsius} °C.", LOOK_AGAIN_S)
        )  # fmt: skip
    if now.free_bytes < facts.needs_bytes + MEMORY_LEFT:
        found.append(
            (f"Learning needs about {facts.needs_bytes >> 20} MB of memory; "
             f"{now.free_bytes >> 20} MB are free.", LOOK_AGAIN_S)
        )  # fmt: skip
    if now.pressure is not None and now.pressure > PRESSURE[0]:
        found.append(
            (f"Programs wait for memory {now.pressure:.0%} of the time; a night waits for less "
             f"than {PRESSURE[0]:.0%}.", LOOK_AGAIN_S)
        )  # fmt: skip
    if learn.max_others < 1:
        found += _others(now, learn)
    if now.full_screen:
        found.append(("Something fills the screen: a film, a game or slides.", LOOK_AGAIN_S))
    if now.lost:
        found.append(
            (f"{now.lost[0].capitalize()} of the processor can no longer be read.", LOOK_AGAIN_S)
        )
    elif careful := _careful(now, facts, learn):
        found.append(careful)
    return found


def _careful(now: Conditions, facts: Facts, learn: Learn) -> Blocker:
    """What nobody can tell makes a night wait longer for its user to be away."""
    what = "whether something fills the screen" if now.full_screen is None else ""
    if now.doubts:
        what = f"{now.doubts[0]} of the processor"
    if not what or facts.idle_s is None:
        return None
    wait = BLIND_IDLE * learn.idle_s - facts.idle_s
    if wait <= 0:
        return None
    return (
        f"Nobody can say {what} here, so a night waits for {span(BLIND_IDLE * learn.idle_s)} "
        "without input.",
        wait,
    )


def _others(now: Conditions, learn: Learn) -> list[Blocker]:
    if now.others is None:
        return [("Looking for a moment how busy other programs are.", MEASURE_S)]
    found: list[Blocker] = []
    for share, what in ((now.others, "processors"), (now.graphics, "graphics card")):
        if share is not None and share > learn.max_others:
            found.append(
                (f"Other programs use {share:.0%} of the {what}; a night waits for less than "
                 f"{learn.max_others:.0%}.", LOOK_AGAIN_S)
            )  # fmt: skip
    return found


def _material(facts: Facts, learn: Learn) -> Blocker:
    material = facts.material
    if facts.unfinished is not None:
        return None
    if material.files == 0:
        return ("No file to learn from yet: add a folder with `nightschool watch add`.", LONGEST_S)
    last = facts.last
    if material.relearn_since and not _tried_since(facts):
        return None
    if (
        last is not None
        and last["outcome"] in CONCLUDED
        and last["fingerprint"] == material.fingerprint
        and not material.new_pairs
    ):
        return (
            f"Nothing new since the last night ({last['ended_at'][:16].replace('T', ' ')} UTC, "
            f"{last['outcome'].replace('_', ' ')}): the same {material.files} files.",
            LOOK_AGAIN_S,
        )
    if (
        last is not None
        and last["outcome"] in ("nothing_new", "too_little")
        and last["fingerprint"] == material.fingerprint
    ):
        return (f"The last night found too little to learn: {last['message']}", LOOK_AGAIN_S)
    if material.pairs < learn.min_new_pairs:
        return (
            f"Only about {material.pairs} new practice pairs since the last night; "
            f"{learn.min_new_pairs} are worth one (learn.min_new_pairs).",
            LOOK_AGAIN_S,
        )
    return None


def _tried_since(facts: Facts) -> bool:
    """Whether a night with these very files came to an end after the last forgetting."""
    last = facts.last
    return (
        last is not None
        and last["outcome"] in CONCLUDED
        and last["fingerprint"] == facts.material.fingerprint
        and last["ended_at"] >= facts.material.relearn_since
    )


def _budget(facts: Facts, learn: Learn) -> Blocker:
    if facts.used_s < learn.daily_budget_s:
        return None
    midnight = (facts.now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    left = (midnight - facts.now).total_seconds()
    return (
        f"Today's learning time is used up ({facts.used_s:.0f} of {learn.daily_budget_s} s); "
        f"more in {span(left)}.",
        left,
    )


def _failures(facts: Facts) -> Blocker:
    if facts.spoilt >= MAX_TRIES:
        why = facts.last["message"].rstrip(".") if facts.last else "bad numbers, or no memory"
        return (
            f"The last {facts.spoilt} nights on this model came to nothing here ({why}); "
            "`nightschool learn` tries once more, a smaller model may do.",
            LONGEST_S,
        )
    if not facts.tries or facts.last is None:
        return None
    if facts.tries >= MAX_TRIES:
        return (
            f"The last {facts.tries} nights failed ({facts.last['message']}); it is tried again "
            "when a file changes, or with `nightschool learn`.",
            LOOK_AGAIN_S,
        )
    ended = datetime.fromisoformat(facts.last["ended_at"])
    passed = (facts.now - ended).total_seconds()
    wait = RETRY_S[min(facts.tries, len(RETRY_S)) - 1]
    # A clock that was set back makes the failure lie in the future: then it has waited enough.
    if not 0 <= passed < wait:
        return None
    return (
        f"The last night failed ({facts.last['message']}); tried again in {span(wait - passed)}.",
        wait - passed,
    )


def _changing(facts: Facts) -> Blocker:
    if not facts.changing:
        return None
    return (f"{facts.changing} changed files are still being read.", 5.0)


def _window(facts: Facts, learn: Learn) -> Blocker:
    window = Window.parse(learn.window)
    wait = window.opens_in_s(facts.now)
    if not wait:
        return None
    return (f"Outside the night window {window}; it opens in {span(wait)}.", wait)


def _idle(facts: Facts, learn: Learn) -> Blocker:
    if facts.idle_s is None or facts.idle_s >= learn.idle_s:
        return None
    return (
        f"The machine was used {span(facts.idle_s)} ago; a night waits for "
        f"{span(learn.idle_s)} without input.",
        learn.idle_s - facts.idle_s,
    )
