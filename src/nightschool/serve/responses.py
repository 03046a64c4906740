"""The Responses endpoint of the OpenAI dialect, without memory: each request brings its whole
conversation. Citations are annotations of the text (`file_citation`), as this dialect has them.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.errors import NightschoolError
from nightschool.serve import fields, openai, problems, talk
from nightschool.serve.fields import Field
from nightschool.serve.openai import Call, event
from nightschool.serve.problems import Invalid
from nightschool.serve.service import Json, Service
from nightschool.serve.streaming import EventStream, while_connected

FIELDS = (
    Field("model", "string", "One of GET /v1/models.", required=True),
    Field("instructions", "string", "A system message.", default=""),
    Field("stream", "boolean", "Send events.", default=False),
    Field("max_output_tokens", "integer", "Length limit of the answer.", low=1, high=1_000_000),
    Field("temperature", "number", "0 is the most likely answer.", default=0.0, low=0, high=2),
    Field("top_p", "number", "Share of the likeliest tokens.", default=1.0, low=0, high=1),
    Field("text", "object", "`format`: text, json_object or json_schema.", default={}),
)
_UNSUPPORTED = ("previous_response_id", "conversation", "prompt", "background")


def routes(service: Callable[[], Service], *, stall_s: float) -> list[Route]:
    """`POST /v1/responses`."""

    async def respond(request: Request) -> Response:
        raw = await fields.body(request)
        call = await _read(service(), raw)
        source = service().chat(call.params)
        if not call.stream:
            result = await while_connected(request, talk.last(source))
            return JSONResponse(_response(call, raw, result))
        first: Json = await while_connected(request, anext(source))
        return EventStream(_events(call, raw, first, source), stall_s=stall_s)

    return [Route("/v1/responses", respond, methods=["POST"])]


async def _read(service: Service, raw: Json) -> Call:
    values = fields.read(FIELDS, raw, strict=False)
    openai.refuse(raw, _UNSUPPORTED)
    choice = await talk.choose(service, values["model"])
    form_of = values["text"].get("format") or {}
    if not isinstance(form_of, dict):
        raise Invalid("'text.format' must be an object.", "text")
    form = openai.response_form(form_of, "text.format")
    offered = raw.get("tools") or []
    if not isinstance(offered, list):
        raise Invalid("'tools' is a list.", "tools")
    given = [_tool(item) for item in offered]
    messages = [{"role": "system", "content": values["instructions"]}]
    conversation = talk.messages(
        (messages if values["instructions"] else []) + _input(raw.get("input")), "input"
    )
    return Call(
        id=f"resp_{secrets.token_hex(16)}",
        created=int(time.time()),
        choice=choice,
        params={
            "messages": conversation,
            "version": choice.version,
            "mode": choice.mode,
            "max_tokens": values["max_output_tokens"],
            "temperature": values["temperature"],
            "top_p": values["top_p"],
            "form": form,
            **talk.tools(given, raw.get("tool_choice"), choice),
        },
        stream=values["stream"],
        marks=talk.wants_marks(raw, form is None),
    )


def _input(given: Any) -> list[Json]:
    """The conversation of this dialect's `input` as chat messages."""
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise Invalid("'input' is a text or a list of items.", "input")
    found: list[Json] = []
    for at, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, dict) else ""
        if kind == "message":
            found.append(item)
        elif kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments") or "{}"}
            found.append(
                {"role": "assistant", "content": "", "tool_calls": [{"function": function}]}
            )
        elif kind == "function_call_output":
            found.append({"role": "tool", "content": item.get("output")})
        elif kind != "reasoning":
            raise Invalid(f"input[{at}] is of a kind that is not supported: {kind!r}.", "input")
    return found


def _tool(item: Any) -> Json:
    if isinstance(item, dict) and item.get("type") == "mcp":
        return item
    if not isinstance(item, dict) or item.get("type") != "function":
        raise Invalid("Only tools of type function and mcp are supported.", "tools")
    return {"type": "function", "function": item}


# -- writing -----------------------------------------------------------------------------------


def _annotations(result: Json, text: str) -> list[Json]:
    return [
        {
            "type": "file_citation",
            "file_id": f"chunk-{item['chunk_id']}",
            "filename": item["locator"],
            "index": max(text.find(f"[{item['mark']}]"), 0),
        }
        for item in result.get("citations") or ()
    ]


def _message(call: Call, text: str, annotations: list[Json], status: str) -> Json:
    part = {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}
    return {
        "type": "message",
        "id": call.id.replace("resp_", "msg_"),
        "role": "assistant",
        "status": status,
        "content": [part] if status == "completed" else [],
    }


def _output(call: Call, result: Json, text: str) -> list[Json]:
    found: list[Json] = []
    if text or not result.get("tool_calls"):
        found.append(_message(call, text, _annotations(result, text), "completed"))
    found.extend(
        {
            "type": "function_call",
            "id": one["id"].replace("call_", "fc_"),
            "call_id": one["id"],
            "name": one["function"]["name"],
            "arguments": one["function"]["arguments"],
            "status": "completed",
        }
        for one in openai.calls(result)
    )
    return found


def _response(call: Call, raw: Json, result: Json | None, output: list[Json] | None = None) -> Json:
    body: Json = {
        "id": call.id,
        "object": "response",
        "created_at": call.created,
        "status": "in_progress",
        "model": call.choice.name,
        "output": [],
        "error": None,
        "incomplete_details": None,
        "instructions": raw.get("instructions"),
        "metadata": raw.get("metadata") or {},
        "parallel_tool_calls": False,
        "temperature": call.params["temperature"],
        "top_p": call.params["top_p"],
        "tool_choice": raw.get("tool_choice") or "auto",
        "tools": raw.get("tools") or [],
        "text": raw.get("text") or {"format": {"type": "text"}},
        "store": False,
        "usage": None,
    }
    if result is None:
        return body
    count = openai.usage(result)
    cut = result.get("finish_reason") == "length"
    text = result["text"] + talk.marks(result, call.marks)
    return body | {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": _output(call, result, text) if output is None else output,
        "usage": {
            "input_tokens": count["prompt_tokens"],
            "input_tokens_details": count["prompt_tokens_details"],
            "output_tokens": count["completion_tokens"],
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": count["total_tokens"],
        },
        "nightschool": talk.extension(result),
    }


async def _events(
    call: Call, raw: Json, first: Json, source: AsyncGenerator[Json, None]
) -> AsyncGenerator[bytes, None]:
    numbers = itertools.count()
    item = call.id.replace("resp_", "msg_")
    place = {"item_id": item, "output_index": 0, "content_index": 0}

    def send(kind: str, **body: Any) -> bytes:
        return event({"type": kind, "sequence_number": next(numbers), **body}, kind)

    begun = _response(call, raw, None)
    pieces: list[str] = []

    def opening() -> bytes:
        part = {"type": "output_text", "text": "", "annotations": []}
        return send(
            "response.output_item.added",
            output_index=0,
            item=_message(call, "", [], "in_progress"),
        ) + send("response.content_part.added", **place, part=part)

    def delta(text: str) -> bytes:
        head = b"" if pieces else opening()
        pieces.append(text)
        return head + send("response.output_text.delta", **place, delta=text, logprobs=[])

    async with contextlib.aclosing(source) as messages:
        yield send("response.created", response=begun)
        yield send("response.in_progress", response=begun)
        message: Json | None = first
        result: Json = {}
        try:
            while message is not None:
                if "delta" in message:
                    yield delta(message["delta"])
                result = message.get("result", result)
                message = await anext(messages, None)
        except NightschoolError as error:
            problem = problems.of(error)
            yield send("error", code=problem.code, message=problem.message, param=None)
            return
        if tail := talk.marks(result, call.marks):
            yield delta(tail)
        if not pieces and not result.get("tool_calls"):
            yield delta("")
        whole = "".join(pieces)
        output = _output(call, result, whole) if pieces or result.get("tool_calls") else []
        for index, done in enumerate(output):
            if done["type"] == "message":
                part = done["content"][0]
                yield send("response.output_text.done", **place, text=whole, logprobs=[])
                yield send("response.content_part.done", **place, part=part)
            else:
                started = done | {"arguments": "", "status": "in_progress"}
                where = {"item_id": done["id"], "output_index": index}
                text = done["arguments"]
                yield send("response.output_item.added", output_index=index, item=started)
                yield send("response.function_call_arguments.delta", **where, delta=text)
                yield send(
                    "response.function_call_arguments.done", **where, name=done["name"],
                    arguments=text,
                )  # fmt: skip
            yield send("response.output_item.done", output_index=index, item=done)
        final = _response(call, raw, result, output)
        kind = "response.incomplete" if final["status"] == "incomplete" else "response.completed"
        yield send(kind, response=final)
