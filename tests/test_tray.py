"""The tray icon: what it shows, what its menu does to a real service, and where none can be."""

from __future__ import annotations

import importlib.machinery
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jeepney import message_bus
from jeepney.io.blocking import open_dbus_connection
from PIL import ImageChops, ImageStat

from command import nightschool
from made_versions import make_versions
from nightschool.daemon import client
from nightschool.tray import place, view
from nightschool.tray.app import Tray
from nightschool.tray.face import draw
from nightschool.tray.view import Face
from service_harness import SOURCE, Service, free_port, service, until
from virtual_desktop import Desktop, desktop, missing

STATUS: dict[str, Any] = {
    "serving": {"version": 3, "previous": 2},
    "problems": [],
    "night": {
        "state": "waiting", "reason": "Outside the night window 22:00-07:00; it opens in 3 h.",
        "last": {"outcome": "promoted", "version": 3, "message": "Recall 0.45.",
                 "ended_at": "2026-11-21T23:10:00+00:00"},
        "paused_s": 0, "resting": False, "allowed": True,
    },
}  # fmt: skip


def _view(night: dict[str, Any] | None = None, **more: Any) -> view.View:
    return view.of({**STATUS, **more, "night": {**STATUS["night"], **(night or {})}})


# -- what it shows --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 22, 48])
def test_the_four_faces_are_told_apart_without_their_colours(size: int) -> None:
    grey = [draw(face, size).convert("L") for face in Face]
    for one, other in itertools.combinations(grey, 2):
        assert ImageStat.Stat(ImageChops.difference(one, other)).mean[0] > 20


@pytest.mark.parametrize(
    ("night", "more", "face", "why"),
    [
        ({}, {}, Face.WAITING, "Outside the night window"),
        ({"resting": True, "reason": "Nothing new."}, {}, Face.IDLE, "Nothing new."),
        ({"state": "running", "reason": "A night is running: practise 3/9."}, {}, Face.LEARNING,
         "practise 3/9"),
        ({"paused_s": 3599, "resting": True}, {}, Face.WAITING, "paused learning for 60 more min"),
        ({"paused_s": 20}, {}, Face.WAITING, "for 1 more minute."),
        ({}, {"problems": ["The folder /x is missing."]}, Face.TROUBLE, "/x is missing"),
        ({"last": {**STATUS["night"]["last"], "outcome": "nan", "message": "not a number"}}, {},
         Face.TROUBLE, "The last night failed: not a number"),
    ],
)  # fmt: skip
def test_the_face_and_its_reason_follow_the_service(
    night: dict[str, Any], more: dict[str, Any], face: Face, why: str
) -> None:
    found = _view(night, **more)
    assert found.face is face
    assert why in found.why
    assert found.title == f"Nightschool: {face.value}"


def test_the_last_exam_is_one_line_and_rolling_back_says_where_to() -> None:
    found = _view()
    assert found.exam.startswith("Last exam ")
    assert found.exam.endswith("promoted, version 3. Recall 0.45.")
    unfinished = {**STATUS["night"]["last"], "outcome": "interrupted", "version": None}
    assert _view({"last": unfinished}).exam.startswith("Last night ")
    assert found.rollback == "Yes, serve version 2 instead of version 3"
    assert "the base model instead of" in _view(serving={"version": 3, "previous": 0}).rollback
    assert _view(serving={"version": 0, "previous": None}).rollback == ""
    assert _view({"last": None}).exam == "No exam yet"


def test_a_service_of_another_version_is_trouble_not_a_crash() -> None:
    found = view.read({"version": "0.0.1", "night": {"state": "waiting"}})
    assert found.face is Face.TROUBLE
    assert "The service is of version 0.0.1" in found.why


def test_long_and_hostile_texts_stay_one_plain_line() -> None:
    assert view.line("a\nb\t`c`\x1b[0m\u202e d") == "a b c[0m d"
    assert len(view.line("x" * 500)) == view.LINE
    assert view.line(f"{'A whole sentence of some length. ' * 3}{'x' * 90}").endswith("length.")


# -- what its menu does, with a real service ------------------------------------------------------


@pytest.fixture(scope="module")
def door() -> Iterator[Service]:
    """One service for all of them; each leaves it running and as it was."""
    with service() as made:
        yield made


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def tray(
    door: Service, said: list[str], monkeypatch: pytest.MonkeyPatch, opened: list[str]
) -> Iterator[Tray]:
    """The tray without a display: pystray's own menu, which every backend draws."""
    monkeypatch.setenv("PYSTRAY_BACKEND", "dummy")
    made = Tray(
        door.home,
        browse=lambda address: bool(opened.append(address)) or True,
        tell=lambda _title, text: said.append(text),
    )
    yield made
    made.quit()


@pytest.fixture
def opened() -> list[str]:
    return []


def _rows(menu: Any) -> dict[str, Any]:
    """Every visible item by its text, those of submenus too."""
    found = {}
    for item in menu:
        found[item.text] = item
        if item.submenu:
            found |= _rows(item.submenu)
    return found


def _choose(tray: Tray, text: str) -> None:
    tray.shown = tray.look()
    item = _rows(tray.menu())[text]
    assert item.enabled
    item(None)


def test_pausing_resuming_and_letting_nights_start_by_themselves(tray: Tray, door: Service) -> None:
    tray.shown = tray.look()
    assert tray.shown.face is Face.IDLE
    assert not _rows(tray.menu())["Pause for an hour"].enabled  # nothing would start anyway
    _choose(tray, "Learn by itself at night")
    until(lambda: door.status()["night"]["allowed"], 10, "nights are allowed")
    _choose(tray, "Pause for an hour")
    until(lambda: door.status()["night"]["paused_s"] > 3500, 10, "it is paused")
    tray.shown = tray.look()
    assert tray.shown.face is Face.WAITING
    assert "paused learning for 60 more minutes" in tray.shown.why
    assert "You paused learning; a night waits 60 min" in str(door.status()["night"]["blockers"])
    assert "Pause for an hour" not in _rows(tray.menu())
    door.stop()
    door.start()  # a pause outlives the service
    _choose(tray, "Resume")
    until(lambda: not door.status()["night"]["paused_s"], 10, "it is not paused")
    _choose(tray, "Learn by itself at night")
    until(lambda: not door.status()["night"]["allowed"], 10, "nights are not allowed")


def test_learn_now_starts_a_night_and_a_pause_puts_it_off(tray: Tray, door: Service) -> None:
    _choose(tray, "Learn now")
    until(lambda: door.status()["night"]["state"] == "running", 10, "a night runs")
    tray.shown = tray.look()
    assert tray.shown.face is Face.LEARNING
    assert not _rows(tray.menu())["Learn now"].enabled
    _choose(tray, "Pause for an hour")
    last = until(lambda: door.status()["night"]["last"], 30, "the night ended")
    assert last["by"] == "request"
    assert last["outcome"] in ("interrupted", "too_little")  # it may have seen that it has nothing
    assert door.children()["learner"]["pid"] is None
    door.post("/ns/pause", {"minutes": 0})


def test_rolling_back_takes_two_steps_and_says_what_is_served(
    tray: Tray, door: Service, said: list[str]
) -> None:
    tray.shown = tray.look()
    assert not _rows(tray.menu())["Roll back"].enabled
    door.stop()
    make_versions(door.home, 1)
    door.start()
    door.post("/ns/use", {"version": 1})
    tray.shown = tray.look()
    _rows(tray.menu())["Roll back"](None)  # the first step only opens the second
    assert door.status()["serving"]["version"] == 1
    _choose(tray, "Yes, serve the base model instead of version 1")
    until(lambda: door.status()["serving"]["version"] == 0, 10, "the base is served")
    until(lambda: said, 10, "it is said")
    assert said == ["The base model is served again."]


def test_open_gets_in_without_the_token_in_the_address(
    tray: Tray, door: Service, opened: list[str]
) -> None:
    _choose(tray, "Open")
    until(lambda: opened, 10, "the browser is opened")
    address, _, code = opened[0].partition("#code=")
    assert address == f"{door.url}/"
    assert door.token not in opened[0]
    session = door.request("POST", "/ns/session", {}, token=code)
    assert session.status == 200
    found = door.request("GET", "/ns/status", token=session.json["session"])
    assert found.status == 200
    assert door.request("POST", "/ns/session", {}, token=code).status == 401  # it works once


def test_a_service_that_is_gone_is_trouble_and_can_be_started(
    tray: Tray, door: Service, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTSCHOOL_SERVE_PORT", str(free_port()))
    monkeypatch.setenv("PYTHONPATH", str(SOURCE))
    tray.shown = tray.look()
    assert "Start the service" not in _rows(tray.menu())
    door.stop()
    _rows(tray.menu())["Learn now"](None)  # chosen just before it was seen
    until(lambda: said, 10, "the failure is told")
    assert "not running" in said[0]
    tray.shown = tray.look()
    assert tray.shown.face is Face.TROUBLE
    assert tray.shown.why == "The service is not running."
    _choose(tray, "Start the service")
    until(lambda: client.connect(door.home), 20, "the service runs")
    tray.shown = tray.look()
    assert tray.shown.running
    client.stop(door.home)
    door.start()


# -- where it can be shown ------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="other systems always have a tray")
def test_without_a_desktop_it_says_so_in_one_line_and_the_service_goes_on(door: Service) -> None:
    bare = dict.fromkeys(("DISPLAY", "WAYLAND_DISPLAY", "DBUS_SESSION_BUS_ADDRESS"), "")
    said = nightschool(door.home.root, "tray", **bare)
    assert said.code == 1
    assert said.out == ""
    assert "There is no desktop here" in said.complaint
    assert "nightschool open" in said.complaint
    nowhere = nightschool(door.home.root, "tray", **{**bare, "DISPLAY": ":987"})
    assert nowhere.code == 1
    assert "nothing on this desktop watches for one" in nowhere.complaint
    assert door.status()["state"] == "ready"
    assert not door.home.tray.exists()


@pytest.mark.skipif(bool(missing(("dbus-daemon",))), reason="dbus-daemon is not installed here")
@pytest.mark.parametrize(
    ("toolkit", "said"),
    [("appindicator", "appindicator"), ("", "python3-gi"), ("gtk", "python3-gi")],
)
def test_a_panel_is_used_where_the_menu_can_be_drawn_else_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, toolkit: str, said: str
) -> None:
    monkeypatch.setattr(place, "_toolkit", lambda: toolkit)
    with desktop(display=False) as made:
        where = {**made.environment, "WAYLAND_DISPLAY": "wayland-9"}
        with pytest.raises(place.NoTray, match="nothing on this desktop watches"):
            place.find(where, "linux")
        with open_dbus_connection(bus=where["DBUS_SESSION_BUS_ADDRESS"]) as panel:
            panel.send_and_get_reply(message_bus.RequestName(place.WATCHER), timeout=5)
            if toolkit == "appindicator":
                assert place.find(where, "linux").backend == said
            else:
                with pytest.raises(place.NoTray, match=said):
                    place.find(where, "linux")


def test_only_a_package_that_fits_this_python_is_borrowed(tmp_path: Path) -> None:
    for folder, suffix in (("other", ".cpython-27-old.so"),
                           ("fits", importlib.machinery.EXTENSION_SUFFIXES[0])):  # fmt: skip
        for name in ("nsgi", "nsother"):
            package = tmp_path / folder / name
            package.mkdir(parents=True)
            (package / "__init__.py").write_text("HERE = __file__")
            (package / f"_{name}{suffix}").touch()
    try:
        assert not place.borrow("nsgi", [str(tmp_path / "other"), str(tmp_path / "absent")])
        assert place.borrow("nsgi", [str(tmp_path / "other"), str(tmp_path / "fits")])
        assert sys.modules["nsgi"].HERE.startswith(str(tmp_path / "fits"))
        assert importlib.util.find_spec("nsother") is None
    finally:
        sys.modules.pop("nsgi", None)


# -- on a real display ----------------------------------------------------------------------------

ABSENT = missing() or ("" if place.borrow("gi") else "PyGObject for this Python")


@pytest.mark.skipif(bool(ABSENT), reason=f"not installed here: {ABSENT}")
def test_on_a_real_panel_the_icon_shows_its_state_and_its_menu_works(door: Service) -> None:
    with desktop() as screen:
        screen.panel()
        shown = _start(screen, door)
        item = screen.item()
        assert item.get("Title") == "Nightschool: idle"
        assert Path(item.get("IconName")).is_relative_to(door.home.tray)
        again = _start(screen, door)
        assert again.wait(10) == 0  # one icon a home
        labels = [row["label"] for row in item.rows() if row["visible"]]
        assert labels[2:] == [
            "Learn now", "Pause for an hour", "Learn by itself at night",
            "Roll back", "There is nothing to go back to", "Open", "Quit (the service goes on)",
        ]  # fmt: skip
        item.click("Learn by itself at night")
        until(lambda: door.status()["night"]["allowed"], 10, "nights are allowed")
        item.click("Pause for an hour")  # which the icon offers once it has seen that
        until(lambda: item.get("Title") == "Nightschool: waiting", 10, "the icon changes")
        item.click("Resume")
        until(lambda: item.get("Title") == "Nightschool: idle", 10, "the icon changes back")
        item.click("Quit")
        assert shown.wait(10) == 0
        assert not door.home.tray.exists()
        assert door.status()["state"] == "ready"


def _start(screen: Desktop, door: Service) -> subprocess.Popen[bytes]:
    more = {"PYTHONPATH": str(SOURCE), "NIGHTSCHOOL_HOME": str(door.home.root)}
    screen.environment |= more
    return screen.start(sys.executable, "-m", "nightschool.tray.main", "--wait", "10")
