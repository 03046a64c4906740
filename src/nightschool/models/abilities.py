"""What a base model can do, as its exam found it (`engine.exam` sets it, `model add` starts it).

Light: the command and the service show these figures, the engine acts on them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from nightschool.store import state
from nightschool.store.db import Store

READS = 0.7
"""From this share of right answers on, the model's own answer leads. Below it, the reader's span
is right more often than the model (the starter reads about half of its notes)."""
CHATS = 0.6
"""From this share on, a model may answer small talk that the files do not."""
EXAM_VERSION = 1

BARE, INSTRUCTED = "bare", "instructed"


@dataclass(frozen=True, slots=True)
class Abilities:
    """Shares of right answers (0..1) and the prompt style that served best.

    `reader` is the span reader's share on the same readings. `examined` is False for the cautious
    default: it reads nothing, so the reader leads.
    """

    reads: float = 0.0
    abstains: float = 0.0
    chats: float = 0.0
    style: str = BARE
    examined: bool = False
    reader: float = 0.0

    @property
    def leads(self) -> bool:
        """Whether the model's own answers lead: it reads well, and no worse than the reader."""
        return self.examined and self.reads >= max(READS, self.reader)

    def lines(self) -> list[str]:
        """What the exam found and what follows from it, in sentences."""
        if not self.examined:
            return ["It has not sat the exam: the reader in the box leads its answers."]
        found = [
            f"Exam: it answers {self.reads:.0%} of the questions on a passage (the reader in the "
            f"box {self.reader:.0%}), admits {self.abstains:.0%} of what a passage does not say, "
            f"and knows {self.chats:.0%} of plain small talk."
        ]
        if self.leads:
            found.append("Its own answers lead, checked against your files.")
        else:
            found.append(
                "The reader leads: it points at the answer, and the model's words are shown where "
                "they say the same."
            )
        if self.chats >= CHATS:
            found.append("In a chat it may speak for itself where your files say nothing.")
        return found


def load(store: Store, base_sha: str) -> Abilities:
    """What the exam found for a base model, or the cautious default when it was not set yet."""
    raw: dict[str, Any] = state.get(store, key(base_sha), {})
    return Abilities(**raw) if raw else Abilities()


def save(store: Store, base_sha: str, abilities: Abilities) -> None:
    """Remember an exam's result."""
    state.put(store, key(base_sha), asdict(abilities))


def key(base_sha: str) -> str:
    """Where the store keeps it."""
    return f"abilities:{EXAM_VERSION}:{base_sha}"
