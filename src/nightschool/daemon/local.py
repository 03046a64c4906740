"""The verbs of the door, done by this very process and its children (see `serve.service`)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from nightschool.clock import Clock
from nightschool.config import Forget, Search
from nightschool.daemon import bridge, material, notes, servers, toolbox
from nightschool.daemon.desk import LocalDesk
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.nights import Nights
from nightschool.daemon.watching import Watching
from nightschool.errors import NightschoolError, NotFound, Refused
from nightschool.models import catalogue
from nightschool.paths import Home
from nightschool.records import FileStatus, Locator, Run, Version
from nightschool.registry import before, erase, forget, pointer
from nightschool.registry import versions as registry
from nightschool.registry.request import request
from nightschool.report import shelf
from nightschool.serve.service import Json
from nightschool.serve.turns import CLIENT, Turns
from nightschool.sources import kinds
from nightschool.sources.roots import require_folder
from nightschool.store import documents, feedback, receipts, runs
from nightschool.store.db import Store

FIND_S = 5.0
"""How long `remember` waits until the note can be found."""


@dataclass
class LocalService:
    """Implements `serve.service.Service`. Methods run on the event loop."""

    home: Home
    chosen: str
    """The base model that the settings name; empty = the chosen one."""
    store: Store
    clock: Clock
    pool: ThreadPoolExecutor
    engine: Keeper
    watching: Watching
    nights: Nights
    rules: Forget
    searching: Search
    describe: Callable[[], Json]
    """Lifecycle, process and children: what the daemon knows of itself."""
    request_stop: Callable[[], None]
    on_use: Callable[[], None]
    """Called before a child is used, so that supervision runs."""
    settings: Callable[[], Awaitable[Json]]
    """Takes in a changed file of settings; what `status` says of them."""
    desk: LocalDesk
    turns: Turns = field(default_factory=Turns)

    # -- questions ----------------------------------------------------------------------------

    async def _call(self, op: str, params: Mapping[str, Any]) -> Any:
        self.on_use()
        async with self.turns.turn(CLIENT.get()):
            return await bridge.result(
                self.pool, lambda ticket: self.engine.stream(ticket, op, params)
            )

    async def _flow(self, op: str, params: Mapping[str, Any]) -> AsyncGenerator[Json, None]:
        """The turn ends with the engine's work, not when a slow client has read it all."""
        self.on_use()
        inbox: asyncio.Queue[Json | Exception | None] = asyncio.Queue()

        async def work() -> None:
            source = bridge.stream(self.pool, lambda ticket: self.engine.stream(ticket, op, params))
            try:
                async with self.turns.turn(CLIENT.get()), contextlib.aclosing(source) as messages:
                    async for message in messages:
                        inbox.put_nowait(message)
                inbox.put_nowait(None)
            except Exception as error:
                inbox.put_nowait(error)

        task = asyncio.create_task(work())
        try:
            while (item := await inbox.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                if "result" in item:
                    yield {"result": item["result"]}
                elif "delta" in (event := item.get("event", {})):
                    yield {"delta": event["delta"]}
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def search(self, query: str, k: int, rerank: str = "") -> list[Json]:
        wish = self.searching.wish(rerank)
        hits: list[Json] = await self._call("search", {"query": query, "k": k, **wish})
        return [hit | {"place": _place(hit["locator"])} for hit in hits]

    def ask(
        self, question: str, *, version: int | None, k: int | None, raw: bool
    ) -> AsyncGenerator[Json, None]:
        params: Json = {"question": question, "mode": "raw" if raw else "auto"}
        if version is not None:
            params["version"] = version
        if k is not None:
            params["k"] = k
        return self._flow("ask", params)

    def chat(self, params: Mapping[str, Any]) -> AsyncGenerator[Json, None]:
        given = {name: value for name, value in params.items() if value is not None}
        named = given.pop("servers", None)
        if not named:
            return self._flow("chat", given)
        wanted = [
            toolbox.Wanted(
                servers.find(self.home, item["label"]),
                None if item["only"] is None else frozenset(item["only"]),
            )
            for item in named
        ]
        return toolbox.converse(self.home, wanted, given, lambda asked: self._flow("chat", asked))

    async def embed(self, texts: Sequence[str]) -> Json:
        made: Json = await self._call("embed", {"texts": list(texts)})
        return made

    async def model(self) -> Json:
        def look() -> Json:
            info = catalogue.resolve(self.home, self.store, self.chosen)
            return catalogue.details(info)

        return await asyncio.to_thread(look)

    async def keep(self, seconds: float | None) -> None:
        self.engine.keep(seconds)
        self.on_use()

    # -- files --------------------------------------------------------------------------------

    async def feedback(self, answer: str, verdict: str, text: str) -> Json:
        self.on_use()
        given = await asyncio.to_thread(
            feedback.give, self.store, answer, verdict, text, clock=self.clock
        )
        return asdict(given)

    async def remember(self, text: str, title: str) -> Json:
        path = await asyncio.to_thread(notes.write, self.home.notes, text, title, self.clock)
        self.on_use()
        root_id = self.watching.root_id(str(self.home.notes))
        findable = False
        if root_id is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FIND_S):
                    await self.watching.take_now(root_id, path.name)
                    findable = await asyncio.to_thread(self._indexed, root_id, path.name)
        return {"path": str(path), "findable": findable}

    def _indexed(self, root_id: int, key: str) -> bool:
        return any(
            item.path == key and item.status is FileStatus.INDEXED
            for item in documents.documents(self.store, root_id)
        )

    async def files(self, *, status: str | None, limit: int, offset: int) -> Json:
        return await asyncio.to_thread(self._files, status, limit, offset)

    def _files(self, status: str | None, limit: int, offset: int) -> Json:
        wanted = None if status is None else FileStatus(status)
        folders = {root.id: root.path for root in documents.roots(self.store)}
        counts = documents.counts(self.store)
        rows = [
            asdict(item) | {"root": folders.get(item.root_id, "")}
            for item in documents.page(self.store, status=wanted, limit=limit, offset=offset)
        ]
        settling = [
            {"root": folders.get(root_id, ""), "path": path,
             "status": "waiting", "reason": "changed just now; read when it is quiet"}
            for root_id, path in self.watching.waiting_paths()
        ]  # fmt: skip
        total = counts[status] if status else sum(counts[kind.value] for kind in FileStatus)
        return {"files": rows, "total": total, "counts": counts, "settling": settling[:limit]}

    async def document(self, number: int) -> Json:
        return await asyncio.to_thread(material.document, self.store, number)

    async def passage(self, number: int) -> Json:
        return await asyncio.to_thread(material.passage, self.store, number)

    async def roots(self) -> list[Json]:
        found: list[Json] = self.watching.describe()["roots"]
        return found

    async def watch(self, path: str, *, learn: bool) -> Json:
        folder = await asyncio.to_thread(require_folder, path, self.home)
        root = await asyncio.to_thread(
            lambda: documents.add_root(
                self.store,
                str(folder),
                learn=learn,
                source=kinds.recognise(folder).name,
                clock=self.clock,
            )
        )
        self.on_use()
        await self.watching.sync_roots()
        self.nights.forget_material()
        return asdict(root)

    async def unwatch(self, path: str) -> Json:
        if Path(path) == self.home.notes:
            raise Refused("The folder of remembered notes belongs to the service.", "")
        found = [root for root in documents.roots(self.store) if root.path == path]
        if not found:
            raise NotFound(f"{path} is not watched.", "See `nightschool watch list`.")
        await asyncio.to_thread(documents.remove_root, self.store, found[0].id)
        await self.watching.sync_roots()
        return asdict(found[0])

    async def refresh(self) -> Json:
        self.on_use()
        await self.watching.sync_roots()
        self.watching.compare_all("somebody asked")
        return {"folders": len(self.watching.describe()["roots"])}

    # -- forgetting ---------------------------------------------------------------------------

    async def forget(self, what: str, *, confirmed: bool, dry_run: bool) -> Json:
        found = await asyncio.to_thread(
            lambda: request(
                self.home, self.store, what, self.rules,
                confirmed=confirmed, dry_run=dry_run, clock=self.clock,
            )
        )  # fmt: skip
        self.nights.forget_material()
        return asdict(found)

    async def undo(self, receipt: int) -> Json:
        found = await asyncio.to_thread(
            lambda: forget.undo(self.home, self.store, receipt, clock=self.clock)
        )
        self.on_use()
        self.watching.compare_all("forgetting was undone")
        self.nights.forget_material()
        return asdict(found)

    async def receipts(self, limit: int) -> list[Json]:
        found = await asyncio.to_thread(receipts.receipts, self.store, limit)
        return [asdict(item) for item in found]

    async def receipt(self, number: int) -> Json:
        if number >= 2**31:
            raise NotFound(f"There is no receipt {number}.", "See `nightschool forget -h`.")
        return asdict(await asyncio.to_thread(forget.one, self.store, number))

    async def vacuum(self, *, now: bool) -> Json:
        found = await asyncio.to_thread(
            lambda: erase.vacuum(self.home, self.store, now=now, clock=self.clock)
        )
        return asdict(found)

    # -- versions and nights ------------------------------------------------------------------

    async def versions(self) -> list[Json]:
        found = await asyncio.to_thread(registry.describe, self.home, self.store)
        return [asdict(version) for version in found]

    async def use(self, version: int) -> Json:
        moved: Version = await asyncio.to_thread(self._use, version)
        return asdict(moved)

    def _use(self, version: int) -> Version:
        base = catalogue.resolve(self.home, self.store, self.chosen)
        return registry.use(self.home, self.store, version, base_sha=base.sha256)

    async def rollback(self) -> Json:
        return asdict(await asyncio.to_thread(registry.rollback, self.home, self.store))

    async def runs(self, limit: int) -> list[Json]:
        return [_run(run) for run in await asyncio.to_thread(runs.runs, self.store, limit)]

    async def run(self, number: int) -> Json:
        found = await asyncio.to_thread(runs.run, self.store, number) if number < 2**31 else None
        if found is None:
            raise NotFound(f"There is no night {number}.", "See `nightschool runs`.")
        lineage = await asyncio.to_thread(runs.lineage, self.store, number)
        return _run(found) | {"scorecard": found.scorecard, "files": lineage}

    async def report(self, number: int | None, *, page: bool) -> Json:
        return await asyncio.to_thread(shelf.tell, self.home, self.store, number, page=page)

    async def learn(
        self,
        *,
        dry_run: bool,
        seed: int | None = None,
        minutes: float | None = None,
        recipe: str | None = None,
    ) -> Json:
        self.on_use()
        given = {"seed": seed, "recipe": recipe}
        wishes: Json = {name: value for name, value in given.items() if value is not None}
        if minutes is not None:
            wishes["budget_s"] = minutes * 60.0
        return self.nights.start("request", dry_run=dry_run, wishes=wishes)

    async def allow_nights(self, allowed: bool) -> Json:
        self.nights.allow(allowed)
        return {"allowed": allowed}

    async def pause(self, minutes: float) -> Json:
        await self.nights.pause(minutes * 60.0)
        return {"paused_s": round(self.nights.paused_s())}

    # -- the service itself -------------------------------------------------------------------

    async def status(self) -> Json:
        settings = await self.settings()  # first: what follows is under the newest ones
        found = await asyncio.to_thread(self._status)
        found["problems"] += [settings["problem"]] if settings["problem"] else []
        return found | {"settings": settings}

    def _status(self) -> Json:
        self.nights.look(documents.generation(self.store))
        watching = self.watching.describe()
        served, model, problems = self._served()
        counts = documents.counts(self.store)
        found = self.describe()
        problems += [root["reason"] for root in watching["roots"] if root["state"] == "problem"]
        problems += [
            f"{name}: {child['last_error']}"
            for name, child in found["children"].items()
            if child["state"] == "backing off"
        ]
        return found | {
            "serving": {
                "version": served.version,
                "previous": before.previous(served, self.store),
                "scale": served.scale,
                "base_sha": served.base_sha,
                "model": model,
            },
            "watching": watching,
            "files": counts,
            "night": self.nights.describe(),
            "problems": problems,
        }

    def _served(self) -> tuple[pointer.Pointer, str, list[str]]:
        """What answers and on which base model; `status` works whatever is wrong with them."""
        problems: list[str] = []
        served, model = pointer.Pointer(), ""
        try:
            served = pointer.read(self.home)
            base = catalogue.resolve(self.home, self.store, self.chosen)
            model = base.name
            if served.version and served.base_sha != base.sha256:
                problems.append(
                    f"Version {served.version} belongs to another base model; {model} answers "
                    "without it until it has learned."
                )
                served = pointer.Pointer(base_sha=base.sha256)
        except NightschoolError as error:
            problems.append(str(error))
        return served, model, problems

    async def stop(self) -> Json:
        self.request_stop()
        return {"state": "stopping"}


def _place(locator: Mapping[str, Any]) -> str:
    return str(Locator.of(locator))


def _run(run: Run) -> Json:
    """A night without its figures, but with the verdict and its reasons."""
    card = run.scorecard or {}
    return {
        "id": run.id,
        "outcome": run.outcome.value,
        "verdict": card.get("verdict"),
        "reasons": list(card.get("reasons", ())),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "version": run.version,
        "message": run.message,
        "hypothesis": run.plan.get("hypothesis", ""),
    }
