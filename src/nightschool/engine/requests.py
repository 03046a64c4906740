"""The parameters of the engine's `chat` operation, read and checked (see `engine.main`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nightschool.config.rules import Reranks
from nightschool.engine.sampling import MOST_ALTERNATIVES, Sampling
from nightschool.engine.talking import Reply, Request
from nightschool.engine.tools import written
from nightschool.errors import UsageError
from nightschool.index.rerank import OFF, Wish

Params = Mapping[str, Any]
RERANKS = Reranks()


def text(params: Params, name: str) -> str:
    """A text, or UsageError."""
    value = params.get(name)
    if not isinstance(value, str):
        raise UsageError(f"`{name}` must be a text.", "Send a string.")
    return value


def number(params: Params, name: str, default: Any) -> Any:
    """A finite number of the default's type, or UsageError."""
    value = params.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"`{name}` must be a number.", "Send a finite number.")
    return type(default)(value)


def version(params: Params) -> int | None:
    """The version asked for; None is the current one."""
    return None if params.get("version") is None else int(number(params, "version", 0))


def wish(params: Params) -> Wish | None:
    """By what a search is reranked; None is by nothing. Raises UsageError for what cannot be."""
    by = text(params, "rerank") if params.get("rerank") is not None else OFF
    wrong = RERANKS.wrong("rerank", by)
    if wrong is not None:
        raise UsageError(*wrong)
    if by == OFF:
        return None
    default = Wish()
    return Wish(
        by,
        number(params, "rerank_depth", default.depth),
        number(params, "rerank_ms", default.budget_ms),
    )


def read(params: Params, style: str) -> Request:
    """The whole request. `style` is how the loaded model writes tool calls."""
    stop = params.get("stop") or ()
    form = params.get("form")
    if form is not None and not isinstance(form, dict):
        raise UsageError("`form` must be a JSON schema object.", "Send an object.")
    return Request(
        messages=tuple(_messages(params, style)),
        prompt=text(params, "prompt") if params.get("prompt") is not None else None,
        version=version(params),
        mode=str(params.get("mode") or "auto"),
        sampling=Sampling(
            max_tokens=max(number(params, "max_tokens", 0), 0),
            temperature=number(params, "temperature", 0.0),
            top_p=number(params, "top_p", 1.0),
            top_k=number(params, "top_k", 0),
            min_p=number(params, "min_p", 0.0),
            repeat=number(params, "repeat", 1.0) or 1.0,
            frequency=number(params, "frequency", 0.0),
            presence=number(params, "presence", 0.0),
            seed=number(params, "seed", 0),
            stop=(stop,) if isinstance(stop, str) else tuple(str(item) for item in stop),
            logprobs=min(number(params, "logprobs", -1), MOST_ALTERNATIVES),
        ),
        form=form,
        grammar=str(params.get("grammar") or ""),
        tools=tuple(params.get("tools") or ()),
        tools_unused=bool(params.get("tools_unused")),
        tool_choice=str(params.get("tool_choice") or "auto"),
    )


def _messages(params: Params, style: str) -> list[tuple[str, str]]:
    """`[{"role", "content", "tool_calls"?}, …]` or `[[role, content], …]`."""
    found = []
    for item in params.get("messages") or []:
        role, content = (
            (item.get("role"), item.get("content"))
            if isinstance(item, dict)
            else (item if isinstance(item, list) and len(item) == 2 else (None, None))
        )
        if not isinstance(role, str) or not isinstance(content, str):
            raise UsageError("A message needs a `role` and a text `content`.", "Send both.")
        earlier: Sequence[Any] = item.get("tool_calls") or () if isinstance(item, dict) else ()
        if earlier:
            content = f"{content}\n{written(earlier, style)}".strip()
        found.append((role, content))
    return found


def result(reply: Reply) -> dict[str, Any]:
    """What a reply has beside its answer, as plain JSON objects; seconds and token counts."""
    timing = reply.timing
    return {
        "prompt_tokens": reply.prompt_tokens,
        "finish_reason": reply.finish,
        "logprobs": [
            {
                "token": one.token,
                "logprob": one.logprob,
                "bytes": list(one.bytes),
                "top": [
                    {"token": token, "logprob": value, "bytes": list(raw)}
                    for token, value, raw in one.top
                ],
            }
            for one in reply.logprobs
        ],
        "tool_calls": [
            {"name": call.name, "arguments": call.arguments} for call in reply.tool_calls
        ],
        "timing": {
            "cached_tokens": timing.cached,
            "prompt_s": timing.prompt_s,
            "eval_s": timing.eval_s,
            "guessed": timing.guessed,
            "accepted": timing.accepted,
        },
    }
