"""One chat or completion request, from whichever dialect: what it asks for, and how it is served.

In mode `auto` the last question is answered from the files; what the client wants beside that
(a JSON form, a length, stop texts) is applied to that answer. In mode `raw` the model writes alone.
Tools are offered in mode `raw` only, so no text from a file can ever cause a call.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from nightschool.engine import forms, harmless
from nightschool.engine import tools as calls
from nightschool.engine.agreement import SEED, TEMPERATURE, Rules, Signals
from nightschool.engine.answering import with_note
from nightschool.engine.entropy import Entropy, Trace
from nightschool.engine.exam import reading_prompt
from nightschool.engine.llama import Timing
from nightschool.engine.sampling import Sampling, TokenLogprob
from nightschool.engine.stopping import StopGate
from nightschool.engine.support import abstains
from nightschool.engine.tools import ToolCall
from nightschool.errors import UsageError
from nightschool.models.abilities import CHATS
from nightschool.records import Answer, Confidence

if TYPE_CHECKING:
    from nightschool.engine.answering import Served
    from nightschool.engine.runtime import Runtime

CONTRADICTED = "The model's own words were held back: a second sample of it said something else."
OWN_KNOWLEDGE = "Nothing in your files answers this: these are the model's own words."
MARKED = "\n\n(Not from your files: the model's own words.)"
"""Ends such an answer: most clients show the text alone, and nobody may take it for a finding."""
_ABOUT_YOU = re.compile(
    r"\b(?:my|mine|our|ours)\b|\b(?:am|are|was|were|did|do|have|had|shall|should) (?:i|we)\b",
    re.IGNORECASE,
)
"""What only the files could know: a model would make it up."""
FORMED = (
    "Put into the asked form by the model, which may have changed it: compare with the citations."
)
TOOLS_UNUSED = "The tools of this request were not offered to the model: your files answer."
MODES = ("auto", "raw")
ROLES = ("system", "user", "assistant", "tool")
FOLLOW_UP_WORDS = 4
"""A question with fewer words ("and on Friday?") is searched together with the one before."""
RAW_TOKENS = 512
"""Length limit of the model's own words when the client names none."""

Delta = Callable[[str], None]
Check = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for. Either `messages` or `prompt` (a bare text to continue).

    `sampling.max_tokens` 0 means the usual length. `form` is a JSON schema, or `{}` for any JSON
    object; `grammar` is GBNF instead of it. `tools` are OpenAI function tools; `tool_choice` is
    auto, required or a tool's name; `tools_unused` says that the client offered some in vain.
    """

    messages: tuple[tuple[str, str], ...] = ()
    prompt: str | None = None
    version: int | None = None
    mode: str = "auto"
    sampling: Sampling = field(default_factory=lambda: Sampling(max_tokens=0))
    form: Mapping[str, Any] | None = None
    grammar: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    tool_choice: str = "auto"
    tools_unused: bool = False
    traced: bool = False
    """Whether the entropy of what the model writes is taken (see `engine.entropy`)."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer with what only dialects need. `finish` is stop, length or tool_calls."""

    answer: Answer
    prompt_tokens: int
    finish: str
    timing: Timing
    logprobs: tuple[TokenLogprob, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    entropy: Entropy | None = None


def talk(runtime: Runtime, wanted: Request, on_delta: Delta, check: Check) -> Reply:
    """Serve one request. Raises UsageError when it makes no sense or does not fit."""
    if wanted.mode not in MODES:
        raise UsageError(f"Unknown mode {wanted.mode!r}.", f"One of: {', '.join(MODES)}.")
    if wanted.prompt is not None:
        if not wanted.prompt:
            raise UsageError("The prompt is empty.", "Send some text to continue.")
        return _own_words(runtime, wanted, on_delta, check)
    _check_messages(wanted.messages)
    if wanted.mode == "raw":
        return _own_words(runtime, wanted, on_delta, check)
    if wanted.tools:
        raise UsageError(
            "Tools are not offered together with your files: no text in a file may cause a call.",
            "Use the model `nightschool-raw` for tools, and its own tools over MCP.",
        )
    if wanted.sampling.logprobs >= 0:
        raise UsageError(
            "Answers from your files have no log-probabilities: they are checked and quoted.",
            "Use the model `nightschool-raw`.",
        )
    runtime.llama.timing = Timing()  # an answer may come without the model writing anything
    question = asked(wanted.messages)
    runtime.require_room(question)
    answer = runtime.answering().answer(question, runtime.serve(wanted.version), check=check)
    answer = with_note(harmless.answer(answer), runtime.searcher.note)
    if wanted.tools_unused:
        answer = with_note(answer, TOOLS_UNUSED)
    formed = wanted.form is not None or bool(wanted.grammar)
    if not formed and not _small_talk(runtime, question, answer):
        return _from_files(runtime, wanted, answer, on_delta)
    cleaner = harmless.Cleaner(on_delta)
    wanted = replace(wanted, traced=True)
    if formed:
        reply = _formed(runtime, wanted, question, answer, cleaner.push, check)
    elif (spoken := _small_talk_of(runtime, wanted, answer, cleaner.push, check)) is None:
        return _from_files(runtime, wanted, with_note(answer, CONTRADICTED), on_delta)
    else:
        reply = spoken
    cleaner.flush()
    return replace(reply, answer=harmless.answer(reply.answer))


def _small_talk(runtime: Runtime, question: str, answer: Answer) -> bool:
    """Whether the model may speak for itself: it can, the files hold nothing near the question, and
    the question is not about the user's own things."""
    return (
        answer.carried_by == "abstained"
        and not answer.citations
        and runtime.abilities.chats >= CHATS
        and not _ABOUT_YOU.search(question)
    )


def _small_talk_of(
    runtime: Runtime, wanted: Request, answer: Answer, on_delta: Delta, check: Check
) -> Reply | None:
    """The model's own words where no passage answers; None when a second sample contradicts them.

    Where the second sample decides, nothing is shown before it was drawn.
    """
    rules = Rules.of(runtime.config.engine)
    shown: list[str] = []
    space = ""

    def say(piece: str) -> None:  # white space at the end is not shown, as in the whole text
        nonlocal space
        text = (space + piece).rstrip()
        space = (space + piece)[len(text) :]
        if text:
            on_delta(text)

    reply = _own_words(runtime, wanted, shown.append if rules.decides else say, check)
    signals = Signals(rules, entropy=reply.entropy)
    if rules.second_answer != "never" and not abstains(reply.answer.text):
        begun = runtime.llama.detokenize(
            runtime.llama.tokenize(reply.answer.text)[: rules.second_tokens]
        )
        kept = runtime.llama.timing  # the reply's, not the second sample's
        second = runtime.llama.generate(
            wanted.messages,
            max_tokens=rules.second_tokens,
            temperature=TEMPERATURE,
            seed=SEED,
            check=check,
        )
        runtime.llama.timing = kept
        signals.compared(begun, second)
    if signals.voted and not signals.answers:
        return None
    for piece in shown:
        say(piece)
    on_delta(MARKED)
    sure = _beside(reply.answer, answer)
    sure = replace(
        sure,
        agreement=signals.agreement,
        samples=max(signals.samples, sure.samples),
        decided_by=signals.decided_by,
    )
    spoken = replace(reply.answer, text=reply.answer.text + MARKED, confidence=sure)
    return replace(reply, answer=with_note(spoken, OWN_KNOWLEDGE))


def _from_files(runtime: Runtime, wanted: Request, answer: Answer, on_delta: Delta) -> Reply:
    """The checked answer, cut where the client's limits say so."""
    gate = StopGate(wanted.sampling.stop)
    text = gate.push(answer.text)
    text += "" if gate.closed else gate.flush()
    ids = runtime.llama.tokenize(text)
    limit = wanted.sampling.max_tokens
    finish = "length" if limit and len(ids) > limit else "stop"
    if finish == "length":
        ids = ids[:limit]
        text = runtime.llama.detokenize(ids).strip()
    for piece in re.findall(r"\S+\s*|\s+", text):
        on_delta(piece)
    shown = replace(answer, text=text, tokens=len(ids))
    prompt = sum(len(runtime.llama.tokenize(part)) for _, part in wanted.messages)
    timing = replace(runtime.llama.timing, prompt_tokens=prompt, tokens=len(ids))
    return Reply(shown, prompt, finish, timing)


def _formed(
    runtime: Runtime,
    wanted: Request,
    question: str,
    answer: Answer,
    on_delta: Delta,
    check: Check,
) -> Reply:
    """The answer from the files, written again by the model in the form that was asked for."""
    told = reading_prompt(answer.text, question, runtime.abilities.style)
    reply = _own_words(runtime, replace(wanted, messages=tuple(told)), on_delta, check)
    formed = replace(
        answer,
        text=reply.answer.text,
        generated=reply.answer.generated,
        carried_by="generator" if answer.supported else "weights",
        supported=False,
        tokens=reply.answer.tokens,
        seconds=answer.seconds + reply.answer.seconds,
        confidence=_beside(reply.answer, answer),
    )
    return replace(reply, answer=with_note(formed, FORMED))


def _beside(spoken: Answer, found: Answer) -> Confidence:
    """The signals of what the model wrote, with the support that its passage had."""
    support = found.confidence.span_support if found.confidence else None
    return replace(spoken.confidence or Confidence(), span_support=support)


def _own_words(runtime: Runtime, wanted: Request, on_delta: Delta, check: Check) -> Reply:
    llama = runtime.llama
    served = runtime.serve(wanted.version)
    style, sampling = _prepared(runtime, wanted)
    if wanted.prompt is not None:
        ids = llama.tokenize(wanted.prompt, add_special=True)
    else:
        ids = llama.prompt(wanted.messages, wanted.tools)
    begun, pieces, reports = time.monotonic(), [], []

    def watched() -> bool:
        check()
        return False

    trace: Trace | None = [] if wanted.traced else None
    for piece, report in llama.write(ids, sampling, cancelled=watched, trace=trace):
        if report is not None:
            reports.append(report)
        if piece:
            pieces.append(piece)
            if not wanted.tools:  # a call is no text, and shows only when it is complete
                on_delta(piece)
    text = "".join(pieces)
    found: list[ToolCall] = []
    if wanted.tools:
        names = [tool["function"]["name"] for tool in wanted.tools]
        text, found = calls.read(text, style, names)
        if text:
            on_delta(text)
    timing = llama.timing
    answer = _answer(text, served, timing, time.monotonic() - begun, wanted.prompt is None)
    signals = Signals()
    if trace is not None:
        signals.wrote(trace)
        answer = replace(answer, confidence=signals.record())
    finish = "tool_calls" if found else "length" if timing.ended == "length" else "stop"
    return Reply(answer, len(ids), finish, timing, tuple(reports), tuple(found), signals.entropy)


def _prepared(runtime: Runtime, wanted: Request) -> tuple[str, Sampling]:
    """The tool style, and the sampling with its length limit and grammar filled in."""
    sampling = wanted.sampling
    grammar, style = "", ""
    if wanted.tools:
        style = runtime.llama.tool_style
        if not style:
            raise UsageError(
                f"{runtime.model.name} has no tool calls: its chat template knows none, or writes "
                "them in a way that is not known here.",
                "Choose a model with tools (`nightschool model add hf:Qwen/Qwen3-0.6B-GGUF`), or "
                "leave `tools` out.",
            )
        if wanted.tool_choice != "auto":
            only = "" if wanted.tool_choice == "required" else wanted.tool_choice
            grammar = forms.choice(list(wanted.tools), style, only)
    if wanted.form is not None or wanted.grammar:
        if wanted.tools:
            raise UsageError("Tools and a response format exclude each other.", "Ask for one.")
        if wanted.form is not None and wanted.grammar:
            raise UsageError("A grammar and a response format exclude each other.", "Ask for one.")
        if wanted.grammar:
            grammar = forms.given(wanted.grammar)
        else:
            grammar = forms.schema(wanted.form) if wanted.form else forms.any_object()
    limit = sampling.max_tokens or max(RAW_TOKENS, runtime.config.engine.max_tokens)
    return style, replace(sampling, max_tokens=limit, grammar=grammar)


def _answer(text: str, served: Served, timing: Timing, seconds: float, trim: bool) -> Answer:
    return Answer(
        text=text.strip() if trim else text,
        carried_by="weights",
        citations=(),
        version=served.version,
        base=served.base,
        supported=False,
        note=served.note,
        generated=text,
        tokens=timing.tokens,
        seconds=seconds,
    )


def _check_messages(messages: Sequence[tuple[str, str]]) -> None:
    if not messages or not any(text.strip() for role, text in messages if role == "user"):
        raise UsageError("There is no user message.", "Send at least one.")
    for role, _ in messages:
        if role not in ROLES:
            raise UsageError(f"Unknown role {role!r}.", f"One of: {', '.join(ROLES)}.")


def asked(messages: Sequence[tuple[str, str]]) -> str:
    """The last user message; a very short one together with the user message before it."""
    found = [text.strip() for role, text in messages if role == "user" and text.strip()]
    if len(found) > 1 and len(found[-1].split()) < FOLLOW_UP_WORDS:
        return f"{found[-2]} {found[-1]}"
    return found[-1]
