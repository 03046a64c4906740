"""A desktop that nobody sees: an X server, a session bus, a panel with a tray, notifications.

Everything is the real program, started for one test and ended with it. `missing()` says what is not
installed here (Debian: xvfb xfce4-panel xfconf dunst dbus python3-gi
gir1.2-ayatanaappindicator3-0.1 gir1.2-gtk-3.0; imagemagick and xdotool for screenshots).
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jeepney import HeaderFields, MessageType, message_bus, new_method_return
from jeepney.io.blocking import open_dbus_connection

from nightschool.device import bus
from service_harness import until

WATCHER = "org.kde.StatusNotifierWatcher"
ITEM = "org.kde.StatusNotifierItem"
MENU = "com.canonical.dbusmenu"
PROPERTIES = "org.freedesktop.DBus.Properties"
NEEDED = ("Xvfb", "dbus-daemon", "xfce4-panel")
PANEL = """<?xml version="1.0" encoding="UTF-8"?>
<channel name="xfce4-panel" version="1.0">
  <property name="configver" type="int" value="2"/>
  <property name="panels" type="array">
    <value type="int" value="1"/>
    <property name="panel-1" type="empty">
      <property name="position" type="string" value="p=6;x=0;y=0"/>
      <property name="length" type="uint" value="100"/>
      <property name="position-locked" type="bool" value="true"/>
      <property name="size" type="uint" value="48"/>
      <property name="plugin-ids" type="array"><value type="int" value="1"/></property>
    </property>
  </property>
  <property name="plugins" type="empty">
    <property name="plugin-1" type="string" value="systray">
      <property name="square-icons" type="bool" value="true"/>
      <property name="icon-size" type="int" value="40"/>
    </property>
  </property>
</channel>
"""

ALONE = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type>
  <listen>unix:dir={}</listen>
  <policy context="default">
    <allow send_destination="*" eavesdrop="true"/>
    <allow eavesdrop="true"/>
    <allow own="*"/>
  </policy>
</busconfig>
"""


def missing(programs: Sequence[str] = NEEDED) -> str:
    """What is not installed here, in words; empty when all is."""
    return ", ".join(name for name in programs if shutil.which(name) is None)


@dataclass
class Desktop:
    """One running desktop; `environment` is what its programs get."""

    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def start(self, *command: str, **more: Any) -> subprocess.Popen[Any]:
        """A program on this desktop, ended with it."""
        log = (self.folder / f"{Path(command[0]).name}.log").open("wb")
        with log:
            made = subprocess.Popen(
                command, env=self.environment, stdin=subprocess.DEVNULL,
                **{"stdout": log, "stderr": log, **more},
            )  # fmt: skip
        self.processes.append(made)
        return made

    def call(
        self, name: str, path: str, interface: str, method: str, *rest: Any
    ) -> tuple[Any, ...]:
        """A method on its session bus."""
        return bus.call(name, path, interface, method, *rest, environment=self.environment)

    def get(self, name: str, path: str, interface: str, key: str) -> Any:
        """A property on its session bus."""
        return self.call(name, path, PROPERTIES, "Get", "ss", (interface, key))[0][1]

    def panel(self) -> None:
        """Start the panel and wait until it watches for icons."""
        place = self.folder / "config" / "xfce4" / "xfconf" / "xfce-perchannel-xml"
        place.mkdir(parents=True)
        (place / "xfce4-panel.xml").write_text(PANEL)
        self.start("xfce4-panel", "--disable-wm-check")
        until(lambda: bus.owned(WATCHER, self.environment), 20, "the panel watches for icons")

    def item(self) -> Item:
        """The one icon in the tray."""

        def found() -> str:
            items = self.get(WATCHER, "/StatusNotifierWatcher", WATCHER,
                             "RegisteredStatusNotifierItems")  # fmt: skip
            return str(items[0]) if items else ""

        name, _, path = until(found, 20, "an icon is registered").partition("/")
        return Item(self, name, f"/{path}")

    def shoot(self, file: Path, crop: str = "") -> None:
        """A screenshot."""
        more = ("-crop", crop, "+repage") if crop else ()
        subprocess.run(
            ("import", "-window", "root", *more, str(file)), env=self.environment, check=True,
            timeout=60,
        )  # fmt: skip

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.terminate()
        for process in reversed(self.processes):
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


@dataclass(frozen=True)
class Item:
    """One icon, asked and clicked over the bus as a panel does it."""

    desktop: Desktop
    name: str
    path: str

    def get(self, key: str) -> Any:
        return self.desktop.get(self.name, self.path, ITEM, key)

    def rows(self) -> list[dict[str, Any]]:
        """Every item of the menu, those of submenus too: `id`, `label`, `enabled`, `visible`."""
        menu = str(self.get("Menu"))
        _, layout = self.desktop.call(self.name, menu, MENU, "GetLayout", "iias", (0, -1, []))
        found: list[dict[str, Any]] = []

        def walk(node: Any, within: str) -> None:
            number, properties, children = node
            row = {key: value[1] for key, value in properties.items()}
            label = str(row.get("label", ""))
            if label:
                found.append({
                    "id": number, "label": label, "within": within,
                    "enabled": row.get("enabled", True), "visible": row.get("visible", True),
                })  # fmt: skip
            for _signature, child in children:
                walk(child, label)

        walk(layout, "")
        return found

    def click(self, start: str) -> None:
        """Choose the item whose label begins so. Fails when it is absent or cannot be chosen."""

        def found() -> dict[str, Any] | None:
            rows = [row for row in self.rows() if row["label"].startswith(start)]
            return rows[0] if rows and rows[0]["enabled"] and rows[0]["visible"] else None

        def chosen() -> bool:
            row = found()
            if row is None:
                return False
            try:
                self.desktop.call(
                    self.name, str(self.get("Menu")), MENU, "Event", "isvu",
                    (row["id"], "clicked", ("i", 0), int(time.time()) & 0xFFFFFFFF),
                )  # fmt: skip
            except bus.BusError as error:
                # The menu was drawn anew between the two calls; a panel reads it again, too.
                if "does not refer to a menu item" not in str(error):
                    raise
                return False
            return True

        until(chosen, 15, f"{start!r} can be chosen among {[r['label'] for r in self.rows()]}")


@contextlib.contextmanager
def desktop(*, display: bool = True) -> Iterator[Desktop]:
    """A session bus and an X display; without one, a bus on which nobody is. Ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="ns-desk-") as temporary:
        folder = Path(temporary)
        kept = ("PATH", "LANG", "LC_ALL", "HOME", "PYTHONPATH", "VIRTUAL_ENV")
        environment = {name: os.environ[name] for name in kept if name in os.environ}
        for name in ("config", "cache", "data", "runtime"):
            (folder / name).mkdir(mode=0o700)
        environment |= {
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_CACHE_HOME": str(folder / "cache"),
            "XDG_DATA_HOME": str(folder / "data"),
            "XDG_RUNTIME_DIR": str(folder / "runtime"),
            "NO_AT_BRIDGE": "1",
        }
        made = Desktop(folder, environment)
        try:
            if display:
                environment["DISPLAY"] = _display(made)
            environment["DBUS_SESSION_BUS_ADDRESS"] = _bus(made, started=display)
            yield made
        finally:
            made.stop()


def _display(made: Desktop) -> str:
    """Start an X server on a free display; it says which one on a pipe."""
    reading, writing = os.pipe()
    try:
        made.start(
            "Xvfb", "-displayfd", str(writing), "-screen", "0", "900x420x24", "-nolisten", "tcp",
            pass_fds=(writing,),
        )  # fmt: skip
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            number = pipe.readline().decode().strip()
    except OSError as error:
        raise AssertionError("the X server does not start") from error
    assert number, (made.folder / "Xvfb.log").read_text()
    return f":{number}"


def _bus(made: Desktop, *, started: bool) -> str:
    """`started`: what is installed is started when it is asked for, as on a real desktop."""
    which = "--session"
    if not started:
        file = made.folder / "bus.conf"
        file.write_text(ALONE.format(made.folder))
        which = f"--config-file={file}"
    process = made.start(
        "dbus-daemon", which, "--nofork", "--print-address=1", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        address: str = pipe.readline().decode().strip()
    assert address
    return address


class Notifier(threading.Thread):
    """A notification server: holds the name, answers as the specification says, keeps what came."""

    def __init__(self, address: str, capabilities: Sequence[str]) -> None:
        super().__init__(daemon=True)
        self.capabilities = list(capabilities)
        self.shown: queue.Queue[tuple[str, str]] = queue.Queue()
        self._wire = open_dbus_connection(bus=address)
        asked = message_bus.RequestName("org.freedesktop.Notifications")
        self._wire.send_and_get_reply(asked, timeout=5)

    def run(self) -> None:
        while True:
            try:
                message = self._wire.receive()
            except (OSError, ValueError):  # the bus has ended
                self._wire.close()
                return
            asked = message.header.fields.get(HeaderFields.member)
            if message.header.message_type is not MessageType.method_call:
                continue
            if asked == "GetCapabilities":
                self._wire.send(new_method_return(message, "as", (self.capabilities,)))
            elif asked == "Notify":
                self.shown.put((message.body[3], message.body[4]))
                self._wire.send(new_method_return(message, "u", (1,)))
