"""Questions written by the served model, kept only where the passage says the answer.

The model gets a short exam first: a model that cannot write questions (the shipped starter mostly
cannot) writes none, and says so in `note`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact, to_pairs
from nightschool.pairs.forms import excerpt
from nightschool.pairs.rules.note import redacted, split
from nightschool.pairs.text import content, holds
from nightschool.ports import Generator
from nightschool.records import Chunk, Pair

PROMPT = "Write questions and answers about this text.\n\n{chunk}"
"""As the starter was taught to be asked."""
SPELLED_OUT = (
    "Write three short questions about the text below. Name people and things in each question "
    "instead of saying he, she or it. Copy each answer word for word from the text, as short as "
    "possible. Write nothing else than lines of this form:\nQ: the question?\nA: the answer\n\n"
    "Text:\n{chunk}"
)
"""For a model that was taught to follow instructions."""
ABLE_SHARE = 0.9
ABLE_FACTS = 5
"""To be used, a model must write this many sound pairs on the exam, and this share of all."""

_PAIR = re.compile(
    r"(?im)^\W*(?:Q|Question)\s*\d*\s*[:.]\s*(.+?)\s*\n+\W*(?:A|Answer)\s*\d*\s*[:.]\s*(.+?)\s*$"
)
_VAGUE = re.compile(
    r"(?i)\b(he|she|it|they|this|these|that|the (text|passage|author|note|above))\b"
)
_EXAM = (
    "The choir rehearses in the chapel on Plum Lane every Thursday at 19:15. Odile Brandt conducts "
    "it and keeps the sheet music in a blue trunk. A season ticket costs 46 euros.",
    "Service of the green tractor: the oil filter was changed on 4 March 2024 by Joris Veld. The "
    "tank takes 38 litres of diesel. The spare key hangs behind the barn door.",
    "Our flight to Tarnby leaves at 06:40 from gate B12. The rental car is booked with Nordwind "
    "under the number KX-5521. Petra brings the child seat.",
)


@dataclass(frozen=True, slots=True)
class Ability:
    """How the exam went: sound pairs out of all written."""

    kept: int
    written: int

    @property
    def share(self) -> float:
        return self.kept / self.written if self.written else 0.0

    @property
    def able(self) -> bool:
        return self.kept >= ABLE_FACTS and self.share >= ABLE_SHARE


class ModelWriter:
    """Writes closed-book pairs with a language model (a `ports.PairWriter`)."""

    name = "model"

    def __init__(
        self,
        generator: Generator,
        *,
        max_tokens: int = 320,
        chunk_chars: int = 1200,
        prompts: Sequence[str] = (PROMPT,),
    ) -> None:
        self._generator = generator
        self._prompts = prompts
        self._prompt = prompts[0]
        self._max_tokens = max_tokens
        self._chunk_chars = chunk_chars
        self._ability: Ability | None = None
        self.note = "The model has not been asked to write questions yet."

    def ability(self) -> Ability:
        """The exam's result; it is sat once, with each prompt until one will do."""
        if self._ability is None:
            self._ability = Ability(0, 0)
            for prompt in self._prompts:
                kept = written = 0
                for passage in _EXAM:
                    for question, answer in self._ask(passage, prompt):
                        written += 1
                        kept += bool(_sound(question, answer, passage))
                found = Ability(kept, written)
                if (found.able, found.share) >= (self._ability.able, self._ability.share):
                    self._ability, self._prompt = found, prompt
                if found.able:
                    break
            kept, written = self._ability.kept, self._ability.written
            word = "writes questions" if self._ability.able else "is not used to write questions"
            self.note = (
                f"The model {word}: {kept} of {written} of its exam questions had a literal answer."
            )
        return self._ability

    def write(self, chunks: Sequence[Chunk], title: str) -> list[Pair]:
        """Pairs whose answer is literally in the passage; none if the exam was failed."""
        return to_pairs(self._facts(chunks), self.name) if self.ability().able else []

    def _facts(self, chunks: Sequence[Chunk]) -> Iterable[Fact]:
        for chunk in chunks:
            passage = excerpt(chunk.safe, limit=self._chunk_chars)
            for question, answer in self._ask(passage, self._prompt):
                evidence = _sound(question, answer, passage)
                if evidence and evidence in chunk.safe:
                    forms = tuple(phrasing.around(question))
                    yield Fact(answer, evidence, chunk.id, forms, 0.8, "")

    def _ask(self, passage: str, prompt: str) -> list[tuple[str, str]]:
        message = prompt.format(chunk=passage)
        text = self._generator.generate([("user", message)], max_tokens=self._max_tokens)
        return parse(text)


def parse(text: str) -> list[tuple[str, str]]:
    """`Q: …` / `A: …` lines as (question, answer), repeats left out."""
    found = [(q.strip(" *_"), a.strip(" *_").strip('"“”')) for q, a in _PAIR.findall(text)]
    return list(dict.fromkeys((q, a.rstrip(".") if a.count(".") == 1 else a) for q, a in found))


def _sound(question: str, answer: str, passage: str) -> str:
    """The sentence that holds the answer, or an empty string when the pair is not usable."""
    if not question.endswith("?") or len(question.split()) < 4 or len(answer.split()) > 16:
        return ""
    if not answer or answer not in passage or holds(question, answer) or redacted(answer):
        return ""
    if _VAGUE.search(question) or phrasing.looks_held_out(question):
        return ""
    holding = [
        sentence for line in passage.split("\n") for sentence in split(line) if answer in sentence
    ]
    # With several candidates, the one that shares most words with the question is the evidence.
    return max(holding, key=lambda s: len(content(s) & content(question)), default="")
