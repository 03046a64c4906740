"""Tell systemd how the service is doing (`Type=notify`, `WatchdogSec`); nothing elsewhere.

The protocol is one datagram of `NAME=value` lines to the socket that NOTIFY_SOCKET names (man 3
sd_notify); a name that starts with @ lies in the abstract namespace.
"""

from __future__ import annotations

import contextlib
import os
import socket

VARIABLE = "NOTIFY_SOCKET"


def notify(*lines: str) -> None:
    """Send lines such as `READY=1` or `WATCHDOG=1`. A manager that has gone is no fault."""
    address = os.environ.get(VARIABLE, "")
    if not address or not hasattr(socket, "AF_UNIX"):
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as wire,
    ):
        wire.sendto("\n".join(lines).encode(), address)
