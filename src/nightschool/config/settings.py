"""Every setting: its type, its default, what it may be, and what it means (the string under it).

`config/default.toml` is made from this file. A new setting is a field with its docstring here; the
rule in `Annotated` says which values make sense.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from nightschool.config.rules import Between, DaySpan, Like, OneOf, Port, Reranks

DAY = 86_400
PROFILES = ("tiny", "laptop", "workstation", "portable")
"""The names of the files in config/profiles."""
RECIPES = (
    "lora", "lora_all", "rslora", "lora_plus", "lora_fa", "selective", "delta_lora",
    "adalora", "gralora", "vera", "tinylora", "osf", "dora",
)  # fmt: skip
"""The pages of `train.recipes`, which is too heavy to be asked here."""
ORIGINS = r"([a-z][a-z0-9+.-]*://[^\s,/]+(\s*,\s*|$))*"


@dataclass(frozen=True, slots=True)
class Learn:
    """When and how a night runs."""

    automatic: Annotated[str, OneOf("ask", "yes", "no")] = "ask"
    """Whether nights start by themselves: `ask` = after `nightschool nights on`, `yes`, `no`."""
    window: Annotated[str, DaySpan()] = "22:00-07:00"
    """Local time in which nights may start; may cross midnight."""
    idle_s: Annotated[int, Between(0, DAY)] = 300
    """Seconds without input before a night may start, where idle time is known."""
    budget_s: Annotated[int, Between(1, DAY)] = 300
    """Seconds of training a night (exams come on top)."""
    daily_budget_s: Annotated[int, Between(0, DAY)] = 3600
    """Seconds of learner time a day, all nights together."""
    min_new_pairs: Annotated[int, Between(0, 1_000_000)] = 20
    """Fewer new practice pairs than this are not worth a night."""
    threads: Annotated[int, Between(0, 1024)] = 0
    """Processor threads of the learner; 0 = all physical cores."""
    min_battery: Annotated[int, Between(0, 100)] = 0
    """Percent of charge down to which a night may run on battery; 0 = on mains only."""
    max_celsius: Annotated[int, Between(30, 120)] = 80
    """A night starts below this temperature of the processor, and stops 10 degrees above it."""
    max_others: Annotated[float, Between(0, 1)] = 0.25
    """A night starts while other programs use less than this share of the processors (or of the
    graphics card), and stops at twice as much; 1 = never mind them."""
    languages: Annotated[str, Like(r"[a-z]{2,3}(\s*,\s*[a-z]{2,3})*", "en,de")] = "en"
    """Languages that are practised, as ISO codes with commas; texts in others are only searched.
    Rules write English questions; another language needs a model that writes it."""
    recipe: Annotated[str, OneOf(*RECIPES)] = "lora"
    """How nights train (docs/method.md): lora, lora_all, rslora, lora_plus, lora_fa, selective,
    delta_lora, adalora, gralora, vera, tinylora or osf."""
    distil: Annotated[float, Between(0, 10)] = 0.0
    """Weight of prompt distillation: the base that sees the passage teaches the answer's
    distribution, where it reads right; 0 = not used."""
    preference: Annotated[float, Between(0, 10)] = 0.0
    """Weight of learning from answers that you liked or disliked (KTO); 0 = not used, liked and
    corrected answers are practised all the same."""
    regime: Annotated[str, OneOf("from-base", "continue")] = "from-base"
    """Where a night starts: from-base, or continue (from the served version, docs/method.md)."""
    relearn_days: Annotated[int, Between(1, 3650)] = 7
    """In the regime continue: days until everything is relearned from the base."""
    merge: Annotated[str, OneOf("", "linear", "ties", "dare", "slerp")] = ""
    """In the regime continue: propose a merge of the newest versions before relearning: linear,
    ties, dare or slerp; empty = none."""
    spend_alpha: bool = False
    """Make the proof of a gain stricter at every further night on unchanged files, so that trying
    until one passes does not pay."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Which practice questions are used."""

    auto_approve: Annotated[float, Between(0, 2)] = 0.0
    """How sure (0..1) the reader must be of a fact read from a sentence, else it waits for
    `nightschool pairs review`; 0 = nothing waits, above 1 = everything does."""
    facts_per_file: Annotated[int, Between(1, 1_000_000)] = 40
    """Most facts taken from one file: no file crowds the others out, or poisons them."""
    file_share: Annotated[float, Between(0, 1)] = 0.0
    """Most of a night's facts (a share) that one file may give; 0 = no such limit."""
    folder_share: Annotated[float, Between(0, 1)] = 0.0
    """Most of a night's facts (a share) that one folder (a watched one, or one right inside it) may
    give where there are several; 0 = no such limit. Against planted files that come together."""
    alike: Annotated[int, Between(0, 1_000_000)] = 4
    """Where more facts than this agree, in that a word of the question all but tells the answer,
    none of them is practised until you approve it: so does poison look that is spread over many
    files. They are found and quoted all the same. 0 = no such limit."""
    near_duplicates: Annotated[float, Between(0, 1)] = 0.0
    """Drop a fact whose question shares this much of its words (0..1) with another one's and has
    the same answer; 0 = only equal questions are dropped."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How questions are answered."""

    keep_alive_s: Annotated[int, Between(0, 366 * DAY)] = 600
    """Seconds after the last question until the engine gives its memory back."""
    threads: Annotated[int, Between(0, 1024)] = 0
    """Processor threads of llama.cpp; 0 = all physical cores."""
    context: Annotated[int, Between(0, 1 << 20)] = 0
    """Tokens of context, at most what the model was made for; 0 = up to 4096, as memory allows."""
    passages: Annotated[int, Between(0, 64)] = 4
    """Passages put before the model for one question."""
    max_tokens: Annotated[int, Between(1, 1 << 20)] = 64
    """Length limit of an answer from files, in tokens; the model's own words may have 512 where
    nobody says otherwise."""
    keep_answers: Annotated[int, Between(0, 1_000_000)] = 200
    """Answers that are remembered, to be judged with `nightschool feedback`; 0 = none."""
    second_answer: Annotated[str, OneOf("never", "informs", "decides")] = "never"
    """Whether a second answer is sampled when the support of the first is in doubt: never, informs
    (its agreement is shown), or decides (between the answer and a quotation or "I don't know")."""
    doubt: Annotated[float, Between(0, 0.5)] = 0.2
    """How near to even odds (0.5) the support of an answer must be to be in doubt."""
    agreement: Annotated[float, Between(0, 1)] = 0.5
    """Share of their content (0..1) that two sampled answers must have in common to be believed."""
    max_entropy: Annotated[float, Between(0, 20)] = 0.0
    """Mean entropy (nats a content token) above which two agreeing answers are not believed all the
    same; 0 = it only informs."""
    second_tokens: Annotated[int, Between(1, 512)] = 32
    """Length limit of a second answer, in tokens."""


@dataclass(frozen=True, slots=True)
class Search:
    """How the passages of a search are ordered. Answers read their passages in any case."""

    rerank: Annotated[str, Reranks()] = "off"
    """What reads the first passages again and orders them: off, reader (the one in the box), or a
    cross-encoder on this machine: its folder, or its OWNER/NAME once `hf download` has fetched it
    (needs the package sentence-transformers)."""
    rerank_depth: Annotated[int, Between(2, 100)] = 20
    """So many of the first passages are read."""
    rerank_ms: Annotated[int, Between(1, 60_000)] = 1000
    """Milliseconds for that; passages that were not read in time follow in their old order. One
    batch is always read, and loading a cross-encoder is not counted."""

    def wish(self, by: str = "") -> dict[str, str | int]:
        """What the engine is asked for: `by`, or as set."""
        return {
            "rerank": by or self.rerank,
            "rerank_depth": self.rerank_depth,
            "rerank_ms": self.rerank_ms,
        }


@dataclass(frozen=True, slots=True)
class Serve:
    """The local door."""

    port: Annotated[int, Port()] = 7411
    """TCP port on 127.0.0.1."""
    body_limit: Annotated[int, Between(1024, 1 << 30)] = 1_048_576
    """Largest request body in bytes."""
    origins: Annotated[
        str, Like(r"([a-z][a-z0-9+.-]*://[^\s,/]+(\s*,\s*|$))*", "http://localhost:3000")
    ] = ""
    """Exact origins of web pages that may use the door (with the token), separated by commas, for
    example http://localhost:3000; empty = none but its own."""
    socket: str = ""
    """Absolute path of a unix socket (mode 0600) that serves the same as the port; empty = none."""


@dataclass(frozen=True, slots=True)
class Files:
    """Which files are read."""

    max_bytes: Annotated[int, Between(1, 1 << 40)] = 50_000_000
    """Larger files are skipped, with that reason."""
    reconcile_s: Annotated[int, Between(10, 7 * DAY)] = 3600
    """Seconds between two full comparisons of folder and index."""
    settle_s: Annotated[float, Between(0, 3600)] = 2.0
    """Size and time must be unchanged this long before a changed file is read."""
    parse_timeout_s: Annotated[float, Between(0.1, 3600)] = 30.0
    """Seconds that one file may take to parse."""
    search: Annotated[str, OneOf("original", "redacted")] = "original"
    """What search and answers see: original, or redacted (secrets and personal data taken out)."""
    ocr: Annotated[str, Like(r"([A-Za-z_]+(\+[A-Za-z_]+)*)?", "eng+deu")] = ""
    """Languages in which Tesseract, when it is installed, reads scanned pages (eng, eng+deu); empty
    leaves them alone."""
    personal: Annotated[str, OneOf("redact", "learn")] = "redact"
    """E-mail addresses, phone and identity numbers in what is practised: redact, or learn.
    Secrets (keys, passwords, card numbers, IBANs) are always taken out."""


@dataclass(frozen=True, slots=True)
class Forget:
    """What happens when a file is deleted or forgotten."""

    grace_s: Annotated[int, Between(0, 3650 * DAY)] = 86_400
    """Seconds in which it can be undone. Search, practice and the versions that saw the file are
    cut off at once; only their adapters stay on the disk until then. 0 = no undo."""
    edits: Annotated[str, OneOf("relearn", "block")] = "relearn"
    """After an edit: relearn = versions that saw the old text stay until the next night; block =
    they are blocked at once, as after a deletion."""


@dataclass(frozen=True, slots=True)
class Desktop:
    """What is seen of it on the desktop."""

    notify: bool = True
    """Show a notification when a new version was promoted."""


@dataclass(frozen=True, slots=True)
class Config:
    """All settings."""

    learn: Learn = field(default_factory=Learn)
    pairs: Pairs = field(default_factory=Pairs)
    engine: Engine = field(default_factory=Engine)
    search: Search = field(default_factory=Search)
    serve: Serve = field(default_factory=Serve)
    files: Files = field(default_factory=Files)
    forget: Forget = field(default_factory=Forget)
    profile: Annotated[str, OneOf("", *PROFILES)] = ""
    """Settings to start from: tiny, laptop, workstation or portable (config/profiles); what this
    file says itself goes before them. Empty = the defaults."""
    desktop: Desktop = field(default_factory=Desktop)
    model: str = ""
    """The base model's name in the catalogue or path of a GGUF; empty = the starter in the box."""
