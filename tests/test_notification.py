"""The desktop is told of a promotion, once, in plain text, and only where the user wants it."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from nightschool.clock import SystemClock
from nightschool.config import Desktop as Settings
from nightschool.config import Learn
from nightschool.daemon.announce import announcing, sentence
from nightschool.daemon.keeper import Keeper
from nightschool.daemon.nights import Nights
from nightschool.device import desktop as notification
from nightschool.errors import Refused
from nightschool.store.db import open_store
from virtual_desktop import Desktop, Notifier, desktop, missing

PROMOTED = {"outcome": "promoted", "version": 4, "message": "Recall 0.45, bound 0.05."}
NO_BUS = missing(("dbus-daemon",))
linux = pytest.mark.skipif(
    sys.platform != "linux" or bool(NO_BUS), reason=f"not installed here: {NO_BUS or 'Linux'}"
)


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Desktop]:
    """A session bus of its own, on which nobody shows notifications yet."""
    with desktop(display=False) as made:
        for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
            monkeypatch.setenv(name, made.environment[name])
        yield made


def _notifier(bus: Desktop, *capabilities: str) -> Notifier:
    made = Notifier(bus.environment["DBUS_SESSION_BUS_ADDRESS"], capabilities)
    made.start()
    return made


@linux
@pytest.mark.parametrize(
    ("capabilities", "body"),
    [(("body", "body-markup"), "a &lt;b&gt; &amp; “c” d.pdf"), (("body",), "a <b> & “c” d.pdf")],
)
def test_a_name_of_a_file_is_never_markup(
    bus: Desktop, capabilities: tuple[str, ...], body: str
) -> None:
    server = _notifier(bus, *capabilities)
    notification.show("Ready\n\x1b[31m", "a <b> & “c”\u202e\x07 d.pdf")
    assert server.shown.get(timeout=10) == ("Ready [31m", body)


@linux
def test_where_nothing_shows_notifications_it_says_so(bus: Desktop) -> None:
    with pytest.raises(Refused, match="Nothing here shows notifications"):
        notification.show("Ready", "text")


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="they need no bus")
def test_without_a_bus_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no session bus"):
        notification.show("Ready", "text", {"XDG_RUNTIME_DIR": str(tmp_path)})
    with pytest.raises(Refused, match="does not answer"):
        notification.show("R", "t", {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={tmp_path}/gone"})


@linux
@pytest.mark.parametrize(
    ("outcome", "wanted", "told"),
    [("promoted", True, True), ("promoted", False, False), ("held", True, False)],
)
def test_the_desktop_is_told_of_a_promotion_and_of_nothing_else(
    bus: Desktop, tmp_path: Path, outcome: str, wanted: bool, told: bool
) -> None:
    server = _notifier(bus, "body", "body-markup")
    with _nights(tmp_path, {**PROMOTED, "outcome": outcome}, announcing(Settings(wanted))) as run:
        last = run()
    assert last["outcome"] == outcome
    if told:
        title, text = server.shown.get(timeout=10)
        assert "version 4" in title
        assert "Recall 0.45" in text
        assert "rollback" in text
    assert server.shown.empty()


@linux
def test_a_promotion_that_nobody_can_be_told_of_stands_in_the_log(
    bus: Desktop, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        announcing(Settings())(dict(PROMOTED))
    assert "not told of the promotion: Nothing here shows notifications" in caplog.text


class _nights:
    """One night of a learner that ends as `night` says; calling it returns what is remembered."""

    def __init__(
        self, folder: Path, night: dict[str, Any], tell: Callable[[dict[str, Any]], None]
    ) -> None:
        self.store = open_store(folder / "n.db")
        self.learner = Keeper(
            "learner", "made_learner", [json.dumps(night)], folder / "learner.log", 60.0, 4 << 30,
            environment={"PYTHONPATH": str(Path(__file__).parent)},
        )  # fmt: skip
        self.tell = tell

    def __enter__(self) -> Callable[[], dict[str, Any]]:
        return lambda: asyncio.run(self._run())

    def __exit__(self, *_: object) -> None:
        self.learner.close(2.0)
        self.store.close()

    async def _run(self) -> dict[str, Any]:
        with ThreadPoolExecutor(2) as pool:
            nights = Nights(
                self.store, Learn(), self.learner, pool, SystemClock(), idle=lambda: None,
                changing=lambda: 0, on_end=lambda: None, on_promoted=self.tell,
            )  # fmt: skip
            nights.start("request")
            own = asyncio.current_task()
            await asyncio.wait([t for t in asyncio.all_tasks() if t is not own], timeout=60)
            found = nights.describe()["last"]
        assert found is not None
        return dict(found)


def test_the_other_systems_get_the_texts_as_data_not_as_script() -> None:
    odd = '" & (do shell script "x") & "'
    assert notification.mac("T", odd)[-2:] == ("T", odd)
    assert all(odd not in word for word in notification.mac("T", odd)[:-2])
    script = notification.toast()[-1]
    assert "CreateTextNode($env:NIGHTSCHOOL_TEXT)" in script
    assert "CreateTextNode($env:NIGHTSCHOOL_TITLE)" in script
    powershell = shutil.which("pwsh")
    if powershell is not None:
        parse = "[void][scriptblock]::Create([Console]::In.ReadToEnd())"
        subprocess.run(
            (powershell, "-NoProfile", "-Command", parse), input=script, text=True, check=True,
            timeout=60,
        )  # fmt: skip


def test_the_sentence_names_the_version_and_the_way_back_in_bounds() -> None:
    title, text = sentence({"version": 7, "message": "x" * 900})
    assert "7" in title
    assert len(notification.clean(text)) == notification.MAX_CHARACTERS
    assert sentence({"version": 7, "message": None})[1].count("  ") == 0
