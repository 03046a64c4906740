"""Three signals of one answer, and what they decide: span support, token entropy, agreement.

The span's support decides where it is clear. Where it is near even odds, a second answer may be
sampled from the same prompt: two samples that say the same are more often right than two that do
not (self-consistency, Wang et al., 2203.11171; SelfCheckGPT, Manakul et al., 2303.08896). What
each signal says on a given base model is measured by tests/bench/confidence.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from nightschool.config import Engine
from nightschool.engine.entropy import Entropy, Trace, over_content
from nightschool.engine.evidence import ANSWERS
from nightschool.engine.support import abstains, likeness
from nightschool.records import Confidence

TEMPERATURE = 0.7
"""Of the second answer: high enough to leave a path that was chosen by a hair, low enough to stay
on one that was not (SelfCheckGPT samples at 1.0, self-consistency at 0.5 to 0.7)."""
SEED = 7411
"""Of the second answer: the same question has the same answer twice."""


@dataclass(frozen=True, slots=True)
class Rules:
    """When a second answer is drawn and what it decides; see the settings of the same names."""

    second_answer: str = "never"
    doubt: float = 0.2
    agreement: float = 0.5
    max_entropy: float = 0.0
    second_tokens: int = 32

    @classmethod
    def of(cls, engine: Engine) -> Rules:
        """Those of the settings."""
        return cls(
            engine.second_answer,
            engine.doubt,
            engine.agreement,
            engine.max_entropy,
            engine.second_tokens,
        )

    @property
    def decides(self) -> bool:
        return self.second_answer == "decides"

    def doubtful(self, span_support: float) -> bool:
        """Whether a second answer is to be drawn for an answer of this support (0..1)."""
        return self.second_answer != "never" and abs(span_support - ANSWERS) <= self.doubt


@dataclass(slots=True)
class Signals:
    """What is known of one answer so far."""

    rules: Rules = field(default_factory=Rules)
    span_support: float | None = None
    entropy: Entropy | None = None
    agreement: float | None = None
    samples: int = 0
    decided_by: str = "nothing"
    vote: bool = False
    """What two samples decide, where they do (`decided_by` is agreement)."""

    def found(self, span_support: float) -> None:
        """The support (0..1) of the best span."""
        self.span_support, self.decided_by = span_support, "span_support"

    def wrote(self, trace: Trace) -> None:
        """The model wrote an answer; `trace` are its tokens with their entropies."""
        self.entropy = over_content(trace)
        self.samples = max(self.samples, 1)

    def compared(self, first: str, second: str) -> None:
        """A second answer was drawn. Two of the same content carry it, if the model knew at all
        and was not wavering over it."""
        self.agreement, self.samples = likeness(first, second), 2
        if self.rules.decides:
            limit = self.rules.max_entropy
            wavering = bool(limit) and self.entropy is not None and self.entropy.mean > limit
            self.vote = (
                self.agreement >= self.rules.agreement and not abstains(first) and not wavering
            )
            self.decided_by = "agreement"

    @property
    def voted(self) -> bool:
        """Whether the samples decide instead of the span's support."""
        return self.decided_by == "agreement"

    @property
    def answers(self) -> bool:
        """Whether the best span is to be taken for the answer."""
        return self.vote if self.voted else (self.span_support or 0.0) >= ANSWERS

    def record(self) -> Confidence:
        """As it goes with the answer."""
        known = self.entropy
        return Confidence(
            span_support=self.span_support,
            entropy_mean=None if known is None else known.mean,
            entropy_max=None if known is None else known.largest,
            entropy_tokens=0 if known is None else known.tokens,
            agreement=self.agreement,
            samples=self.samples,
            decided_by=self.decided_by,
        )
