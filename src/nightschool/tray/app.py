"""Keeps the icon in step with the service, and does what the menu says."""

from __future__ import annotations

import logging
import subprocess
import threading
import webbrowser
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nightschool.daemon import client
from nightschool.daemon.client import Client
from nightschool.device import desktop
from nightschool.errors import NightschoolError
from nightschool.paths import Home, interpreter
from nightschool.tray import menu, view
from nightschool.tray.face import draw
from nightschool.tray.view import Face, View

LOOK_S = 30.0
"""Seconds between two looks at the service; its own pulse is slower."""
LEARNING_S = 5.0
"""The same while a night runs, because its line tells how far it is."""
ANSWER_S = 10.0
_LOG = logging.getLogger("nightschool.tray")


@dataclass
class Tray:
    """One icon. `run` blocks on the main thread (macOS wants that) until it is quit.

    The service is asked from one thread of its own; each chosen item is done in another, so that
    the menu never hangs.
    """

    home: Home
    browse: Callable[[str], bool] = webbrowser.open
    tell: Callable[[str, str], None] = desktop.show
    shown: View = field(default_factory=view.absent)
    _icon: Any = None
    _client: Client | None = None
    _ended: threading.Event = field(default_factory=threading.Event)
    _look: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Show the icon until it is quit; PYSTRAY_BACKEND says how."""
        from pystray import Icon

        self.shown = self.look()
        self._icon = Icon("nightschool", draw(self.shown.face), self.shown.title, self.menu())
        self._icon.run(self._follow)

    def menu(self) -> Any:
        """The menu of this icon."""
        verbs = menu.Verbs(
            learn=self._doing(lambda service: service.post("/ns/learn")),
            pause=self._doing(lambda s: s.post("/ns/pause", {"minutes": menu.PAUSE_MIN})),
            resume=self._doing(lambda s: s.post("/ns/pause", {"minutes": 0})),
            allow=self._doing(lambda s: s.post("/ns/nights", {"allowed": not self.shown.allowed})),
            rollback=self._doing(self._roll_back),
            open=self._doing(self._open),
            start=self._start,
            quit=self.quit,
        )
        return menu.build(lambda: self.shown, verbs)

    def quit(self) -> None:
        """Take the icon away. The service goes on."""
        self._ended.set()
        self._look.set()
        if self._icon is not None:
            self._icon.stop()

    # -- looking ------------------------------------------------------------------------------

    def look(self) -> View:
        """Ask the service once; a service that does not answer is a view too."""
        for fresh in (False, True):  # it may have been started again, on another port
            if fresh or self._client is None:
                self._client = client.connect(self.home)
            if self._client is None:
                return view.absent()
            try:
                return view.read(self._client.get("/ns/status", timeout=ANSWER_S))
            except NightschoolError as error:
                problem = error
        return view.absent(problem)

    def _follow(self, icon: Any) -> None:
        """The thread beside the icon's loop: look, show, wait."""
        icon.visible = True
        while not self._ended.is_set():
            self._show(self.look())
            busy = self.shown.face is Face.LEARNING
            self._look.wait(LEARNING_S if busy else LOOK_S)
            self._look.clear()

    def _show(self, found: View) -> None:
        before, self.shown = self.shown, found
        if self._ended.is_set() or found == before:
            return
        if found.face is not before.face:
            self._icon.icon = draw(found.face)
            self._icon.title = found.title
        self._icon.update_menu()

    # -- acting -------------------------------------------------------------------------------

    def _doing(self, act: Callable[[Client], object]) -> Callable[[], None]:
        def work() -> None:
            try:
                service = client.connect(self.home)
                if service is None:
                    raise NightschoolError("The service is not running.", "Start it from the menu.")
                act(service)
            except NightschoolError as error:
                self._say(str(error))
            self._look.set()

        return lambda: threading.Thread(target=work, daemon=True).start()

    def _roll_back(self, service: Client) -> None:
        number = service.post("/ns/rollback")["number"]
        self._say(f"{f'Version {number}' if number else 'The base model'} is served again.")

    def _open(self, service: Client) -> None:
        """Open the page; its address carries a code that works once, never the token."""
        if not self.browse(service.open_url()):
            raise NightschoolError("No browser could be opened.", "Use `nightschool open --print`.")

    def _start(self) -> None:
        """By the command, so that the service is no child of the icon."""

        def work() -> None:
            done = subprocess.run(
                [*interpreter(), "-m", "nightschool", "--home", str(self.home.root), "start"],
                capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False,
                encoding="utf-8", errors="replace",
            )  # fmt: skip
            if done.returncode:
                said = done.stderr.strip().splitlines()
                self._say(said[-1] if said else "The service did not start.")
            self._look.set()

        threading.Thread(target=work, daemon=True).start()

    def _say(self, text: str) -> None:
        """In a notification, else in the log: a menu has no place for words."""
        try:
            self.tell("Nightschool", text)
        except NightschoolError as error:
            _LOG.warning("%s (%s)", text, error.message)
