"""The OpenAI dialect: models, chat completions (whole and streamed), embeddings."""

from __future__ import annotations

import base64
import contextlib
import json
import secrets
import struct
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.errors import NightschoolError
from nightschool.serve import fields, models, problems
from nightschool.serve.fields import Field
from nightschool.serve.problems import Invalid
from nightschool.serve.service import Json, Service
from nightschool.serve.streaming import EventStream, while_connected

MAX_MESSAGES = 200
MAX_INPUTS = 256
_ROLES = {"system", "developer", "user", "assistant"}

CHAT = (
    Field("model", "string", "One of GET /v1/models.", required=True),
    Field("messages", "array", "The conversation; the last message is the user's.", required=True),
    Field("stream", "boolean", "Send pieces as server-sent events.", default=False),
    Field("stream_options", "object", "`include_usage`: end with a usage chunk.", default={}),
    Field("max_tokens", "integer", "Length limit of the answer.", low=1, high=1_000_000),
    Field("max_completion_tokens", "integer", "The newer name of max_tokens.", low=1, high=1e6),
    Field("temperature", "number", "0 is the most likely answer.", default=0.0, low=0, high=2),
    Field("seed", "integer", "Makes sampling repeatable.", default=0, low=-(2**63), high=2**63),
    Field("n", "integer", "Only 1.", default=1, low=1, high=1),
)
_UNSUPPORTED = ("tools", "functions", "logprobs", "audio", "prediction")


@dataclass(frozen=True, slots=True)
class _Call:
    """One chat request, checked."""

    id: str
    created: int
    choice: models.Choice
    params: Json
    stream: bool
    include_usage: bool


def routes(service: Callable[[], Service], *, stall_s: float) -> list[Route]:
    """All routes under /v1."""

    async def list_models(request: Request) -> Response:
        versions = await service().versions()
        return JSONResponse({"object": "list", "data": models.listing(versions)})

    async def one_model(request: Request) -> Response:
        name = request.path_params["name"]
        try:
            models.choose(name, await service().versions())
        except models.UnknownModel as error:
            return error.problem.response()
        return JSONResponse(models.card(name))

    async def chat(request: Request) -> Response:
        try:
            call = await _read_chat(service(), await fields.body(request))
        except models.UnknownModel as error:
            return error.problem.response()
        source = service().chat(call.params)
        if not call.stream:
            return JSONResponse(_completion(call, await while_connected(request, _last(source))))
        # The first message is awaited before the status line, so that an error has its own status.
        first: Json = await while_connected(request, anext(source))
        return EventStream(_events(call, first, source), stall_s=stall_s)

    async def embeddings(request: Request) -> Response:
        raw = await fields.body(request)
        try:
            texts, as_base64, name = await _read_embeddings(service(), raw)
        except models.UnknownModel as error:
            return error.problem.response()
        vectors = await while_connected(request, service().embed(texts))
        data = [
            {"object": "embedding", "index": i, "embedding": _pack(v) if as_base64 else v}
            for i, v in enumerate(vectors)
        ]
        # The encoder's own count is not asked for: words are a fair and cheap lower bound.
        words = sum(len(text.split()) for text in texts)
        usage = {"prompt_tokens": words, "total_tokens": words}
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": usage})

    return [
        Route("/v1/models", list_models, methods=["GET"]),
        Route("/v1/models/{name}", one_model, methods=["GET"]),
        Route("/v1/chat/completions", chat, methods=["POST"]),
        Route("/v1/embeddings", embeddings, methods=["POST"]),
    ]


# -- reading -----------------------------------------------------------------------------------


async def _read_chat(service: Service, raw: Json) -> _Call:
    values = fields.read(CHAT, raw, strict=False)
    for name in _UNSUPPORTED:
        if raw.get(name):
            raise Invalid(f"{name!r} is not supported by this server.", name)
    form = raw.get("response_format")
    if isinstance(form, dict) and form.get("type", "text") != "text":
        raise Invalid("Only response_format text is supported.", "response_format")
    messages = [_message(item, at) for at, item in enumerate(values["messages"])]
    if not messages:
        raise Invalid("'messages' must not be empty.", "messages")
    if len(messages) > MAX_MESSAGES:
        raise Invalid(f"More than {MAX_MESSAGES} messages.", "messages")
    if messages[-1][0] != "user":
        raise Invalid("The last message must be the user's.", "messages")
    choice = models.choose(values["model"], await service.versions())
    return _Call(
        id=f"chatcmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        choice=choice,
        params={
            "messages": messages,
            "version": choice.version,
            "mode": choice.mode,
            "max_tokens": values["max_completion_tokens"] or values["max_tokens"],
            "temperature": values["temperature"],
            "seed": values["seed"],
            "stop": _stop(raw.get("stop")),
        },
        stream=values["stream"],
        include_usage=values["stream_options"].get("include_usage") is True,
    )


def _message(item: Any, at: int) -> tuple[str, str]:
    where = f"messages[{at}]"
    if not isinstance(item, dict) or item.get("role") not in _ROLES:
        raise Invalid(f"{where} needs a role: {', '.join(sorted(_ROLES))}.", where)
    content = item.get("content")
    if isinstance(content, list):
        parts = [
            part["text"]
            for part in content
            if isinstance(part, dict)
            and part.get("type") == "text"
            and isinstance(part.get("text"), str)
        ]
        if len(parts) != len(content):
            raise Invalid(f"{where}: only text content is supported.", where)
        content = "\n".join(parts)
    text = Field("content", "string", "", required=True).check(content)
    role = "system" if item["role"] == "developer" else item["role"]
    return role, text


def _stop(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value if value is not None else []
    if (
        not isinstance(found, list)
        or len(found) > 4
        or not all(isinstance(item, str) and 0 < len(item) <= 200 for item in found)
    ):
        raise Invalid("'stop' is a text or a list of at most 4 texts.", "stop")
    return found


async def _read_embeddings(service: Service, raw: Json) -> tuple[list[str], bool, str]:
    name = Field("model", "string", "", required=True).check(raw.get("model"))
    models.choose(name, await service.versions())
    given = raw.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
        raise Invalid("'input' is a text or a list of texts.", "input")
    if len(texts) > MAX_INPUTS:
        raise Invalid(f"'input' has more than {MAX_INPUTS} texts.", "input")
    field = Field("input", "string", "", required=True)
    form = raw.get("encoding_format", "float")
    if form not in ("float", "base64"):
        raise Invalid("'encoding_format' is float or base64.", "encoding_format")
    return [field.check(text) for text in texts], form == "base64", name


def _pack(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


# -- writing -----------------------------------------------------------------------------------


async def _last(source: AsyncGenerator[Json, None]) -> Json:
    result: Json = {}
    async with contextlib.aclosing(source) as messages:
        async for message in messages:
            result = message.get("result", result)
    return result


def _usage(result: Json) -> Json:
    prompt = int(result.get("prompt_tokens", 0))
    written = int(result.get("tokens", 0))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    }


def _extension(result: Json) -> Json:
    """What other servers do not have: where the answer comes from."""
    names = ("carried_by", "citations", "version", "base", "supported", "note", "seconds")
    return {name: result[name] for name in names if name in result}


def _completion(call: _Call, result: Json) -> Json:
    return {
        "id": call.id,
        "object": "chat.completion",
        "created": call.created,
        "model": call.choice.name,
        "system_fingerprint": f"v{result.get('version', 0)}",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": result["text"], "refusal": None},
                "finish_reason": result.get("finish_reason", "stop"),
                "logprobs": None,
            }
        ],
        "usage": _usage(result),
        "nightschool": _extension(result),
    }


async def _events(
    call: _Call, first: Json, source: AsyncGenerator[Json, None]
) -> AsyncGenerator[bytes, None]:
    """Chunks in the order clients expect: role, pieces, finish reason, usage, [DONE]."""

    def chunk(delta: Json, finish: str | None = None, **more: Any) -> bytes:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}]
        body = {
            "id": call.id,
            "object": "chat.completion.chunk",
            "created": call.created,
            "model": call.choice.name,
            "choices": choices,
        }
        if call.include_usage:
            body["usage"] = None
        return _sse(body | more)

    async with contextlib.aclosing(source) as messages:
        yield chunk({"role": "assistant", "content": ""})
        message: Json | None = first
        try:
            while message is not None:
                if "delta" in message:
                    yield chunk({"content": message["delta"]})
                elif "result" in message:
                    result = message["result"]
                    yield chunk(
                        {},
                        result.get("finish_reason", "stop"),
                        system_fingerprint=f"v{result.get('version', 0)}",
                        nightschool=_extension(result),
                    )
                    if call.include_usage:
                        yield chunk({}, choices=[], usage=_usage(result))
                message = await anext(messages, None)
        except NightschoolError as error:
            yield _sse(problems.of(error).body())
            return
        yield b"data: [DONE]\n\n"


def _sse(body: Json) -> bytes:
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"
