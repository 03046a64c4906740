"""Whether the user of a Wayland desktop is away, by the protocol `ext-idle-notify-v1`.

KDE Plasma, Sway, Hyprland, niri, COSMIC and others offer it. It is an event ("no input for so
long", "input again") and no counter, so one small connection stays open and is read when somebody
asks; nothing runs in between, and no library is needed. Written from the protocol's definition and
tested against a server of our own, not against these desktops.

Sources: wayland-protocols, staging/ext-idle-notify; Wayland, "Wire format"; wayland.xml.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

AWAY_MS = 1000
"""No input for so long makes an event."""
TIMEOUT_S = 1.0
AGAIN_S = 60.0
"""A desktop that does not offer it is not asked again for so long."""
_DISPLAY, _REGISTRY, _DONE, _SEAT, _NOTIFIER, _NOTIFICATION = 1, 2, 3, 4, 5, 6


class WaylandError(Exception):
    """The desktop does not answer, or does not offer the protocol. Never leaves this module."""


class Away:
    """`seconds()` since the last input, at most what passed since the first question."""

    def __init__(
        self,
        environment: Mapping[str, str],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._environment, self._now = environment, now
        self._socket: socket.socket | None = None
        self._rest = b""
        self._since: float | None = None
        self._not_before = 0.0

    def seconds(self) -> float | None:
        """None when this desktop does not tell. Takes a second at most, mostly no time."""
        if self._socket is None:
            if self._now() < self._not_before:
                return None
            try:
                self._open()
            except (OSError, ValueError, struct.error, WaylandError):
                self.close()
                self._not_before = self._now() + AGAIN_S
                return None
        try:
            self._drain()
        except (OSError, ValueError, struct.error, WaylandError):
            self.close()  # the session ended, or the desktop was started anew
            return None
        return 0.0 if self._since is None else self._now() - self._since + AWAY_MS / 1000

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._rest, self._since = None, b"", None

    # -- protocol -----------------------------------------------------------------------------

    def _open(self) -> None:
        path = socket_path(self._environment)
        if path is None:
            raise WaylandError
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(str(path))
        self._send(_DISPLAY, 1, struct.pack("=I", _REGISTRY))  # get_registry
        self._send(_DISPLAY, 0, struct.pack("=I", _DONE))  # sync
        offered: dict[str, tuple[int, int]] = {}
        for sender, opcode, body in self._events():
            if sender == _REGISTRY and opcode == 0:  # global: name, interface, version
                name, interface, version = _global(body)
                offered.setdefault(interface, (name, version))
            if sender == _DONE:
                break
        if "wl_seat" not in offered or "ext_idle_notifier_v1" not in offered:
            raise WaylandError
        self._bind(*offered["wl_seat"], "wl_seat", 1, _SEAT)
        version = self._bind(*offered["ext_idle_notifier_v1"], "ext_idle_notifier_v1", 2, _NOTIFIER)
        # From version 2 on: input alone, also while a player keeps the screen from going dark.
        ask = 2 if version >= 2 else 1
        self._send(_NOTIFIER, ask, struct.pack("=III", _NOTIFICATION, AWAY_MS, _SEAT))

    def _bind(self, name: int, offered: int, interface: str, most: int, number: int) -> int:
        version = min(offered, most)
        words = struct.pack("=I", name) + _string(interface)
        self._send(_REGISTRY, 0, words + struct.pack("=II", version, number))
        return version

    def _drain(self) -> None:
        assert self._socket is not None
        self._socket.setblocking(False)
        for sender, opcode, _ in self._events():
            if sender == _NOTIFICATION:
                self._since = self._now() if opcode == 0 else None  # idled, resumed

    def _events(self) -> Iterator[tuple[int, int, bytes]]:
        """`(sender, opcode, body)` of what has come; ends when nothing more is there."""
        assert self._socket is not None
        while True:
            while len(self._rest) >= 8:
                sender, head = struct.unpack_from("=II", self._rest)
                size = head >> 16
                if size < 8:
                    raise WaylandError
                if len(self._rest) < size:
                    break
                body, self._rest = self._rest[8:size], self._rest[size:]
                if sender == _DISPLAY and head & 0xFFFF == 0:  # error
                    raise WaylandError
                yield sender, head & 0xFFFF, body
            try:
                more = self._socket.recv(65_536)
            except BlockingIOError:
                return
            if not more:
                raise WaylandError
            self._rest += more

    def _send(self, sender: int, opcode: int, body: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(struct.pack("=II", sender, (len(body) + 8) << 16 | opcode) + body)


def socket_path(environment: Mapping[str, str]) -> Path | None:
    """Where the desktop listens: as the session says, or the only one of this user."""
    folder = environment.get("XDG_RUNTIME_DIR", "")
    name = environment.get("WAYLAND_DISPLAY", "")
    if name:
        return Path(folder, name) if folder or Path(name).is_absolute() else None
    found = [path for path in sorted(Path(folder).glob("wayland-?")) if path.is_socket()]
    return found[0] if folder and len(found) == 1 else None


def _string(text: str) -> bytes:
    raw = text.encode() + b"\0"
    return struct.pack("=I", len(raw)) + raw + bytes(-len(raw) % 4)


def _global(body: bytes) -> tuple[int, str, int]:
    name, length = struct.unpack_from("=II", body)
    interface = body[8 : 8 + length - 1].decode()
    (version,) = struct.unpack_from("=I", body, 8 + length + -length % 4)
    return name, interface, version
