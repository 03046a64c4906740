"""How long ago the user was there: a real session bus, a real X server, and a Wayland desktop.

The Wayland desktop is a small server of our own that speaks the protocol as it is published; a real
one is not among the tests' machines.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nightschool.device import idle
from nightschool.device.wayland import Away, socket_path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="desktops of Linux")


def soon(question: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 10
    while not question():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


# -- D-Bus ---------------------------------------------------------------------------------------

MUTTER = """
import sys
from jeepney import DBusAddress, MessageType, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
connection = open_dbus_connection(bus=sys.argv[1])
connection.send_and_get_reply(message_bus.RequestName("org.gnome.Mutter.IdleMonitor"))
print("ready", flush=True)
while True:
    message = connection.receive()
    if message.header.message_type is MessageType.method_call:
        connection.send(new_method_return(message, "t", (90500,)))
"""


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A session bus of the test's own."""
    if shutil.which("dbus-daemon") is None:
        pytest.skip("no dbus-daemon here")
    where = f"unix:path={tmp_path / 'bus'}"
    daemon = subprocess.Popen(["dbus-daemon", "--session", "--nofork", f"--address={where}"])
    try:
        soon((tmp_path / "bus").exists, "the bus listens")
        yield {"DBUS_SESSION_BUS_ADDRESS": where, "DISPLAY": ":987", "XDG_SESSION_ID": "nobody"}
    finally:
        daemon.terminate()
        daemon.wait(5)


def test_gnome_is_asked_over_the_session_bus(bus: dict[str, str]) -> None:
    address = bus["DBUS_SESSION_BUS_ADDRESS"]
    assert idle._gnome(bus) is None
    mutter = subprocess.Popen([sys.executable, "-c", MUTTER, address], stdout=subprocess.PIPE)
    try:
        assert mutter.stdout is not None
        assert mutter.stdout.readline() == b"ready\n"
        assert idle._gnome(bus) == 90.5
        found = idle.idle_seconds(bus)
        assert found is not None and found <= 90.5  # a terminal may have been used since
    finally:
        mutter.kill()
        mutter.communicate()


# -- X11 -----------------------------------------------------------------------------------------


def test_the_x_server_tells_when_a_key_was_last_pressed(tmp_path: Path) -> None:
    if shutil.which("Xvfb") is None:
        pytest.skip("no Xvfb here")
    if idle._x11_libraries() is None:
        pytest.skip("libXss is not installed")
    read, write = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(write), "-nolisten", "tcp", "-screen", "0", "64x64x24"],
        pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    try:
        with os.fdopen(read) as number:
            display = f":{number.readline().strip()}"
        first = idle._x11(display)
        assert first is not None and 0 <= first < 60
        soon(lambda: (idle._x11(display) or 0) > first, "time passes there")
    finally:
        server.terminate()
        server.wait(5)


# -- Wayland -------------------------------------------------------------------------------------


class Desktop:
    """Speaks enough of Wayland for one client: registry, seat, and the idle notifier."""

    def __init__(self, path: Path, *, notifier: int) -> None:
        self.path, self.notifier = path, notifier
        self.asked: list[tuple[int, int]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._client: socket.socket | None = None
        self._ids: dict[int, str] = {1: "wl_display"}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def idled(self) -> None:
        self._event(self._named("notification"), 0, b"")

    def resumed(self) -> None:
        self._event(self._named("notification"), 1, b"")

    def close(self) -> None:
        if self._client is None:
            with contextlib.suppress(OSError):  # it may have been closed before
                self._listener.shutdown(socket.SHUT_RDWR)
        else:
            with contextlib.suppress(OSError):
                self._client.shutdown(socket.SHUT_RDWR)
        self._thread.join(5.0)
        self._listener.close()
        if self._client is not None:
            self._client.close()

    def _named(self, what: str) -> int:
        return next(number for number, name in self._ids.items() if name == what)

    def _event(self, sender: int, opcode: int, body: bytes) -> None:
        assert self._client is not None
        self._client.sendall(struct.pack("=IHH", sender, opcode, 8 + len(body)) + body)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            self._client, _ = self._listener.accept()
            while head := self._client.recv(8, socket.MSG_WAITALL):
                sender, opcode, size = struct.unpack("=IHH", head)
                body = self._client.recv(size - 8, socket.MSG_WAITALL) if size > 8 else b""
                self._handle(self._ids[sender], opcode, body)

    def _handle(self, to: str, opcode: int, body: bytes) -> None:
        if (to, opcode) == ("wl_display", 1):
            (registry,) = struct.unpack("=I", body)
            self._ids[registry] = "wl_registry"
            offered = [(7, "wl_compositor", 6), (11, "wl_seat", 8)]
            offered += [(23, "ext_idle_notifier_v1", self.notifier)] if self.notifier else []
            for name, interface, version in offered:
                raw = interface.encode() + b"\0"
                padded = raw + bytes(-len(raw) % 4)
                words = struct.pack("=II", name, len(raw)) + padded + struct.pack("=I", version)
                self._event(registry, 0, words)
        elif (to, opcode) == ("wl_display", 0):
            (callback,) = struct.unpack("=I", body)
            self._event(callback, 0, struct.pack("=I", 1))
        elif (to, opcode) == ("wl_registry", 0):
            (number,) = struct.unpack("=I", body[-4:])
            self._ids[number] = {11: "seat", 23: "notifier"}[struct.unpack("=I", body[:4])[0]]
            if self._ids[number] == "seat":
                self._event(number, 0, struct.pack("=I", 3))  # capabilities
        elif to == "notifier":
            number, timeout, seat = struct.unpack("=III", body)
            assert self._ids[seat] == "seat"
            self._ids[number] = "notification"
            self.asked.append((opcode, timeout))
        else:
            raise AssertionError((to, opcode))


@pytest.mark.parametrize(("version", "request_code"), [(1, 1), (2, 2)])
def test_a_wayland_desktop_tells_that_the_user_went_and_came_back(
    tmp_path: Path, version: int, request_code: int
) -> None:
    desktop = Desktop(tmp_path / "wayland-0", notifier=version)
    now = 100.0
    away = Away({"XDG_RUNTIME_DIR": str(tmp_path)}, now=lambda: now)
    try:
        assert away.seconds() == 0.0  # nobody has said yet that the user is away
        soon(lambda: bool(desktop.asked), "it is asked")
        assert desktop.asked == [(request_code, 1000)]
        desktop.idled()
        soon(lambda: away.seconds() == 1.0, "it has heard")
        now += 300.0
        assert away.seconds() == 301.0
        desktop.resumed()
        soon(lambda: away.seconds() == 0.0, "it has heard that too")
        desktop.close()
        soon(lambda: away.seconds() is None, "the desktop is gone")
    finally:
        away.close()
        desktop.close()


def test_a_desktop_without_the_protocol_is_not_asked_all_the_time(tmp_path: Path) -> None:
    desktop = Desktop(tmp_path / "wayland-0", notifier=0)
    now = 100.0
    away = Away({"XDG_RUNTIME_DIR": str(tmp_path), "WAYLAND_DISPLAY": "wayland-0"}, lambda: now)
    try:
        assert away.seconds() is None
        desktop.close()
        desktop.path.unlink()
        second = Desktop(tmp_path / "wayland-0", notifier=2)
        assert away.seconds() is None
        now += 61.0
        assert away.seconds() == 0.0
        second.close()
    finally:
        away.close()


def test_the_socket_is_found_also_by_a_service_that_began_before_the_desktop(
    tmp_path: Path,
) -> None:
    folder = str(tmp_path)
    assert socket_path({"XDG_RUNTIME_DIR": folder}) is None
    desktop = Desktop(tmp_path / "wayland-1", notifier=1)
    assert socket_path({"XDG_RUNTIME_DIR": folder}) == tmp_path / "wayland-1"
    assert socket_path({"XDG_RUNTIME_DIR": folder, "WAYLAND_DISPLAY": "wayland-7"}) == (
        tmp_path / "wayland-7"
    )
    other = Desktop(tmp_path / "wayland-2", notifier=1)
    assert socket_path({"XDG_RUNTIME_DIR": folder}) is None  # whose, nobody knows
    assert socket_path({}) is None
    desktop.close()
    other.close()


def test_the_source_that_answered_is_asked_first_and_the_others_when_it_fails() -> None:
    calls: list[str] = []
    answers = {"a": None, "b": 5.0, "c": 7.0}

    def source(name: str) -> Callable[[], float | None]:
        def ask() -> float | None:
            calls.append(name)
            return answers[name]

        return ask

    made = idle.Input("darwin", {})
    made._sources = [source(name) for name in "abc"]
    assert [made.seconds(), made.seconds()] == [5.0, 5.0]
    assert calls == ["a", "b", "b"]
    answers["b"] = None
    assert made.seconds() == 7.0
