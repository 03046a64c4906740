"""Questions written by the served model, kept only where the passage says the answer.

The model gets a short exam first, once for each base and writer: one that cannot write questions
(the shipped starter mostly cannot) writes none, and says so in `note`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact, to_pairs
from nightschool.pairs.forms import excerpt
from nightschool.pairs.rules.note import redacted, split
from nightschool.pairs.text import content, holds
from nightschool.ports import Generator
from nightschool.records import Chunk, Pair
from nightschool.store import state
from nightschool.store.db import Store

PROMPT = "Write questions and answers about this text.\n\n{chunk}"
"""As the starter was taught to be asked."""
SPELLED_OUT = (
    "Write three short questions about the text below. Name people and things in each question "
    "instead of saying he, she or it. Copy each answer word for word from the text, as short as "
    "possible. Write nothing else than lines of this form:\nQ: the question?\nA: the answer\n\n"
    "Text:\n{chunk}"
)
"""For a model that was taught to follow instructions."""
EXAM_VERSION = 1
"""Another one when another code judges what was written."""
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
    """How the exam went: sound pairs out of all written, and which of the prompts did best."""

    kept: int
    written: int
    prompt: int = 0

    @property
    def share(self) -> float:
        return self.kept / self.written if self.written else 0.0

    @property
    def able(self) -> bool:
        return self.kept >= ABLE_FACTS and self.share >= ABLE_SHARE


def remembered(store: Store, base_sha: str, prompts: Sequence[str]) -> Ability | None:
    """What the exam of a base model found on an earlier night, with the same writer."""
    found = state.get(store, _key(base_sha, prompts), None)
    return None if found is None else Ability(**found)


def remember(store: Store, base_sha: str, prompts: Sequence[str], found: Ability) -> None:
    """So that the next night need not set the exam again."""
    state.put(store, _key(base_sha, prompts), asdict(found))


def _key(base_sha: str, prompts: Sequence[str]) -> str:
    asked = hashlib.sha256("\0".join((*prompts, *_EXAM)).encode()).hexdigest()
    return f"writes:{EXAM_VERSION}:{asked[:12]}:{base_sha}"


class ModelWriter:
    """Writes closed-book pairs with a language model (a `ports.PairWriter`).

    `known` is what its exam found before; `sat` is called with what it finds now.
    """

    name = "model"

    def __init__(
        self,
        generator: Generator,
        *,
        max_tokens: int = 320,
        chunk_chars: int = 1200,
        prompts: Sequence[str] = (PROMPT,),
        known: Ability | None = None,
        sat: Callable[[Ability], None] = lambda found: None,
    ) -> None:
        self._generator = generator
        self._prompts = prompts
        self._max_tokens = max_tokens
        self._chunk_chars = chunk_chars
        self._ability, self._sat = known, sat
        self.note = "The model has not been asked to write questions yet."
        if known is not None:
            self._say(known)

    def ability(self) -> Ability:
        """The exam's result; it is sat once, with each prompt until one will do."""
        if self._ability is None:
            best = Ability(0, 0)
            for number, prompt in enumerate(self._prompts):
                kept = written = 0
                for passage in _EXAM:
                    for question, answer in self._ask(passage, prompt):
                        written += 1
                        kept += bool(_sound(question, answer, passage))
                found = Ability(kept, written, number)
                if (found.able, found.share) >= (best.able, best.share):
                    best = found
                if found.able:
                    break
            self._ability = best
            self._say(best)
            self._sat(best)
        return self._ability

    def _say(self, found: Ability) -> None:
        word = "writes questions" if found.able else "is not used to write questions"
        self.note = (
            f"The model {word}: {found.kept} of {found.written} of its exam questions had a "
            "literal answer."
        )

    def write(self, chunks: Sequence[Chunk], title: str) -> list[Pair]:
        """Pairs whose answer is literally in the passage; none if the exam was failed."""
        return to_pairs(self._facts(chunks), self.name) if self.ability().able else []

    def _facts(self, chunks: Sequence[Chunk]) -> Iterable[Fact]:
        for chunk in chunks:
            passage = excerpt(chunk.safe, limit=self._chunk_chars)
            for question, answer in self._ask(passage, self._prompts[self.ability().prompt]):
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
