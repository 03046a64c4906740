"""What looks after the service, done by this very process (see `serve.service.Desk`)."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from nightschool.clock import Clock
from nightschool.config import change, describe, shown
from nightschool.config.describe import RESTART
from nightschool.config.load import look, spell
from nightschool.daemon import backups, servers
from nightschool.daemon.jobs import Jobs
from nightschool.errors import ModelError, Refused, UsageError
from nightschool.models import abilities, catalogue, sitting
from nightschool.models.catalogue import ModelInfo
from nightschool.models.change import between
from nightschool.paths import Home
from nightschool.serve.service import Json
from nightschool.store import feedback, pairs, review, snapshot
from nightschool.store.atomic import write_bytes
from nightschool.store.db import Store

_EXAM = ("model", "exam", "--")


@dataclass
class LocalDesk:
    """Implements `serve.service.Desk`. Methods run on the event loop."""

    home: Home
    store: Store
    clock: Clock
    chosen: Callable[[], str]
    """The base model that the settings name now; empty = the chosen one."""
    take_in: Callable[[], Awaitable[Json]]
    """Takes in a changed file of settings; what `status` says of them."""
    changed: Callable[[], None]
    """Called when the base model is another one."""
    work: Jobs = field(init=False)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.work = Jobs(self.home, self.clock)

    # -- settings -----------------------------------------------------------------------------

    async def settings(self, *, everything: bool) -> Json:
        found = await asyncio.to_thread(look, self.home.config, os.environ)
        return {
            "file": str(self.home.config),
            "settings": shown.rows(found, everything=everything),
            "problems": [asdict(problem) for problem in found.problems],
            "service": await self.take_in(),
        }

    async def explain(self, key: str) -> Json:
        found = await asyncio.to_thread(look, self.home.config, os.environ)
        return shown.explained(found, key)

    async def put(self, key: str, value: str) -> Json:
        setting = describe.one(key)
        if setting.takes_effect == RESTART:
            raise Refused(
                f"{key} is a setting of the door itself, and is not changed through it.",
                f"At the machine: nightschool config set {key} VALUE",
            )
        taken = spell(setting, value)
        return await self._change(key, lambda text: change.assigned(text, key, taken))

    async def unset(self, key: str) -> Json:
        if describe.one(key).takes_effect == RESTART:
            raise Refused(
                f"{key} is a setting of the door itself, and is not changed through it.",
                f"At the machine: nightschool config unset {key}",
            )
        return await self._change(key, lambda text: change.removed(text, key))

    async def _change(self, key: str, edit: Callable[[str], str]) -> Json:
        def write() -> None:
            with self._writing:
                try:
                    text = self.home.config.read_text(encoding="utf-8-sig")
                except FileNotFoundError:
                    text = ""
                except (OSError, UnicodeDecodeError) as error:
                    raise UsageError(
                        f"{self.home.config} is not readable: {error}.", "Mend or remove it."
                    ) from error
                write_bytes(self.home.config, edit(text).encode())

        await asyncio.to_thread(write)
        said = await self.take_in()
        return await self.explain(key) | {"service": said}

    # -- models -------------------------------------------------------------------------------

    async def models(self) -> Json:
        def see() -> Json:
            found = catalogue.models(self.home, self.store)
            used = catalogue.resolve(self.home, self.store, self.chosen()).name
            return {"models": [_model(item) for item in found], "used": used}

        return await asyncio.to_thread(see)

    async def card(self, name: str) -> Json:
        def see() -> Json:
            found = catalogue.resolve(self.home, self.store, name or self.chosen())
            known = abilities.load(self.store, found.sha256)
            return _model(found) | {"abilities": asdict(known)}

        return await asyncio.to_thread(see)

    async def use_model(self, name: str, *, dry_run: bool, exam: bool = True) -> Json:
        """Its exam, if it has sat none, is a job of its own; until that ends the reader leads."""

        def use() -> Json:
            new = catalogue.resolve(self.home, self.store, name)  # raises when there is none
            try:
                old = catalogue.resolve(self.home, self.store, self.chosen()).name
                changes = between(self.home, self.store, old, name).lines()
            except ModelError as error:  # the old model's file is gone: nothing can be compared
                changes = [error.message]
            if not dry_run:
                if fixed := self.chosen():
                    raise Refused(
                        f"The settings fix the base model to {fixed!r}.",
                        f"Remove `model` from {self.home.config} or NIGHTSCHOOL_MODEL first.",
                    )
                catalogue.use(self.home, self.store, name)
            examined = not sitting.wanted(self.store, new)
            return {"model": name, "changes": changes, "done": not dry_run, "examined": examined,
                    "job": None}  # fmt: skip

        found = await asyncio.to_thread(use)
        if found["done"]:
            self.changed()
            if exam and not found["examined"]:
                try:
                    found["job"] = await self.start("model exam", [*_EXAM, name], {})
                except Refused as busy:
                    found["changes"].append(
                        f"It was not examined, so the reader leads its answers: {busy.message} "
                        "Later: POST /ns/models/exam."
                    )
        return found

    # -- practice -----------------------------------------------------------------------------

    async def facts(self, status: str, limit: int) -> list[Json]:
        found = await asyncio.to_thread(review.facts, self.store, status, limit)
        return [asdict(item) for item in found]

    async def practice(self) -> list[Json]:
        found = await asyncio.to_thread(pairs.all_pairs, self.store)
        return [asdict(item) for item in found]

    async def decide(self, ids: Sequence[int], status: str) -> list[Json]:
        found = await asyncio.to_thread(review.decide, self.store, list(ids), status)
        return [asdict(item) for item in found]

    async def edit(self, number: int, question: str, answer: str) -> Json:
        found = await asyncio.to_thread(
            lambda: review.edit(self.store, number, question=question, answer=answer)
        )
        return asdict(found)

    async def judged(self) -> list[Json]:
        return [asdict(item) for item in await asyncio.to_thread(feedback.given, self.store)]

    # -- copies and other servers -------------------------------------------------------------

    async def backups(self) -> list[Json]:
        return await asyncio.to_thread(self._backups)

    def _backups(self) -> list[Json]:
        return [
            {
                "sequence": item.sequence,
                "reason": item.reason,
                "at": str(snapshot.about(item)["at"]),
                "bytes": item.size,
                "problem": snapshot.problem_of(item),
            }
            for item in snapshot.listed(self.home.backups)
        ]

    async def back_up(self) -> list[Json]:
        await asyncio.to_thread(
            backups.take, self.store, self.home.backups, snapshot.ASKED, self.clock
        )
        return await self.backups()

    async def servers(self) -> list[Json]:
        known = await asyncio.to_thread(servers.load, self.home)
        rows = [asdict(server) for server in known.values()]
        return [{name: row[name] for name in row if name != "env"} for row in rows]

    async def remove_server(self, name: str) -> list[Json]:
        await asyncio.to_thread(servers.remove, self.home, name)
        return await self.servers()

    # -- jobs ---------------------------------------------------------------------------------

    async def start(self, verb: str, words: Sequence[str], secrets: Mapping[str, str]) -> Json:
        return await asyncio.to_thread(self.work.start, verb, words, secrets)

    async def jobs(self) -> list[Json]:
        return self.work.all()

    async def job(self, number: int) -> Json:
        return self.work.one(number)

    async def cancel(self, number: int) -> Json:
        return await asyncio.to_thread(self.work.cancel, number)


def _model(info: ModelInfo) -> Json:
    found: dict[str, Any] = asdict(info)
    return found | {"path": str(info.path)}
