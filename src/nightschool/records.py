"""The frozen values that cross a boundary between two folders. No behaviour but (de)serialising.

Identity (row ids) belongs to the store; a record that has not been stored yet has `id=0`.
Paths are POSIX, NFC, relative to their watched root, so that a home can move.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Kind(StrEnum):
    """What happened to a file, as the reconcile sees it."""

    ADDED = "added"
    MODIFIED = "modified"
    MOVED = "moved"
    DELETED = "deleted"


class FileStatus(StrEnum):
    """Where one file stands; every status but INDEXED carries a reason in words."""

    WAITING = "waiting"
    INDEXED = "indexed"
    SKIPPED = "skipped"


class PairKind(StrEnum):
    """The form of a practice item (methods.md 1.4)."""

    CLOSED = "closed"  # question → answer, no context: recall
    READING = "reading"  # question + gold passage + distractors → answer
    UNANSWERABLE = "unanswerable"  # question + distractors only → abstain
    REWRITE = "rewrite"  # the evidence in other words
    STYLE = "style"
    FEEDBACK = "feedback"


class Split(StrEnum):
    """Who may see a pair: training, the planner (as aggregates), or only the gate."""

    TRAIN = "train"
    VISIBLE = "visible"
    HIDDEN = "hidden"


class Verdict(StrEnum):
    """What the gate says of a candidate."""

    PROMOTE = "promote"
    HOLD = "hold"
    REJECT = "reject"


class Outcome(StrEnum):
    """How a night ended; the sad ones are named."""

    RUNNING = "running"
    PROMOTED = "promoted"
    HELD = "held"
    REJECTED = "rejected"
    NOTHING_NEW = "nothing_new"
    TOO_LITTLE = "too_little"
    INTERRUPTED = "interrupted"
    NAN = "nan"
    OUT_OF_MEMORY = "out_of_memory"
    PARITY_FAILED = "parity_failed"
    FORGOTTEN = "forgotten"  # a file it practised was forgotten meanwhile
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Root:
    """A watched folder. `learn=False` means search only, never learn.

    `source` names what kind of place it is (`sources.kinds`): it decides which files are read.
    """

    path: str
    learn: bool = True
    id: int = 0
    added_at: str = ""
    source: str = "folder"


@dataclass(frozen=True, slots=True)
class Change:
    """A difference between a root on disk and what the store knows of it."""

    kind: Kind
    root_id: int
    path: str
    old_path: str | None = None
    size: int = 0
    mtime_ns: int = 0


@dataclass(frozen=True, slots=True)
class Locator:
    """Where a chunk stands, in terms a person can follow.

    `lines` are 1-based and inclusive; `page` is 1-based; `headings` run from the title down.
    `place` is the format's own word where it has neither: `slide 3`, `Costs!A2:D9`, `cell 4`,
    `message <id>`.
    """

    path: str
    headings: tuple[str, ...] = ()
    lines: tuple[int, int] | None = None
    page: int | None = None
    place: str = ""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Locator:
        """The locator that was written as a JSON object."""
        lines = raw.get("lines")
        return cls(
            str(raw["path"]),
            tuple(raw.get("headings") or ()),
            (int(lines[0]), int(lines[1])) if lines else None,
            raw.get("page"),
            str(raw.get("place") or ""),
        )

    def __str__(self) -> str:
        where = ""
        if self.place:
            where = f" {self.place}"
        elif self.page is not None:
            where = f" p. {self.page}"
        elif self.lines is not None:
            first, last = self.lines
            where = f":{first}" if first == last else f":{first}-{last}"
        heading = f" › {self.headings[-1]}" if self.headings else ""
        return f"{self.path}{where}{heading}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of one document: `text` as found, `safe` with secrets redacted (for training)."""

    ordinal: int
    text: str
    safe: str
    locator: Locator
    id: int = 0
    document_id: int = 0


@dataclass(frozen=True, slots=True)
class Document:
    """One file as the store knows it. `sha256` is that of the bytes on disk.

    `waiting` counts passages that have no vector yet and are found by their words only;
    `last_seen` is when the file was last found on the disk as it is known.
    """

    root_id: int
    path: str
    size: int
    mtime_ns: int
    sha256: str
    status: FileStatus
    reason: str = ""
    title: str = ""
    format: str = ""
    redactions: dict[str, int] = field(default_factory=dict)
    chunks: int = 0
    pairs: int = 0
    learned_in: tuple[int, ...] = ()
    updated_at: str = ""
    id: int = 0
    language: str = ""
    """ISO 639-1, empty when unknown."""
    waiting: int = 0
    last_seen: str = ""


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result: a chunk, its fused score, and where each ranking put it (1-based)."""

    chunk_id: int
    document_id: int
    text: str
    locator: Locator
    score: float
    lexical_rank: int | None = None
    dense_rank: int | None = None
    similarity: float | None = None
    rerank_score: float | None = None
    """What a reranker gave it; None where none read it. Its scale is that reranker's own."""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Hit:
        """The hit that a process gave as plain values."""
        return cls(**{**raw, "locator": Locator.of(raw["locator"])})


@dataclass(frozen=True, slots=True)
class Pair:
    """One practice item.

    `evidence` is a literal span of the chunk's safe text that contains `answer`. `fact` groups
    the phrasings of one fact; `phrasing` numbers them. `context` holds the chunk ids shown with
    the question (gold and distractors), empty for closed-book items.
    """

    kind: PairKind
    question: str
    answer: str
    evidence: str
    fact: str
    phrasing: int
    split: Split
    chunk_ids: tuple[int, ...]
    context: tuple[int, ...] = ()
    writer: str = "rules"
    status: str = "auto"
    id: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """One night's experiment: what is tried, why, and with which settings.

    `context_share` is the share of practised tokens that are items with passages (reading,
    abstaining), `budget_s` bounds the training loop (wall seconds), `learning_rate` is AdamW's,
    `replay` the share of replayed items in every batch, `kl` and `kl_text` the weights of
    KL(base‖student) per rehearsed answer and per token of plain text, `scales` the adapter
    scales the gate may fall back to, `facts` how many are learned by heart (0 = all), `layers`
    those that the recipe `selective` trains (empty = the upper half), `start` where practice
    begins: `base`, `parent` or `merge:METHOD` (see `regime`), `distil` and `preference` weigh two
    more losses (see `train.loop`).
    """

    hypothesis: str = "practice closed-book facts with replay of the base's own abilities"
    recipe: str = "lora"
    rank: int = 16
    alpha: int = 32
    learning_rate: float = 3e-3
    facts: int = 0
    passes: int = 8
    batch_size: int = 12
    replay: float = 0.34
    kl: float = 2.0
    kl_text: float = 4.0
    distil: float = 0.0
    preference: float = 0.0
    context_share: float = 0.15
    seed: int = 1
    budget_s: float = 240.0
    scales: tuple[float, ...] = (1.0, 0.95, 0.9, 0.8, 0.65, 0.5)
    parent: int = 0
    start: str = "base"
    layers: tuple[int, ...] = ()
    writer: str = "rules"
    expected: str = "closed-book recall rises; reading, abstention and general text stay"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number with its bound: what the score card prints line by line.

    `value` and the interval `low..high` share `unit`; `n` is the number of items; `ok` is None
    for a figure that is shown but decides nothing.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    bound: str = ""
    ok: bool | None = None
    n: int = 0
    unit: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """All figures of one candidate, the verdict, and the reasons in words."""

    verdict: Verdict
    reasons: tuple[str, ...]
    figures: tuple[Figure, ...]
    scale: float = 1.0
    candidate: str = ""
    reference: str = ""

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Scorecard:
        """The score card that a run's row or a learner's result carries as plain values."""
        return cls(
            **{
                **raw,
                "verdict": Verdict(raw["verdict"]),
                "reasons": tuple(raw["reasons"]),
                "figures": tuple(Figure(**each) for each in raw["figures"]),
            }
        )


@dataclass(frozen=True, slots=True)
class Run:
    """One night. `documents` are the ids whose pairs were practised."""

    outcome: Outcome
    started_at: str
    plan: dict[str, Any]
    base_sha: str
    seed: int
    ended_at: str = ""
    parent: int = 0
    version: int | None = None
    scorecard: dict[str, Any] | None = None
    message: str = ""
    documents: tuple[int, ...] = ()
    id: int = 0


@dataclass(frozen=True, slots=True)
class Version:
    """An immutable adapter of one base model. Number 0 is the base itself, without adapter."""

    number: int
    base_sha: str
    status: str
    created_at: str
    scale: float = 1.0
    run_id: int | None = None
    sha256: str = ""
    directory: str = ""
    note: str = ""
    current: bool = False


@dataclass(frozen=True, slots=True)
class ForgottenFile:
    """One file that was forgotten: its content hash, what went with it, and copies that stay.

    `copies` are files with the same bytes that are still indexed. `removed` says that the file
    itself was deleted too (only notes that Nightschool wrote).
    """

    root: str
    path: str
    sha256: str
    passages: int = 0
    pairs: int = 0
    document_id: int = 0
    copies: tuple[str, ...] = ()
    removed: bool = False


@dataclass(frozen=True, slots=True)
class BlockedVersion:
    """A version that had seen a forgotten file: its status before, its night, its adapter."""

    number: int
    status: str
    run_id: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was forgotten, when, and what that did.

    `kind` is `deleted` (the file went away), `asked` (`forget`), or `edited`. `nights` were ended
    because they practised it. Until `grace_until` it can be undone, and the blocked versions'
    adapters stay on the disk; `erased` lists what `vacuum` removed. `sha256` is that of the facts
    (kind, target, time, files, versions, nights, what was served) as canonical JSON.
    """

    kind: str
    target: str
    at: str
    files: tuple[ForgottenFile, ...]
    versions: tuple[BlockedVersion, ...] = ()
    nights: tuple[int, ...] = ()
    served_before: int = 0
    served_after: int = 0
    relearn: bool = False
    grace_until: str = ""
    sha256: str = ""
    undone_at: str = ""
    erased_at: str = ""
    erased: dict[str, Any] = field(default_factory=dict)
    id: int = 0


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage an answer rests on: mark `[1]`, locator, and the quoted sentence."""

    mark: int
    chunk_id: int
    locator: str
    quote: str


@dataclass(frozen=True, slots=True)
class Confidence:
    """What speaks for an answer: three signals, each None where it was not taken.

    `span_support` (0..1) is the chance that the best passage answers, by reader and search.
    `entropy_mean` and `entropy_max` (nats) are of the model's next-token distribution, over the
    `entropy_tokens` content tokens it wrote. `agreement` (0..1) is the share of content that
    `samples` answers of the model have in common. `decided_by` is `span_support`, `agreement`, or
    `nothing` where no check was made.
    """

    span_support: float | None = None
    entropy_mean: float | None = None
    entropy_max: float | None = None
    entropy_unit: str = "nats"
    entropy_tokens: int = 0
    agreement: float | None = None
    samples: int = 0
    decided_by: str = "nothing"


@dataclass(frozen=True, slots=True)
class Answer:
    """What `ask` returns.

    `carried_by` names what produced the text: `generator` (supported by the passages), `quote`
    (the generator was not supported, so the best passage is quoted), `weights` (raw mode, no
    retrieval) or `abstained`.
    """

    text: str
    carried_by: str
    citations: tuple[Citation, ...]
    version: int
    base: str
    supported: bool
    note: str = ""
    generated: str = ""
    tokens: int = 0
    seconds: float = 0.0
    id: str = ""
    """Its name for feedback, `v3/17`; empty when answers are not remembered."""
    confidence: Confidence | None = None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Answer:
        """The answer that a process gave as plain values."""
        citations = tuple(Citation(**each) for each in raw["citations"])
        sure = raw.get("confidence")
        confidence = None if sure is None else Confidence(**sure)
        return cls(**{**raw, "citations": citations, "confidence": confidence})


@dataclass(frozen=True, slots=True)
class Feedback:
    """What the user said of an answer: `up`, `down`, or `correct` with the right answer."""

    answer: str
    question: str
    text: str
    verdict: str
    correction: str
    at: str
    version: int
    id: int


@dataclass(frozen=True, slots=True)
class FactItem:
    """One fact of the review queue: its plain question, and how many `wordings` go with it."""

    id: int
    question: str
    answer: str
    evidence: str
    writer: str
    status: str
    wordings: int
    path: str
    root: str
