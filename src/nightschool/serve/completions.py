"""Text completions in the OpenAI dialect (the old endpoint, which editors still use).

`nightschool-raw` continues the prompt; the other names take it for a question and answer it from
the files. Control words in a prompt are plain text, so no turn of a chat can be forged with them.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.errors import NightschoolError
from nightschool.serve import fields, problems, talk
from nightschool.serve.fields import Field
from nightschool.serve.openai import COMPLETION, Call, event, refuse, sampling, usage
from nightschool.serve.service import Json, Service
from nightschool.serve.streaming import EventStream, while_connected

MAX_PROMPTS = 16
_LOGPROBS = Field("logprobs", "integer", "Alternatives for each token.", low=0, high=20)


def routes(service: Callable[[], Service], *, stall_s: float) -> list[Route]:
    """`POST /v1/completions`."""

    async def complete(request: Request) -> Response:
        call, many = await _read(service(), await fields.body(request))
        if call.stream:
            first_source = service().chat(many[0])
            first: Json = await while_connected(request, anext(first_source))
            events = _events(call, service(), many, first, first_source)
            return EventStream(events, stall_s=stall_s)
        results = [
            await while_connected(request, talk.last(service().chat(params))) for params in many
        ]
        return JSONResponse(_completion(call, results))

    return [Route("/v1/completions", complete, methods=["POST"])]


async def _read(service: Service, raw: Json) -> tuple[Call, list[Json]]:
    values = fields.read((*COMPLETION, _LOGPROBS), raw, strict=False)
    refuse(raw, ("suffix", "echo", "logit_bias"))
    if raw.get("best_of") not in (None, 1):
        refuse(raw, ("best_of",))
    choice = await talk.choose(service, values["model"])
    common = sampling(values) | {
        "version": choice.version,
        "mode": choice.mode,
        "max_tokens": values["max_tokens"],
        "stop": talk.stop(raw.get("stop")),
        "grammar": values["grammar"],
    }
    if values["logprobs"] is not None:
        common["logprobs"] = values["logprobs"]
    many = [
        common
        | ({"prompt": text} if choice.raw else {"messages": [{"role": "user", "content": text}]})
        for text in talk.prompts(raw.get("prompt"), "prompt", MAX_PROMPTS)
    ]
    call = Call(
        id=f"cmpl-{secrets.token_hex(12)}",
        created=int(time.time()),
        choice=choice,
        params={},
        stream=values["stream"],
        include_usage=values["stream_options"].get("include_usage") is True,
        marks=talk.wants_marks(raw, not values["grammar"]),
    )
    return call, many


def _logprobs(result: Json) -> Json | None:
    found = result.get("logprobs")
    if not found:
        return None
    places, at = [], 0
    for one in found:
        places.append(at)
        at += len(one["token"])
    return {
        "tokens": [one["token"] for one in found],
        "token_logprobs": [one["logprob"] for one in found],
        "top_logprobs": [{item["token"]: item["logprob"] for item in one["top"]} for one in found],
        "text_offset": places,
    }


def _body(call: Call, choices: list[Json], **more: Any) -> Json:
    return {
        "id": call.id,
        "object": "text_completion",
        "created": call.created,
        "model": call.choice.name,
        "choices": choices,
    } | more


def _completion(call: Call, results: list[Json]) -> Json:
    choices = [
        {
            "index": index,
            "text": result["text"] + talk.marks(result, call.marks),
            "finish_reason": result.get("finish_reason", "stop"),
            "logprobs": _logprobs(result),
        }
        for index, result in enumerate(results)
    ]
    return _body(
        call,
        choices,
        usage=_sum(results),
        system_fingerprint=f"v{results[0].get('version', 0)}",
        nightschool=talk.extension(results[0]),
    )


def _sum(results: list[Json]) -> Json:
    counts = [usage(result) for result in results]
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    return {name: sum(count[name] for count in counts) for name in names}


async def _events(
    call: Call, service: Service, many: list[Json], first: Json, source: AsyncGenerator[Json, None]
) -> AsyncGenerator[bytes, None]:
    results = []
    try:
        for index, params in enumerate(many):
            if index:
                source = service.chat(params)
                first = await anext(source)
            async with contextlib.aclosing(source) as messages:
                message: Json | None = first
                while message is not None:
                    choice: Json = {"index": index, "finish_reason": None, "logprobs": None}
                    if "delta" in message:
                        yield event(_body(call, [choice | {"text": message["delta"]}]))
                    elif "result" in message:
                        result = message["result"]
                        results.append(result)
                        end = {
                            "text": talk.marks(result, call.marks),
                            "finish_reason": result.get("finish_reason", "stop"),
                            "logprobs": _logprobs(result),
                        }
                        extra = talk.extension(result)
                        yield event(_body(call, [choice | end], nightschool=extra))
                    message = await anext(messages, None)
    except NightschoolError as error:
        yield event(problems.of(error).body())
        return
    if call.include_usage:
        yield event(_body(call, [], usage=_sum(results)))
    yield b"data: [DONE]\n\n"
