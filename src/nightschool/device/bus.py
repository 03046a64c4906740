"""One question to the user's session bus (D-Bus), over a connection of its own.

jeepney speaks the protocol in pure Python, so neither `gdbus` nor PyGObject must be installed. It
is imported at the first question.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nightschool.errors import NightschoolError

TIMEOUT_S = 5.0
"""How long an answer may take; the bus starts some services only when they are asked."""
NOBODY = ("org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner")


class BusError(NightschoolError):
    """There is no session bus, or nobody on it answers; `name` is the D-Bus error's, if any."""

    def __init__(self, message: str, name: str = "") -> None:
        super().__init__(message)
        self.name = name


def address(environment: Mapping[str, str] | None = None) -> str:
    """Where the session bus listens, empty when there is none (XDG Base Directory, sd-bus(3))."""
    environment = os.environ if environment is None else environment
    given = environment.get("DBUS_SESSION_BUS_ADDRESS", "")
    if given:
        return given
    folder = environment.get("XDG_RUNTIME_DIR", "")
    socket = Path(folder) / "bus"
    return f"unix:path={socket}" if folder and socket.exists() else ""


def call(
    name: str,
    path: str,
    interface: str,
    method: str,
    signature: str = "",
    arguments: Sequence[Any] = (),
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> tuple[Any, ...]:
    """Call a method and return what it answers. Raises BusError."""
    where = address(environment)
    if not where:
        raise BusError("There is no session bus here.")
    answers: queue.Queue[tuple[Any, ...] | BusError] = queue.Queue()
    question = (where, name, path, interface, method, signature, tuple(arguments), timeout_s)
    # The greeting of the bus knows no time limit, and a bus that hangs must hang nobody else.
    threading.Thread(target=lambda: answers.put(_ask(*question)), daemon=True).start()
    try:
        found = answers.get(timeout=timeout_s)
    except queue.Empty:
        raise BusError(f"The session bus did not answer within {timeout_s:.0f} s.") from None
    if isinstance(found, BusError):
        raise found
    return found


def _ask(
    where: str, name: str, path: str, interface: str, method: str, signature: str,
    arguments: tuple[Any, ...], timeout_s: float,
) -> tuple[Any, ...] | BusError:  # fmt: skip
    from jeepney import DBusAddress, HeaderFields, MessageType, new_method_call
    from jeepney.io.blocking import open_dbus_connection

    to = DBusAddress(path, bus_name=name, interface=interface)
    message = new_method_call(to, method, signature or None, arguments)
    try:
        with open_dbus_connection(bus=where) as connection:
            reply = connection.send_and_get_reply(message, timeout=timeout_s)
    except (OSError, RuntimeError, ValueError) as error:  # TimeoutError is an OSError
        return BusError(f"The session bus does not answer ({error or type(error).__name__}).")
    body: tuple[Any, ...] = reply.body
    if reply.header.message_type is not MessageType.error:
        return body
    said = str(body[0]) if body else "The session bus said no."
    return BusError(said, str(reply.header.fields.get(HeaderFields.error_name, "")))


def owned(name: str, environment: Mapping[str, str] | None = None) -> bool:
    """Whether somebody holds `name` on the bus. Raises BusError when there is no bus."""
    bus = "org.freedesktop.DBus"
    found = call(
        bus, "/org/freedesktop/DBus", bus, "NameHasOwner", "s", (name,), environment=environment
    )
    return bool(found[0])
