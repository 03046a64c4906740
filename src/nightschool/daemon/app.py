"""The composition root: the only place where the daemon's parts are put together."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil
import uvicorn
from filelock import FileLock

from nightschool import __version__
from nightschool.clock import Clock, SystemClock, iso
from nightschool.config import Config
from nightschool.daemon import instance, schedule, unix
from nightschool.daemon.announce import announcing
from nightschool.daemon.backups import Backups
from nightschool.daemon.desk import LocalDesk
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.lifecycle import (
    CLOSE_DOOR,
    CLOSE_STORE,
    STOP_CHILDREN,
    STOP_LEARNER,
    STOP_WATCHING,
    Stage,
    State,
)
from nightschool.daemon.local import LocalService
from nightschool.daemon.nights import AWAKE_S, Nights
from nightschool.daemon.settings import Settings
from nightschool.daemon.timers import PULSE_S, Timers
from nightschool.daemon.watching import Watching
from nightschool.device.conditions import Conditions, Machine
from nightschool.device.idle import idle_seconds
from nightschool.device.notify import notify
from nightschool.device.scope import scope
from nightschool.errors import NightschoolError, Refused, UsageError
from nightschool.models import catalogue
from nightschool.models.catalogue import ModelInfo
from nightschool.paths import Home
from nightschool.registry import forget, moving
from nightschool.serve import app as door_app
from nightschool.serve import credentials
from nightschool.serve.streaming import STALL_S
from nightschool.store import documents
from nightschool.store.db import open_store
from nightschool.store.snapshot import Backup

THREADS = 48
"""Requests that may wait for the engine at once; each takes a thread while it does."""
SUPERVISE_S = 2.0
INTAKE_KEEP_S = 120.0
STUCK_S = 600.0
"""A learner that finishes no step, no question and no stage for so long works on nothing."""
SEND_BUFFER = 16_384
"""Bytes the kernel holds for a client that does not read; then its request is cancelled."""
LAST_S = 5.0
"""Seconds that threads are given after everything was stopped."""
GIB = 1 << 30
_LOG = logging.getLogger("nightschool.daemon")


@dataclass
class Daemon:
    """One running service. `run` blocks until it is told to stop.

    `clock` decides about nights and dates, `idle` about the user's presence, `machine` tells of
    power, heat and load: parameters, so that a whole week can be tried in a minute.
    """

    home: Home
    config: Config
    clock: Clock = field(default_factory=SystemClock)
    idle: Callable[[], float | None] = idle_seconds
    machine: Callable[[bool], Conditions] = field(default_factory=lambda: Machine().look)
    pulse_s: float = PULSE_S
    stall_s: float = STALL_S
    state: State = State.STARTING

    # -- life ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve until stopped. Raises AlreadyRunning, Refused (port), StoreError."""
        schedule.check(self.config.learn)
        self.home.create()
        lock = instance.acquire(self.home)
        try:
            moving.opened(self.home)
            asyncio.run(self._main(lock))
        finally:
            lock.release()

    async def _main(self, lock: FileLock) -> None:
        began = time.perf_counter()
        listener = listen(self.config.serve.port)
        port = int(listener.getsockname()[1])
        self._socket = Path(self.config.serve.socket) if self.config.serve.socket else None
        listeners = [listener, *([unix.listen(self._socket)] if self._socket else ())]
        self._runtime = instance.describe(port, iso(self.clock.now()), __version__)
        self._stopping = asyncio.Event()
        self._supervised = asyncio.Event()
        self._store = open_store(self.home.database)
        forget.settle(self.home, self._store)  # a forgetting that was killed half-way
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._keyring = credentials.Keyring(credentials.token(self.home.token), time.monotonic)
        self._make_children()
        self._make_parts()
        door = door_app.build(
            lambda: self._service,
            port=port,
            keyring=self._keyring,
            throttle=credentials.Throttle(time.monotonic),
            health=self._health,
            body_limit=self.config.serve.body_limit,
            stall_s=self.stall_s,
            origins=frozenset(
                name.strip() for name in self.config.serve.origins.split(",") if name.strip()
            ),
        )
        server = _Server(
            uvicorn.Config(
                door.app,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                date_header=False,
                limit_concurrency=256,
                timeout_keep_alive=15,
                timeout_graceful_shutdown=int(CLOSE_DOOR.timeout_s),
                h11_max_incomplete_event_size=32_768,
            ),
            self._stopping,
        )
        self._catch_signals()
        supervisor = asyncio.create_task(self._supervise())
        await server.startup(sockets=listeners)
        instance.publish(self.home, self._runtime)
        self.state = State.READY
        notify("READY=1", f"STATUS=Serves {self._runtime.url}")
        _LOG.info(
            "Nightschool %s serves %s (process %d, ready in %.2f s).",
            __version__, self._runtime.url, self._runtime.pid, time.perf_counter() - began,
        )  # fmt: skip
        try:
            await self._watching.start()
            self._timers.start()
            await self._stopping.wait()
        finally:
            self.state = State.STOPPING
            await self._shut_down(server, door, supervisor)
            self.state = State.STOPPED

    async def _shut_down(
        self, server: _Server, door: door_app.Door, supervisor: asyncio.Task[None]
    ) -> None:
        """All stages, each bounded: one that hangs does not keep the others from their turn."""
        _LOG.info("Stopping.")
        notify("STOPPING=1")
        instance.retract(self.home, self._runtime)

        async def close_door() -> None:
            await door.mcp.close()
            await server.shutdown()
            if self._socket:
                unix.remove(self._socket)

        async def stop_watching() -> None:
            await self._timers.stop()
            await self._watching.stop()

        async def stop_children() -> None:
            supervisor.cancel()
            # The door's requests are over: what the engine still does, nobody waits for.
            await asyncio.gather(
                *(asyncio.to_thread(child.close, 2.0) for child in (self._engine, self._intake)),
                asyncio.to_thread(self._service.desk.work.close),
            )

        async def close_store() -> None:
            self._pool.shutdown(wait=False, cancel_futures=True)
            await asyncio.to_thread(self._store.close)

        await _stage(CLOSE_DOOR, close_door)
        await _stage(STOP_WATCHING, stop_watching)
        await _stage(STOP_LEARNER, lambda: self._nights.stop(STOP_LEARNER.timeout_s - 4.0))
        await _stage(STOP_CHILDREN, stop_children)
        await _stage(CLOSE_STORE, close_store)
        _LOG.info("Stopped.")
        # A thread that hangs on a dead disk or mount must not keep the process: Python would wait.
        last = threading.Timer(LAST_S, os._exit, (0,))
        last.daemon = True
        last.start()

    def stop(self) -> None:
        """Begin the shutdown. Call it on the event loop."""
        self._stopping.set()

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            if sys.platform == "win32":
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(self.stop))
            else:
                loop.add_signal_handler(number, self.stop)

    # -- parts --------------------------------------------------------------------------------

    def _make_children(self) -> None:
        total = psutil.virtual_memory().total
        most = max(3 * GIB, int(total * 0.8))
        logs = self.home.logs
        here = [str(self.home.root)]
        self._settings = Settings(self.home, self.config)
        place = self._settings.handed
        self._engine = Keeper(
            "engine", "nightschool.engine.main", here, logs / "engine.log",
            self.config.engine.keep_alive_s, max(2 * GIB, int(total * 0.7)), environment=place,
        )  # fmt: skip
        self._intake = Keeper(
            "intake", "nightschool.intake", here, logs / "intake.log",
            INTAKE_KEEP_S, min(4 * GIB, max(GIB, total // 2)), nice=5, environment=place,
        )  # fmt: skip
        self._learner = Keeper(
            "learner", "nightschool.cycle", here, logs / "learner.log",
            INTAKE_KEEP_S, most, nice=19, environment=place,
            back_off_s=(0.0,),  # the schedule knows when a failed night is tried again
            stuck_s=STUCK_S, within=lambda: scope(most),
        )  # fmt: skip

    def _make_parts(self) -> None:
        self._watching = Watching(
            self._store, self.config.files, self._intake, self._pool, self.clock, self.home.notes
        )
        self._nights = Nights(
            self._store, self.config.learn, self._learner, self._pool, self.clock, self.idle,
            changing=lambda: self._watching.changing, on_end=lambda: self._timers.soon(),
            elsewhere=lambda: instance.held(self.home.learning), base=self._base,
            machine=self.machine, on_promoted=announcing(self.config.desktop),
        )  # fmt: skip
        self._nights.rest(AWAKE_S, "The service has just started")
        self._backups = Backups(self._store, self.home.backups, self.clock)
        self._backing_up: asyncio.Task[Backup | None] | None = None
        self._timers = Timers(
            self.clock,
            self.config.files.reconcile_s,
            self._watching.compare_all,
            self._look_at_night,
            self._look_at_roots,
            self.pulse_s,
            lambda: self._nights.rest(AWAKE_S, "The machine has just woken up"),
        )
        self._service = LocalService(
            home=self.home,
            chosen=self.config.model,
            store=self._store,
            clock=self.clock,
            pool=self._pool,
            engine=self._engine,
            watching=self._watching,
            nights=self._nights,
            rules=self.config.forget,
            searching=self.config.search,
            describe=self._describe,
            request_stop=self.stop,
            on_use=self._supervised.set,
            settings=self._take_settings,
            desk=LocalDesk(
                home=self.home,
                store=self._store,
                clock=self.clock,
                chosen=lambda: self.config.model,
                take_in=self._take_settings,
                changed=self._nights.forget_material,
            ),
        )

    def _base(self) -> ModelInfo | NightschoolError:
        try:
            return catalogue.resolve(self.home, self._store, self.config.model)
        except NightschoolError as error:
            return error

    # -- periodic work ------------------------------------------------------------------------

    async def _look_at_night(self) -> float:
        try:
            generation = await asyncio.to_thread(documents.generation, self._store)
            decision = await asyncio.to_thread(self._nights.look, generation)
        except NightschoolError as error:
            _LOG.warning("The schedule cannot be looked at: %s", error)
            return 60.0
        if decision.start and self.state is State.READY:
            _LOG.info("A night starts by itself: %s.", decision.reason)
            self._supervised.set()
            self._nights.start("schedule")
        return decision.check_s

    async def _take_settings(self) -> dict[str, Any]:
        """Take in a changed file of settings; what there is to say of them."""
        changed = await asyncio.to_thread(self._settings.changed)
        if changed:
            self.config = self._settings.config
            await self._apply(frozenset(changed))
        return self._settings.describe()

    async def _apply(self, keys: frozenset[str]) -> None:
        """Hand the new settings to the parts; a child with other ones is started anew when idle."""
        config = self.config
        self._nights.learn = config.learn
        self._nights.on_promoted = announcing(config.desktop)
        self._service.rules, self._service.chosen = config.forget, config.model
        self._service.searching = config.search
        self._engine.keep_alive_s = config.engine.keep_alive_s
        sections = {key.partition(".")[0] for key in keys - {"engine.keep_alive_s"}}
        for child, read in (
            (self._engine, {"engine", "model"}),
            (self._intake, {"files", "forget"}),
            (self._learner, {"learn", "pairs", "engine", "model"}),
        ):
            if read & sections:
                await asyncio.to_thread(child.renew)
        if "files.reconcile_s" in keys:
            self._timers.compare_every(config.files.reconcile_s)
        if "files" in sections:
            self._watching.use(config.files)
        self._nights.forget_material()
        self._timers.soon()

    async def _look_at_roots(self) -> None:
        notify("WATCHDOG=1")
        await self._take_settings()
        try:
            await self._watching.sync_roots()
        except NightschoolError as error:
            _LOG.warning("The watched folders cannot be listed: %s", error)
        if self._backing_up is None or self._backing_up.done():
            idle = not (self._nights.running or self._watching.changing or self._engine.busy)
            look = asyncio.to_thread(self._backups.look, idle=idle)
            self._backing_up = asyncio.create_task(look)
        self._supervised.set()

    async def _supervise(self) -> None:
        """Check the children while any lives; otherwise sleep without waking up."""
        children = (self._engine, self._intake, self._learner)
        while True:
            for child in children:
                await asyncio.to_thread(child.check)
            if any(child.alive or child.busy for child in children):
                await asyncio.sleep(SUPERVISE_S)
            else:
                self._supervised.clear()
                await self._supervised.wait()
                await asyncio.sleep(SUPERVISE_S)

    # -- what it says of itself ---------------------------------------------------------------

    def _health(self) -> dict[str, Any]:
        return {
            "status": self.state.value,
            "name": "nightschool",
            "version": __version__,
            "instance": self._runtime.instance,
        }

    def _describe(self) -> dict[str, Any]:
        me = psutil.Process()
        runtime = asdict(self._runtime)
        return {
            "state": self.state.value,
            "version": __version__,
            "pid": runtime["pid"],
            "port": runtime["port"],
            "started_at": runtime["started_at"],
            "now": iso(self.clock.now()),
            "home": str(self.home.root),
            "memory_bytes": me.memory_info().rss,
            "children": {
                child.name: child.describe()
                for child in (self._engine, self._intake, self._learner)
            },
        }


class _Server(uvicorn.Server):
    """uvicorn without its ten wake-ups a second: shutdown is an event here."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self.stopping = stopping
        config.load()
        self.lifespan = config.lifespan_class(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self.server_state.default_headers = []
        with contextlib.suppress(asyncio.CancelledError):
            await super().shutdown(sockets)


async def _stage(stage: Stage, work: Callable[[], Awaitable[None]]) -> None:
    try:
        async with asyncio.timeout(stage.timeout_s):
            await work()
    except TimeoutError:
        _LOG.warning("Stopping: %r took over %.0f s; going on.", stage.name, stage.timeout_s)
    except (NightschoolError, OSError, RuntimeError) as error:
        _LOG.warning("Stopping: %r failed: %s", stage.name, error)


def listen(port: int) -> socket.socket:
    """The listening socket on 127.0.0.1 (port 0 = any free one). Raises Refused when taken."""
    if not 0 <= port <= 65535:
        raise UsageError(f"There is no port {port}.", "serve.port is at most 65535.")
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno in (errno.EADDRINUSE, errno.EACCES):
            raise Refused(
                f"Port {port} is taken by another program.",
                "Choose another with `port` under [serve] in config.toml, or "
                "NIGHTSCHOOL_SERVE_PORT.",
            ) from error
        raise
    return listener
