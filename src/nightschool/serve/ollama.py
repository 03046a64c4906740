"""The Ollama dialect: chat, generate and embed, with its lines of JSON and its durations. What it
says of models is in `ollama_cards`.

Ollama's clients send the token as a header of their own (`OLLAMA_API_KEY`), see docs/http.md.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.clock import SystemClock, iso
from nightschool.errors import NightschoolError
from nightschool.serve import fields, models, ollama_cards, problems, talk
from nightschool.serve.fields import Field
from nightschool.serve.problems import Invalid, Problem
from nightschool.serve.service import Json, Service
from nightschool.serve.streaming import EventStream, while_connected

LINES = "application/x-ndjson"
MAX_INPUTS = 256
NS = 1_000_000_000
_COMMON = (
    Field("model", "string", "One of GET /api/tags.", required=True),
    Field("stream", "boolean", "Send pieces as lines of JSON.", default=True),
    Field("options", "object", "Sampling.", default={}),
    Field("logprobs", "boolean", "Report log-probabilities.", default=False),
    Field("top_logprobs", "integer", "Alternatives for each token.", default=0, low=0, high=20),
)
CHAT = (*_COMMON, Field("messages", "array", "The conversation.", default=[]))
GENERATE = (
    *_COMMON,
    Field("prompt", "string", "The question, or with `raw` the text to continue.", default=""),
    Field("system", "string", "A system message.", default=""),
    Field("raw", "boolean", "Continue the prompt as it stands.", default=False),
)
OPTIONS = (
    Field("temperature", "number", "", default=0.0, low=0, high=10),
    Field("top_p", "number", "", default=1.0, low=0, high=1),
    Field("top_k", "integer", "", default=0, low=0, high=1_000_000),
    Field("min_p", "number", "", default=0.0, low=0, high=1),
    Field("seed", "integer", "", default=0, low=-(2**63), high=2**63),
    Field("num_predict", "integer", "", low=-2, high=1_000_000),
    Field("repeat_penalty", "number", "", default=1.0, low=0, high=10),
    Field("frequency_penalty", "number", "", default=0.0, low=-2, high=2),
    Field("presence_penalty", "number", "", default=0.0, low=-2, high=2),
)
"""Those that change what is written. Others (num_ctx, num_thread …) are this service's to decide
and are passed over, as Ollama passes over what it does not know."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class _Call:
    """One chat or generate request, checked. `chat` says whose shape the answer has."""

    name: str
    params: Json
    stream: bool
    chat: bool
    marks: bool
    keep_s: float | None
    began: float


def routes(service: Callable[[], Service], *, stall_s: float) -> list[Route]:
    """All routes under /api."""

    async def answer(request: Request) -> Response:
        raw = await fields.body(request)
        chat = request.url.path.endswith("/chat")
        call = await _read(service(), raw, chat=chat)
        await service().keep(call.keep_s)
        if not call.params:
            return JSONResponse(await _only_load(service(), request, call))
        source = service().chat(call.params)
        if not call.stream:
            result = await while_connected(request, talk.last(source))
            return JSONResponse(_last(call, result, result["text"] + _tail(call, result)))
        first: Json = await while_connected(request, anext(source))
        return EventStream(_lines(call, first, source), stall_s=stall_s, media_type=LINES)

    async def embed(request: Request) -> Response:
        began = time.perf_counter()
        raw = await fields.body(request)
        old = request.url.path.endswith("/embeddings")
        choice = await talk.choose(service(), raw.get("model"))
        name = "prompt" if old else "input"
        texts = talk.prompts(raw.get(name), name, 1 if old else MAX_INPUTS)
        if raw.get("dimensions") not in (None, ollama_cards.WIDTH):
            raise Invalid(f"'dimensions' is {ollama_cards.WIDTH}.", "dimensions")
        if raw.get("keep_alive") is not None:
            await service().keep(duration(raw["keep_alive"]))
        made = await while_connected(request, service().embed(texts))
        if old:
            return JSONResponse({"embedding": made["vectors"][0]})
        return JSONResponse(
            {
                "model": choice.name,
                "embeddings": made["vectors"],
                "total_duration": _ns(time.perf_counter() - began),
                "load_duration": 0,
                "prompt_eval_count": made["tokens"],
            }
        )

    async def managed(request: Request) -> Response:
        problem = Problem(
            501,
            "not_here",
            "Models are not managed through this dialect.",
            "Use `nightschool model list|add|use`.",
        )
        return problem.response(request.url.path)

    return [
        *ollama_cards.routes(service),
        Route("/api/chat", answer, methods=["POST"]),
        Route("/api/generate", answer, methods=["POST"]),
        Route("/api/embed", embed, methods=["POST"]),
        Route("/api/embeddings", embed, methods=["POST"]),
        *(
            Route(f"/api/{verb}", managed, methods=["POST"])
            for verb in ("pull", "push", "create", "copy")
        ),
        Route("/api/delete", managed, methods=["DELETE"]),
    ]


# -- reading -----------------------------------------------------------------------------------


async def _read(service: Service, raw: Json, *, chat: bool) -> _Call:
    values = fields.read(CHAT if chat else GENERATE, raw, strict=False)
    if raw.get("think"):
        raise Invalid("This model does not think aloud: leave 'think' out.", "think")
    for name in ("suffix", "template", "images", "context"):
        if raw.get(name):
            raise Invalid(f"{name!r} is not supported by this server.", name)
    choice = await talk.choose(service, values["model"])
    params = _params(raw, values, choice, chat=chat)
    if params:
        if values["logprobs"]:
            params["logprobs"] = values["top_logprobs"]
        params |= {"version": choice.version, "form": _form(raw.get("format"))}
    keep = raw.get("keep_alive")
    return _Call(
        name=choice.name,
        params=params,
        stream=values["stream"],
        chat=chat,
        marks=talk.wants_marks(raw, params.get("form") is None and params.get("mode") == "auto"),
        keep_s=None if keep is None else duration(keep),
        began=time.perf_counter(),
    )


def _params(raw: Json, values: Json, choice: models.Choice, *, chat: bool) -> Json:
    """The engine's parameters; none when the model is only to be loaded or given back."""
    asked = raw.get("messages") if chat else values["prompt"]
    if not asked:
        return {}
    params = _sampling(values["options"])
    if chat:
        offered = talk.tools(raw.get("tools"), None, choice)
        return params | {"messages": talk.messages(asked), "mode": choice.mode, **offered}
    if values["raw"]:
        return params | {"prompt": asked, "mode": "raw"}
    system = [{"role": "system", "content": values["system"]}] if values["system"] else []
    question = {"role": "user", "content": asked}
    return params | {"messages": talk.messages([*system, question]), "mode": choice.mode}


def _sampling(given: Json) -> Json:
    options = fields.read(OPTIONS, given, strict=False)
    length = options["num_predict"]
    return {
        "temperature": options["temperature"],
        "top_p": options["top_p"],
        "top_k": options["top_k"],
        "min_p": options["min_p"],
        "seed": options["seed"],
        "repeat": options["repeat_penalty"],
        "frequency": options["frequency_penalty"],
        "presence": options["presence_penalty"],
        "max_tokens": length if length and length > 0 else None,
        "stop": talk.stop(given.get("stop")),
    }


def _form(given: Any) -> Json | None:
    if given in (None, ""):
        return None
    if given == "json":
        return {}
    if isinstance(given, dict) and given:
        return given
    raise Invalid("'format' is json or a JSON schema.", "format")


def duration(given: Any) -> float:
    """Seconds of `keep_alive`: a number of seconds or a text like `5m`; negative is for good."""
    if isinstance(given, bool) or not isinstance(given, int | float | str):
        raise Invalid("'keep_alive' is seconds or a text like 5m.", "keep_alive")
    if isinstance(given, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smh])", given)
        if "".join(f"{number}{unit}" for number, unit in parts) != given.lstrip("-") or not parts:
            try:
                seconds = float(given)
            except ValueError:
                raise Invalid("'keep_alive' is seconds or a text like 5m.", "keep_alive") from None
        else:
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
            seconds = -seconds if given.startswith("-") else seconds
    else:
        seconds = float(given)
    if math.isnan(seconds):
        raise Invalid("'keep_alive' is seconds or a text like 5m.", "keep_alive")
    return math.inf if seconds < 0 else seconds


# -- writing -----------------------------------------------------------------------------------


def _ns(seconds: float) -> int:
    return int(seconds * NS)


def now() -> str:
    """The time in the form that Ollama's clients parse."""
    return iso(SystemClock().now())


async def _only_load(service: Service, request: Request, call: _Call) -> Json:
    """An empty request loads the engine, or with keep_alive 0 gives its memory back."""
    unload = call.keep_s == 0
    if not unload:
        await while_connected(request, service.search("nightschool", 1, "off"))
    body = _piece(call, "") | {"done": True, "done_reason": "unload" if unload else "load"}
    return body | {"total_duration": _ns(time.perf_counter() - call.began)}


def _tail(call: _Call, result: Json) -> str:
    return talk.marks(result, call.marks)


def _piece(call: _Call, text: str) -> Json:
    body: Json = {"model": call.name, "created_at": now()}
    if call.chat:
        return body | {"message": {"role": "assistant", "content": text}, "done": False}
    return body | {"response": text, "done": False}


def _last(call: _Call, result: Json, text: str) -> Json:
    """The closing line: text (empty in a stream), reason, counts and nanoseconds."""
    body = _piece(call, text)
    if call.chat and result.get("tool_calls"):
        body["message"]["tool_calls"] = [{"function": one} for one in result["tool_calls"]]
    if result.get("logprobs"):
        body["logprobs"] = [
            {"token": one["token"], "logprob": one["logprob"], "top_logprobs": one["top"]}
            for one in result["logprobs"]
        ]
    total = time.perf_counter() - call.began
    timing = result.get("timing", {})
    prompt_s = min(timing.get("prompt_s", 0.0), total)
    eval_s = min(timing.get("eval_s", 0.0), total - prompt_s)
    return body | {
        "done": True,
        "done_reason": "length" if result.get("finish_reason") == "length" else "stop",
        "total_duration": _ns(total),
        "load_duration": _ns(max(total - result.get("seconds", total), 0.0)),
        "prompt_eval_count": int(result.get("prompt_tokens", 0)),
        "prompt_eval_duration": _ns(prompt_s),
        "eval_count": int(result.get("tokens", 0)),
        "eval_duration": _ns(eval_s),
        "nightschool": talk.extension(result),
    }


async def _lines(
    call: _Call, first: Json, source: AsyncGenerator[Json, None]
) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(source) as messages:
        message: Json | None = first
        try:
            while message is not None:
                if "delta" in message:
                    yield _line(_piece(call, message["delta"]))
                elif "result" in message:
                    result = message["result"]
                    if tail := _tail(call, result):
                        yield _line(_piece(call, tail))
                    yield _line(_last(call, result, ""))
                message = await anext(messages, None)
        except NightschoolError as error:
            yield _line(problems.of(error).plain())


def _line(body: Json) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode() + b"\n"
