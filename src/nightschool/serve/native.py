"""The native routes under /ns. One table serves the router and the OpenAPI description."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from nightschool.errors import NightschoolError
from nightschool.serve import desk, fields, problems
from nightschool.serve.fields import Field
from nightschool.serve.operation import Operation
from nightschool.serve.operation import named as _named
from nightschool.serve.service import Json, Service
from nightschool.serve.streaming import EventStream, while_connected

_LIMIT = Field("limit", "integer", "At most this many.", default=100, low=1, high=1000)
_NUMBER = Field("number", "integer", "Its number.", required=True, low=0, high=2**53)
_OFFSET = Field("offset", "integer", "Skip this many.", default=0, low=0, high=10**9)
_K = Field("k", "integer", "How many passages.", default=8, low=1, high=100)
_VERSION = Field("version", "integer", "Version number; 0 is the base.", low=0, high=10**9)
_PATH = Field("path", "string", "Absolute path of a folder.", required=True)
ASK = (
    Field("question", "string", "What to answer from your files.", required=True),
    Field("k", "integer", "How many passages to read.", low=1, high=50),
    _VERSION,
    Field(
        "mode",
        "string",
        "auto: with retrieval; raw: the model alone.",
        default="auto",
        choices=("auto", "raw"),
    ),
    Field("stream", "boolean", "Send pieces as server-sent events.", default=False),
)


async def _runs(service: Service, values: Json) -> Any:
    return {"runs": await service.runs(values["limit"])}


async def _search(service: Service, values: Json) -> Any:
    hits = await service.search(values["query"], values["k"], values["rerank"] or "")
    return {"hits": hits}


OPERATIONS: tuple[Operation, ...] = (
    Operation("GET", "/ns/status", "status",
              "What the service does and why it waits.", lambda s, v: s.status(),
              returns="Lifecycle, serving, children, watching, files, night."),
    Operation("GET", "/ns/files", "files",
              "The per-file table: where each file stands, and why.",
              lambda s, v: s.files(**v),
              (Field("status", "string", "Only these.", choices=("waiting", "indexed", "skipped")),
               _LIMIT, _OFFSET), "`files`, `total`, `counts`"),
    Operation("POST", "/ns/search", "search", "Find passages by words and meaning.", _search,
              (Field("query", "string", "What to look for.", required=True), _K,
               Field("rerank", "string", "What orders the first passages: off, reader, or a "
                     "cross-encoder's folder or OWNER/NAME; without it as search.rerank is set.")),
              "`hits`, best first; `rerank_score` where a reranker read the passage"),
    Operation("GET", "/ns/document", "document", "One indexed file with its passages.",
              lambda s, v: s.document(v["number"]), (_NUMBER,), "The file and its `passages`"),
    Operation("GET", "/ns/passage", "passage", "One passage with its place.",
              lambda s, v: s.passage(v["number"]), (_NUMBER,), "The passage"),
    Operation("GET", "/ns/model", "model", "The base model in use, with its chat template.",
              lambda s, v: s.model(), returns="The model"),
    Operation("GET", "/ns/versions", "versions", "All versions, newest first.",
              lambda s, v: _named("versions", s.versions()), returns="`versions`"),
    Operation("POST", "/ns/use", "use", "Serve a version from the next request on.",
              lambda s, v: s.use(v["version"]),
              (Field("version", "integer", "Version number; 0 is the base.", required=True,
                     low=0, high=10**9),), "The version"),
    Operation("POST", "/ns/rollback", "rollback", "Serve what was served before.",
              lambda s, v: s.rollback(), returns="The version"),
    Operation("GET", "/ns/runs", "runs", "The newest nights, with verdicts.", _runs, (_LIMIT,),
              "`runs`"),
    Operation("GET", "/ns/report", "report", "What a night learned, left out and came to.",
              lambda s, v: s.report(v["number"], page=v["page"] == "yes"),
              (Field("number", "integer", "The night; without it the newest. 0 is the last one "
                     "that ended before it began.", low=0, high=2**31 - 1),
               Field("page", "string", "yes: the page itself, too.", default="no",
                     choices=("yes", "no"))),
              "All that the report says, `path` where its page lies, and `page` (or null)"),
    Operation("POST", "/ns/learn", "learn", "Start a night now.",
              lambda s, v: s.learn(**v),
              (Field("dry_run", "boolean", "Plan only, train nothing.", default=False),
               Field("seed", "integer", "Seed of all that is drawn.", low=0, high=2**31),
               Field("minutes", "number", "Bound of the training itself.", low=0.01, high=1440),
               Field("recipe", "string", "How to train; see `learn --help`.")),
              "What was started", 202),
    Operation("POST", "/ns/nights", "nights", "Say whether nights may start by themselves.",
              lambda s, v: s.allow_nights(v["allowed"]),
              (Field("allowed", "boolean", "Whether they may.", required=True),), "`allowed`"),
    Operation("POST", "/ns/pause", "pause", "No night by itself for so long; a running one waits.",
              lambda s, v: s.pause(v["minutes"]),
              (Field("minutes", "number", "For how long; 0 ends the pause.", required=True,
                     low=0, high=1440),), "`paused_s`, what is left of it"),
    Operation("POST", "/ns/remember", "remember", "Write a note and put it into the index.",
              lambda s, v: s.remember(v["text"], v["title"]),
              (Field("text", "string", "The note.", required=True),
               Field("title", "string", "Its title.", default="")), "The file"),
    Operation("POST", "/ns/feedback", "feedback", "Judge an answer; the next night practises it.",
              lambda s, v: s.feedback(v["answer"], v["verdict"], v["text"]),
              (Field("answer", "string", "Its name: `id` of the answer.", required=True),
               Field("verdict", "string", "How it was.", required=True,
                     choices=("up", "down", "correct")),
               Field("text", "string", "The right answer, for `correct`.", default="")),
              "What was noted"),
    Operation("GET", "/ns/watch", "roots", "The watched folders.",
              lambda s, v: _named("roots", s.roots()), returns="`roots`"),
    Operation("POST", "/ns/watch", "watch", "Watch a folder from now on.",
              lambda s, v: s.watch(v["path"], learn=v["learn"]),
              (_PATH, Field("learn", "boolean", "false: search only, never learn.",
                            default=True)), "The folder"),
    Operation("POST", "/ns/unwatch", "unwatch", "Stop watching; its files leave the index.",
              lambda s, v: s.unwatch(v["path"]), (_PATH,), "The folder"),
    Operation("POST", "/ns/refresh", "refresh", "Compare all folders with the index now.",
              lambda s, v: s.refresh(), returns="`folders`, how many", status=202),
    Operation("POST", "/ns/forget", "forget",
              "Take files out of search, practice and weights, with a receipt.",
              lambda s, v: s.forget(**v),
              (Field("what", "string", "A path, a folder, a file's number (#12), or words.",
                     required=True),
               Field("confirmed", "boolean", "Needed for folders and words.", default=False),
               Field("dry_run", "boolean", "Only say which files are meant.", default=False)),
              "`receipt`, or null and the `files` that wait for a confirmation"),
    Operation("POST", "/ns/undo", "undo", "Take a forgetting back, within its grace period.",
              lambda s, v: s.undo(v["receipt"]),
              (Field("receipt", "integer", "Its number.", required=True, low=1, high=10**9),),
              "The receipt"),
    Operation("GET", "/ns/receipts", "receipts", "What was forgotten or deleted, newest first.",
              lambda s, v: _named("receipts", s.receipts(v["limit"])), (_LIMIT,), "`receipts`"),
    Operation("POST", "/ns/vacuum", "vacuum", "Remove every byte of what was forgotten.",
              lambda s, v: s.vacuum(now=v["now"]),
              (Field("now", "boolean", "Do not wait for grace periods.", default=False),),
              "What was removed, and what was kept and why"),
    Operation("POST", "/ns/stop", "stop", "Shut the service down cleanly.",
              lambda s, v: s.stop(), status=202),
    *desk.OPERATIONS,
)  # fmt: skip


def routes(service: Callable[[], Service], *, stall_s: float) -> list[Route]:
    """All routes under /ns but the description and the browser session."""
    found = [
        Route(operation.path, _endpoint(operation, service), methods=[operation.method])
        for operation in OPERATIONS
    ]

    async def ask(request: Request) -> Response:
        values = fields.read(ASK, await fields.body(request))
        source = service().ask(
            values["question"],
            version=values["version"],
            k=values["k"],
            raw=values["mode"] == "raw",
        )
        if values["stream"]:
            first: Json = await while_connected(request, anext(source))
            return EventStream(_events(first, source), stall_s=stall_s)
        return JSONResponse(await while_connected(request, _answer(source)))

    async def one_run(request: Request) -> Response:
        return JSONResponse(await service().run(request.path_params["number"]))

    async def one_receipt(request: Request) -> Response:
        return JSONResponse(await service().receipt(request.path_params["number"]))

    return [
        *found,
        Route("/ns/receipts/{number:int}", one_receipt, methods=["GET"]),
        Route("/ns/ask", ask, methods=["POST"]),
        Route("/ns/runs/{number:int}", one_run, methods=["GET"]),
    ]


def _endpoint(
    operation: Operation, service: Callable[[], Service]
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if operation.method == "GET":
            values = fields.read_query(operation.fields, request.query_params)
        else:
            values = fields.read(operation.fields, await fields.body(request))
        return JSONResponse(await operation.call(service(), values), operation.status)

    return endpoint


async def _answer(source: AsyncGenerator[Json, None]) -> Json:
    result: Json = {}
    async with contextlib.aclosing(source) as messages:
        async for message in messages:
            result = message.get("result", result)
    return result


async def _events(first: Json, source: AsyncGenerator[Json, None]) -> AsyncGenerator[bytes, None]:
    async with contextlib.aclosing(source) as messages:
        message: Json | None = first
        try:
            while message is not None:
                yield b"data: " + json.dumps(message, separators=(",", ":")).encode() + b"\n\n"
                message = await anext(messages, None)
        except NightschoolError as error:
            yield b"data: " + json.dumps(problems.of(error).body()).encode() + b"\n\n"
