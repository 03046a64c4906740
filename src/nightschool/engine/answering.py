"""Retrieve → prompt → cite → check. No answer leaves that the files do not carry.

Who leads depends on the base model's exam (`engine.exam`). A model that reads well writes the
answer, which is then looked up in the passages. Otherwise the reader's span leads, and the
model's own words are shown only when they say the same. What nothing supports is replaced by a
quotation, and what the files do not hold is answered with "I don't know".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from nightschool.engine.agreement import SEED, TEMPERATURE, Rules, Signals
from nightschool.engine.entropy import Trace
from nightschool.engine.evidence import ANSWERS, Evidence, SpanReader, weigh
from nightschool.engine.exam import reading_prompt
from nightschool.engine.support import abstains, agree, find_support, sentences, stems
from nightschool.models.abilities import Abilities
from nightschool.ports import Retriever
from nightschool.records import Answer, Citation, Hit

UNKNOWN = "I don't know: nothing in your files answers this."
NEAREST = "I don't know for certain. The nearest passage says: "
REPLACED = "The model's own answer was not supported by your files, so this is a quotation."
QUOTED = "Quoted from your files."
RECALLED = "Learned from your files, and found in them again."

READ = 5
"""Passages the reader looks at. The right one is nearly always among the best five, and each
costs some 50 ms of one core."""
CONTAINS = 0.3
"""From this confidence on, the passages may hold the answer, so a model that reads well and
whose words stand there is believed although the reader is not sure."""
STRONG = 0.8
"""From this confidence on, a quotation is given although the model said it does not know."""
RECALL_SURE = 0.75
"""Mean token probability from which an answer by heart may outvote the reader, and only when the
passages say it too."""
NEARBY = 0.35
"""Cosine from which a passage is about the question, and is worth showing although no answer was
found in it. Unrelated passages of one's own notes lie around 0.1 to 0.3."""
CITED = 3
"""Most citations of one answer: the passage it rests on, and others that say the same."""
WHOLE = 0.7
"""A span that is this share of its sentence is shown as the sentence alone."""
_RESERVE = 16
"""Tokens kept free for the template around a prompt."""


class Writer(Protocol):
    """What is used of `engine.llama.Llama`."""

    context: int

    def tokenize(self, text: str) -> list[int]: ...

    def generate(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        max_tokens: int = 64,
        temperature: float = 0.0,
        seed: int = 0,
        check: Callable[[], None] = lambda: None,
        trace: Trace | None = None,
    ) -> str: ...

    def sureness(self, messages: Sequence[tuple[str, str]], completion: str) -> float: ...


@dataclass(frozen=True, slots=True)
class Served:
    """Which model answers: base name, version number, and whether an adapter is active."""

    base: str
    version: int
    adapted: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """An answer before it becomes a record: what carries it, and where it stands."""

    text: str
    carried_by: str
    note: str = ""
    hit: int = -1
    quote: str = ""


class Answering:
    """Answers questions from the passages that `retriever` finds."""

    def __init__(
        self,
        writer: Writer,
        retriever: Retriever,
        reader: SpanReader,
        abilities: Abilities,
        *,
        passages: int = 4,
        max_tokens: int = 64,
        rules: Rules | None = None,
    ) -> None:
        self._writer = writer
        self._retriever = retriever
        self._reader = reader
        self._abilities = abilities
        self._passages = passages
        self._max_tokens = max_tokens
        self._rules = rules or Rules()

    @property
    def leads(self) -> bool:
        """Whether the model's own answer leads, by its exam."""
        return self._abilities.leads

    def answer(
        self,
        question: str,
        served: Served,
        *,
        k: int = 0,
        check: Callable[[], None] = lambda: None,
    ) -> Answer:
        """The answer with citations; `check` is called often and may raise to cancel."""
        begun = time.monotonic()
        hits = self._retriever.search(question, max(k or self._passages, READ))
        check()
        evidence = weigh(question, hits, self._reader)
        check()
        signals = Signals(self._rules)
        draft, generated = self._draft(question, hits, evidence, served, signals, check)
        return Answer(
            text=draft.text,
            carried_by=draft.carried_by,
            citations=_cite(draft, hits, evidence),
            version=served.version,
            base=served.base,
            supported=draft.carried_by != "abstained",
            note=" ".join(part for part in (draft.note, served.note) if part),
            generated=generated,
            tokens=len(self._writer.tokenize(generated)) if generated else 0,
            seconds=time.monotonic() - begun,
            confidence=signals.record(),
        )

    def _draft(
        self,
        question: str,
        hits: Sequence[Hit],
        evidence: Sequence[Evidence],
        served: Served,
        signals: Signals,
        check: Callable[[], None],
    ) -> tuple[Draft, str]:
        if not hits or not evidence:
            return Draft(UNKNOWN, "abstained"), ""
        best = evidence[0]
        signals.found(best.confidence)
        order = [hits[best.hit]]  # a small model reads one passage at a time
        if self.leads:
            order += [hit for number, hit in enumerate(hits) if number != best.hit]
        prompt = self._prompt(question, order, best.quote.start)
        written = self._write(prompt, signals, check)
        check()
        if self.leads:
            whole = self._whole(written)
            return self._led_by_model(question, hits, evidence, whole, signals), written
        if served.adapted:
            recalled = self._recall(question, hits, best, signals, check)
            if recalled is not None:
                return recalled
        return self._led_by_reader(question, hits, evidence, written, signals), written

    def _led_by_model(
        self,
        question: str,
        hits: Sequence[Hit],
        evidence: Sequence[Evidence],
        written: str,
        signals: Signals,
    ) -> Draft:
        best = evidence[0]
        if abstains(written):
            if best.confidence >= STRONG:
                return _quotation(best, QUOTED)
            return _unsure(question, hits, evidence)
        support = find_support(written, [hit.text for hit in hits], question)
        seconded = any(e.confidence >= ANSWERS and agree(written, e.text) for e in evidence)
        believed = best.confidence >= CONTAINS and not _echoes(written, question)
        if signals.voted:
            seconded, believed = False, signals.answers and not _echoes(written, question)
        if support is not None and (seconded or believed):
            return Draft(written, "generator", "", support.passage, support.quote.text)
        if best.confidence >= ANSWERS:
            return _quotation(best, REPLACED)
        return _unsure(question, hits, evidence)

    def _led_by_reader(
        self,
        question: str,
        hits: Sequence[Hit],
        evidence: Sequence[Evidence],
        written: str,
        signals: Signals,
    ) -> Draft:
        best = evidence[0]
        if not signals.answers:
            return _unsure(question, hits, evidence)
        if abstains(written):
            return _quotation(best, QUOTED)
        support = find_support(written, [hits[best.hit].text], question)
        if support is not None and agree(written, best.text):
            text = _with_quote(written, support.quote.text)
            return Draft(text, "generator", "", best.hit, support.quote.text)
        return _quotation(best, REPLACED)

    def _recall(
        self,
        question: str,
        hits: Sequence[Hit],
        best: Evidence,
        signals: Signals,
        check: Callable[[], None],
    ) -> tuple[Draft, str] | None:
        """What the adapter knows by heart, if it is sure of it and the passages say it as well."""
        chat = [("user", question)]
        trace: Trace = []
        known = self._writer.generate(chat, max_tokens=self._max_tokens, check=check, trace=trace)
        if abstains(known) or _echoes(known, question) or best.confidence < CONTAINS:
            return None
        support = find_support(known, [hit.text for hit in hits], question)
        if support is None:
            return None
        if not agree(known, best.text) and (
            not _covers(question, hits[support.passage], hits[best.hit])
            or self._writer.sureness(chat, known) < RECALL_SURE
        ):
            return None
        signals.wrote(trace)
        quote = support.quote.text
        text = _with_quote(known, quote)
        return Draft(text, "generator", RECALLED, support.passage, quote), known

    def _write(
        self, prompt: list[tuple[str, str]], signals: Signals, check: Callable[[], None]
    ) -> str:
        """The model's own answer; where its support is in doubt, compared with a second one."""
        if not prompt:
            return ""
        trace: Trace = []
        written = self._writer.generate(
            prompt, max_tokens=self._max_tokens, check=check, trace=trace
        )
        signals.wrote(trace)
        if self._rules.doubtful(signals.span_support or 0.0):
            second = self._writer.generate(
                prompt,
                max_tokens=min(self._rules.second_tokens, self._max_tokens),
                temperature=TEMPERATURE,
                seed=SEED,
                check=check,
            )
            signals.compared(written, second)
        return written

    def _whole(self, written: str) -> str:
        """What was cut off by the length limit, up to its last whole sentence, if it has one."""
        parts = sentences(written)
        if len(parts) < 2 or len(self._writer.tokenize(written)) < self._max_tokens - 1:
            return written
        return written if written[-1] in ".!?…" else written[: parts[-2].end]

    def _prompt(self, question: str, hits: Sequence[Hit], start: int) -> list[tuple[str, str]]:
        """The question over as many passages as fit, best first; empty when not even one
        sentence does.

        `start` is where the reader's sentence begins in the first passage.
        """
        room = self._writer.context - self._max_tokens - _RESERVE
        style = self._abilities.style
        room -= sum(
            len(self._writer.tokenize(text)) for _, text in reading_prompt("", question, style)
        )
        texts: list[str] = []
        for hit in hits[: self._passages]:
            cost = len(self._writer.tokenize(hit.text)) + 2
            if cost > room:
                break
            texts.append(hit.text)
            room -= cost
        if not texts:  # even the best passage is longer than the context: from its span on
            texts = [_shortened(hits[0].text, start, room, self._writer)]
        if not texts[0]:
            return []  # one sentence longer than the context: nothing to ask the model
        return reading_prompt("\n\n".join(texts), question, style)


def _echoes(text: str, question: str) -> bool:
    """Whether a text only repeats words of the question: found in any passage, it says nothing."""
    return stems(text) <= stems(question)


def _covers(question: str, hit: Hit, other: Hit) -> bool:
    """Whether a passage is of the other's document, or has all that it has of the question's words.

    The room of another project stands in another project's note: found there, what is known by
    heart was mixed up, however sure of it the model is.
    """
    if hit.document_id == other.document_id:
        return True
    return stems(question) & stems(other.text) <= stems(hit.text)


def _unsure(question: str, hits: Sequence[Hit], evidence: Sequence[Evidence]) -> Draft:
    """Abstain, and show what retrieval puts first, if it is about the question at all."""
    nearest = hits[0]
    if nearest.similarity is None or nearest.similarity < NEARBY:
        return Draft(UNKNOWN, "abstained")
    pointed = [e.quote.text for e in evidence if e.hit == 0]
    asked = stems(question)
    closest = sorted(
        (s.text for s in sentences(nearest.text)), key=lambda text: -len(asked & stems(text))
    )
    quote = (pointed or closest)[0]
    return Draft(f"{NEAREST}“{quote}”", "abstained", "", 0, quote)


def _quotation(evidence: Evidence, note: str) -> Draft:
    sentence = evidence.quote.text
    return Draft(_with_quote(evidence.text, sentence), "quote", note, evidence.hit, sentence)


def _with_quote(short: str, sentence: str) -> str:
    """A short answer and the sentence it stands in, or that alone when both are nearly the same."""
    if len(short) >= WHOLE * len(sentence):
        return f"“{sentence}”"
    return f"{short} — “{sentence}”"


def _cite(draft: Draft, hits: Sequence[Hit], evidence: Sequence[Evidence]) -> tuple[Citation, ...]:
    """The passage that carries the answer first, then others that say the same."""
    if draft.hit < 0:
        return ()
    places = [(draft.hit, draft.quote)]
    for other in evidence:
        if other.hit != draft.hit and other.confidence >= ANSWERS:
            span = next((e.text for e in evidence if e.hit == draft.hit), draft.text)
            if agree(other.text, span):
                places.append((other.hit, other.quote.text))
    return tuple(
        Citation(mark, hits[hit].chunk_id, str(hits[hit].locator), quote)
        for mark, (hit, quote) in enumerate(places[:CITED], start=1)
    )


def _shortened(text: str, start: int, room: int, writer: Writer) -> str:
    """Whole sentences from character `start` on that fit into `room` tokens together."""
    end = start
    for sentence in sentences(text):
        if sentence.start >= start:
            if len(writer.tokenize(text[start : sentence.end])) > room:
                break
            end = sentence.end
    return text[start:end]


def span_of(answer: Answer) -> str:
    """The bare answer without the sentence that is quoted with it."""
    return answer.text.partition(" — “")[0].strip("“”")


def with_marks(answer: Answer) -> str:
    """The answer as one text with `[1]` and its sources, for clients that show text only."""
    if not answer.citations:
        return answer.text
    marks = "".join(f"[{citation.mark}]" for citation in answer.citations)
    sources = "\n".join(f"[{c.mark}] {c.locator}" for c in answer.citations)
    return f"{answer.text} {marks}\n\n{sources}"


def with_note(answer: Answer, note: str) -> Answer:
    """The answer with a further remark."""
    return replace(answer, note=" ".join(part for part in (answer.note, note) if part))
