"""The verbs of the door, done by the daemon over HTTP: what `nightschool mcp` serves (see
`serve.service`)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from nightschool.daemon import bridge
from nightschool.daemon.client import Client
from nightschool.errors import ChildError
from nightschool.serve.service import Desk, Json

THREADS = 8


@dataclass
class RemoteService:
    """Implements `serve.service.Service`. `connect` gives (and, if need be, starts) the daemon;
    a daemon that was restarted meanwhile is found again by the next call."""

    connect: Callable[[], Client]
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(THREADS))
    _client: Client | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _daemon(self, *, fresh: bool = False) -> Client:
        with self._lock:
            if self._client is None or fresh:
                self._client = self.connect()
            return self._client

    def _read(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        try:
            return self._daemon().get(path, query)
        except ChildError:  # reading twice is harmless: try the daemon that runs now
            return self._daemon(fresh=True).get(path, query)

    async def _get(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(self._read, path, query)

    async def _post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return await asyncio.to_thread(lambda: self._live().post(path, body))

    def _live(self) -> Client:
        """A daemon that answered a moment ago, so that a write is not sent into the void."""
        self._read("/health")
        return self._daemon()

    @property
    def desk(self) -> Desk:
        raise ChildError("The service is looked after over HTTP.", "Use the routes under /ns.")

    async def status(self) -> Json:
        found: Json = await self._get("/ns/status")
        return found

    async def search(self, query: str, k: int, rerank: str = "") -> list[Json]:
        body: Json = {"query": query, "k": k} | ({"rerank": rerank} if rerank else {})
        found: list[Json] = (await self._post("/ns/search", body))["hits"]
        return found

    def ask(
        self, question: str, *, version: int | None, k: int | None, raw: bool
    ) -> AsyncGenerator[Json, None]:
        body: Json = {"question": question, "stream": True, "mode": "raw" if raw else "auto"}
        body |= {
            name: value for name, value in (("version", version), ("k", k)) if value is not None
        }

        def source(ticket: bridge.Ticket) -> Iterator[Json]:
            for message in self._live().stream("/ns/ask", body):
                if ticket.cancelled.is_set():
                    return  # closing the connection is what cancels it in the engine
                yield message

        return bridge.stream(self.pool, source)

    def chat(self, params: Mapping[str, Any]) -> AsyncGenerator[Json, None]:
        raise ChildError("Chat goes over HTTP.", "Use /v1/chat/completions.")

    async def embed(self, texts: Sequence[str]) -> Json:
        body = {"model": "nightschool", "input": list(texts)}
        made = await self._post("/v1/embeddings", body)
        return {
            "vectors": [item["embedding"] for item in made["data"]],
            "tokens": made["usage"]["prompt_tokens"],
        }

    async def feedback(self, answer: str, verdict: str, text: str) -> Json:
        body = {"answer": answer, "verdict": verdict, "text": text}
        found: Json = await self._post("/ns/feedback", body)
        return found

    async def model(self) -> Json:
        found: Json = await self._get("/ns/model")
        return found

    async def keep(self, seconds: float | None) -> None:
        raise ChildError("The engine is kept by the service.", "Use keep_alive over HTTP.")

    async def remember(self, text: str, title: str) -> Json:
        found: Json = await self._post("/ns/remember", {"text": text, "title": title})
        return found

    async def files(self, *, status: str | None, limit: int, offset: int) -> Json:
        query = {"status": status, "limit": limit, "offset": offset}
        found: Json = await self._get("/ns/files", query)
        return found

    async def forget(self, what: str, *, confirmed: bool, dry_run: bool) -> Json:
        body = {"what": what, "confirmed": confirmed, "dry_run": dry_run}
        found: Json = await self._post("/ns/forget", body)
        return found

    async def undo(self, receipt: int) -> Json:
        found: Json = await self._post("/ns/undo", {"receipt": receipt})
        return found

    async def receipts(self, limit: int) -> list[Json]:
        found: list[Json] = (await self._get("/ns/receipts", {"limit": limit}))["receipts"]
        return found

    async def receipt(self, number: int) -> Json:
        found: Json = await self._get(f"/ns/receipts/{number}")
        return found

    async def vacuum(self, *, now: bool) -> Json:
        found: Json = await self._post("/ns/vacuum", {"now": now})
        return found

    async def document(self, number: int) -> Json:
        found: Json = await self._get("/ns/document", {"number": number})
        return found

    async def passage(self, number: int) -> Json:
        found: Json = await self._get("/ns/passage", {"number": number})
        return found

    async def roots(self) -> list[Json]:
        found: list[Json] = (await self._get("/ns/watch"))["roots"]
        return found

    async def watch(self, path: str, *, learn: bool) -> Json:
        found: Json = await self._post("/ns/watch", {"path": path, "learn": learn})
        return found

    async def unwatch(self, path: str) -> Json:
        found: Json = await self._post("/ns/unwatch", {"path": path})
        return found

    async def versions(self) -> list[Json]:
        found: list[Json] = (await self._get("/ns/versions"))["versions"]
        return found

    async def use(self, version: int) -> Json:
        found: Json = await self._post("/ns/use", {"version": version})
        return found

    async def rollback(self) -> Json:
        found: Json = await self._post("/ns/rollback")
        return found

    async def report(self, number: int | None, *, page: bool) -> Json:
        asked = {"page": "yes" if page else "no"} | ({} if number is None else {"number": number})
        told: Json = await self._get("/ns/report", asked)
        return told

    async def runs(self, limit: int) -> list[Json]:
        found: list[Json] = (await self._get("/ns/runs", {"limit": limit}))["runs"]
        return found

    async def run(self, number: int) -> Json:
        found: Json = await self._get(f"/ns/runs/{number}")
        return found

    async def refresh(self) -> Json:
        found: Json = await self._post("/ns/refresh")
        return found

    async def learn(
        self,
        *,
        dry_run: bool,
        seed: int | None = None,
        minutes: float | None = None,
        recipe: str | None = None,
    ) -> Json:
        body: Json = {"dry_run": dry_run, "seed": seed, "minutes": minutes, "recipe": recipe}
        given = {name: value for name, value in body.items() if value is not None}
        found: Json = await self._post("/ns/learn", given)
        return found

    async def allow_nights(self, allowed: bool) -> Json:
        found: Json = await self._post("/ns/nights", {"allowed": allowed})
        return found

    async def pause(self, minutes: float) -> Json:
        found: Json = await self._post("/ns/pause", {"minutes": minutes})
        return found

    async def stop(self) -> Json:
        found: Json = await self._post("/ns/stop")
        return found
