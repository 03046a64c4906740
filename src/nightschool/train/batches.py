"""The order of practice: a pure function of seed and step, so that a resumed night is the same.

Every pass over the facts is a fresh shuffle. Replay is drawn without replacement from its own
shuffle and mixed into every step, never in blocks: forgetting between blocks is what replay is
there to prevent.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nightschool.train.items import Item


@dataclass(frozen=True, slots=True)
class Schedule:
    """`size` items a step, of which the share `replay` is replayed.

    `judged` are liked and disliked answers (see `preference`), `taught` the same facts with their
    passage before the question (see `distil`); both are only used by plans that weigh them.
    """

    facts: tuple[Item, ...]
    replay_items: tuple[Item, ...]
    size: int
    replay: float
    seed: int
    judged: tuple[Item, ...] = ()
    taught: Mapping[Item, Item] = field(default_factory=dict)

    @property
    def facts_a_step(self) -> int:
        if not self.replay_items or self.replay <= 0:
            return self.size
        return max(1, self.size - max(1, round(self.size * self.replay)))

    @property
    def replays_a_step(self) -> int:
        return 0 if not self.replay_items else self.size - self.facts_a_step

    def steps_for(self, passes: int) -> int:
        """Steps that show every fact `passes` times."""
        return -(-len(self.facts) * passes // self.facts_a_step)

    def at(self, step: int) -> tuple[list[Item], list[Item]]:
        """The facts and the replay items of one step (0-based)."""
        return (
            _slice(self.facts, self.facts_a_step, step, self.seed),
            _slice(self.replay_items, self.replays_a_step, step, self.seed + 1),
        )


JUDGED = 4
"""Judged answers a step."""


def judged_at(schedule: Schedule, step: int) -> list[Item]:
    """The judged answers of one step."""
    return _slice(schedule.judged, min(JUDGED, len(schedule.judged)), step, schedule.seed + 2)


def _slice(items: Sequence[Item], count: int, step: int, seed: int) -> list[Item]:
    if not items or not count:
        return []
    found = []
    for position in range(step * count, (step + 1) * count):
        turn, place = divmod(position, len(items))
        found.append(items[_order(len(items), seed, turn)[place]])
    return found


_orders: dict[tuple[int, int, int], list[int]] = {}


def _order(length: int, seed: int, turn: int) -> list[int]:
    key = (length, seed, turn)
    if key not in _orders:
        if len(_orders) > 8:
            _orders.clear()
        order = list(range(length))
        random.Random(f"{seed}/{turn}").shuffle(order)
        _orders[key] = order
    return _orders[key]
