"""The OpenAI dialect: models and chat completions, whole and streamed. The rest of it is in
`completions`, `responses` and `embeddings`."""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.errors import NightschoolError
from nightschool.serve import fields, models, problems, talk
from nightschool.serve.fields import Field
from nightschool.serve.problems import Invalid
from nightschool.serve.service import Json, Service
from nightschool.serve.streaming import EventStream, while_connected

SAMPLING = (
    Field("temperature", "number", "0 is the most likely answer.", default=0.0, low=0, high=2),
    Field("top_p", "number", "Share of the likeliest tokens.", default=1.0, low=0, high=1),
    Field("frequency_penalty", "number", "Against repetition.", default=0.0, low=-2, high=2),
    Field("presence_penalty", "number", "Against repetition.", default=0.0, low=-2, high=2),
    Field("seed", "integer", "Makes sampling repeatable.", default=0, low=-(2**63), high=2**63),
)
_MODEL = Field("model", "string", "One of GET /v1/models.", required=True)
_STREAM = (
    Field("stream", "boolean", "Send pieces as server-sent events.", default=False),
    Field("stream_options", "object", "`include_usage`: end with a usage chunk.", default={}),
)
_LENGTH = Field("max_tokens", "integer", "Length limit of the answer.", low=1, high=1_000_000)
GRAMMAR = Field("grammar", "string", "GBNF that the answer follows, as in llama.cpp.", default="")
ONE = Field("n", "integer", "Only 1.", default=1, low=1, high=1)

CHAT = (
    _MODEL,
    Field("messages", "array", "The conversation; it ends with the user or a tool.", required=True),
    *_STREAM,
    _LENGTH,
    Field("max_completion_tokens", "integer", "The newer name of max_tokens.", low=1, high=1e6),
    *SAMPLING,
    Field("logprobs", "boolean", "Report log-probabilities (nightschool-raw).", default=False),
    Field("top_logprobs", "integer", "Alternatives for each token.", default=0, low=0, high=20),
    Field("response_format", "object", "text, json_object or json_schema.", default={}),
    GRAMMAR,
    ONE,
)
COMPLETION = (_MODEL, *_STREAM, _LENGTH, *SAMPLING, GRAMMAR, ONE)
_UNSUPPORTED = ("functions", "function_call", "audio", "prediction", "logit_bias", "modalities")


@dataclass(frozen=True, slots=True)
class Call:
    """One request, checked. `params` are the engine's."""

    id: str
    created: int
    choice: models.Choice
    params: Json
    stream: bool = False
    include_usage: bool = False
    marks: bool = True


def routes(service: Callable[[], Service], *, stall_s: float) -> list[Route]:
    """Models and chat."""

    async def list_models(request: Request) -> Response:
        versions = await service().versions()
        return JSONResponse({"object": "list", "data": models.listing(versions)})

    async def one_model(request: Request) -> Response:
        choice = await talk.choose(service(), request.path_params["name"])
        return JSONResponse(models.card(choice.name))

    async def chat(request: Request) -> Response:
        call = await _read(service(), await fields.body(request))
        source = service().chat(call.params)
        if not call.stream:
            result = await while_connected(request, talk.last(source))
            return JSONResponse(_completion(call, result))
        # The first message is awaited before the status line, so that an error has its own status.
        first: Json = await while_connected(request, anext(source))
        return EventStream(_events(call, first, source), stall_s=stall_s)

    return [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{name}", one_model, methods=["GET"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
    ]


# -- reading -----------------------------------------------------------------------------------


async def _read(service: Service, raw: Json) -> Call:
    values = fields.read(CHAT, raw, strict=False)
    refuse(raw, _UNSUPPORTED)
    choice = await talk.choose(service, values["model"])
    form = response_form(values["response_format"], "response_format")
    params = sampling(values) | {
        "messages": talk.messages(values["messages"]),
        "version": choice.version,
        "mode": choice.mode,
        "max_tokens": values["max_completion_tokens"] or values["max_tokens"],
        "stop": talk.stop(raw.get("stop")),
        "form": form,
        "grammar": values["grammar"],
        **talk.tools(raw.get("tools"), raw.get("tool_choice"), choice),
    }
    if values["logprobs"]:
        params["logprobs"] = values["top_logprobs"]
    return Call(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        choice=choice,
        params=params,
        stream=values["stream"],
        include_usage=values["stream_options"].get("include_usage") is True,
        marks=talk.wants_marks(raw, form is None and not values["grammar"]),
    )


def refuse(raw: Json, names: tuple[str, ...]) -> None:
    """Say no to what would change the answer and is not there."""
    for name in names:
        if raw.get(name) and raw[name] != ["text"]:
            raise Invalid(f"{name!r} is not supported by this server.", name)


def sampling(values: Json) -> Json:
    """The engine's names of the sampling fields."""
    return {
        "temperature": values["temperature"],
        "top_p": values["top_p"],
        "frequency": values["frequency_penalty"],
        "presence": values["presence_penalty"],
        "seed": values["seed"],
    }


def response_form(given: Json, name: str) -> Json | None:
    """The JSON schema that an answer must follow; `{}` for any object, None for plain text."""
    kind = given.get("type", "text")
    if kind == "text":
        return None
    if kind == "json_object":
        return {}
    if kind == "json_schema":
        inner = given.get("json_schema", given)
        schema = inner.get("schema") if isinstance(inner, dict) else None
        if isinstance(schema, dict) and schema:
            return schema
        raise Invalid(f"{name!r} needs a schema.", name)
    raise Invalid(f"{name!r} is text, json_object or json_schema.", name)


# -- writing -----------------------------------------------------------------------------------


def usage(result: Json) -> Json:
    """Token counts, with those that did not have to be read again."""
    prompt, written = int(result.get("prompt_tokens", 0)), int(result.get("tokens", 0))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {
            "cached_tokens": int(result.get("timing", {}).get("cached_tokens", 0))
        },
    }


def _logprobs(result: Json) -> Json | None:
    if not result.get("logprobs"):
        return None
    return {
        "content": [
            {
                "token": one["token"],
                "logprob": one["logprob"],
                "bytes": one["bytes"],
                "top_logprobs": one["top"],
            }
            for one in result["logprobs"]
        ],
        "refusal": None,
    }


def calls(result: Json) -> list[Json]:
    """Tool calls in this dialect's words."""
    return [
        {
            "id": f"call_{secrets.token_hex(8)}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"])},
        }
        for call in result.get("tool_calls") or ()
    ]


def _completion(call: Call, result: Json) -> Json:
    found = calls(result)
    text = result["text"] + talk.marks(result, call.marks)
    message: Json = {"role": "assistant", "content": text, "refusal": None}
    if found:
        message |= {"content": text or None, "tool_calls": found}
    return {
        "id": call.id,
        "object": "chat.completion",
        "created": call.created,
        "model": call.choice.name,
        "system_fingerprint": f"v{result.get('version', 0)}",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": result.get("finish_reason", "stop"),
                "logprobs": _logprobs(result),
            }
        ],
        "usage": usage(result),
        "nightschool": talk.extension(result),
    }


async def _events(
    call: Call, first: Json, source: AsyncGenerator[Json, None]
) -> AsyncGenerator[bytes, None]:
    """Chunks in the order clients expect: role, pieces, finish reason, usage, [DONE]."""

    def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
        logs = more.pop("logprobs", None)
        choices = [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": logs}]
        body = {
            "id": call.id,
            "object": "chat.completion.chunk",
            "created": call.created,
            "model": call.choice.name,
            "choices": choices,
        }
        if call.include_usage:
            body["usage"] = None
        return event(body | more)

    async with contextlib.aclosing(source) as messages:
        yield chunk({"role": "assistant", "content": ""})
        message: Json | None = first
        try:
            while message is not None:
                if "delta" in message:
                    yield chunk({"content": message["delta"]})
                elif "result" in message:
                    result = message["result"]
                    if tail := talk.marks(result, call.marks):
                        yield chunk({"content": tail})
                    if found := calls(result):
                        numbered = [one | {"index": i} for i, one in enumerate(found)]
                        yield chunk({"tool_calls": numbered})
                    yield chunk(
                        {},
                        result.get("finish_reason", "stop"),
                        logprobs=_logprobs(result),
                        system_fingerprint=f"v{result.get('version', 0)}",
                        nightschool=talk.extension(result),
                    )
                    if call.include_usage:
                        yield chunk({}, choices=[], usage=usage(result))
                message = await anext(messages, None)
        except NightschoolError as error:
            yield event(problems.of(error).body())
            return
        yield b"data: [DONE]\n\n"


def event(body: Json, name: str = "") -> bytes:
    """One server-sent event."""
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
