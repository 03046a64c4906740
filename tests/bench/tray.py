"""The tray icon on a virtual display: real panels, a real service, every item of the menu.

    python tests/bench/tray.py [--quick] [--shots FOLDER] [--night]

Needs Xvfb, dbus-daemon, xfce4-panel, PyGObject with the typelibs of AppIndicator, and ImageMagick's
`import`; with `trayer` the older X11 tray is shown too, with `dunst` a notification. `--shots`
keeps the screenshots, to be looked at. `--night` waits for a whole night on the example vault, and
for the notification when it promotes (ten minutes).
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psutil  # noqa: E402
from PIL import Image, ImageChops, ImageStat  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from made_versions import make_versions  # noqa: E402
from nightschool.tray import place  # noqa: E402
from nightschool.tray.app import LOOK_S  # noqa: E402
from nightschool.tray.face import draw  # noqa: E402
from nightschool.tray.view import Face  # noqa: E402
from service_harness import SOURCE, Service, copy_vault, service, until  # noqa: E402
from virtual_desktop import Desktop, Item, desktop, missing  # noqa: E402

PLAIN = "import nightschool.tray.place as p; p._SYSTEM = (); import nightschool.tray.main as m; "
"""A tray that finds no PyGObject to borrow."""
ICON = 40
"""Pixels of a side of the only icon, which the panel draws in its left upper corner."""
ALIKE = 25.0
"""Mean difference, of 255, up to which two pictures are the same; other faces are over 33 apart."""
SHOWN_S = 6.0
"""How much later than its next look at the service the icon may show what that says."""
TRAY_MB = 90.0


class Stage:
    """One desktop with one tray icon, and the pictures taken of it."""

    def __init__(self, report: Report, screen: Desktop, door: Service, shots: Path) -> None:
        self.report, self.screen, self.door, self.shots = report, screen, door, shots
        self.opened = screen.folder / "opened"
        browser = screen.folder / "browser"
        browser.write_text(f'#!/bin/sh\nprintf "%s" "$1" > {self.opened}\n')
        browser.chmod(0o755)
        screen.environment |= {
            "PYTHONPATH": str(SOURCE), "NIGHTSCHOOL_HOME": str(door.home.root),
            "BROWSER": str(browser), "NIGHTSCHOOL_SERVE_PORT": str(door.port),
        }  # fmt: skip

    def show(self, *words: str) -> subprocess.Popen[Any]:
        """Start the icon."""
        words = words or ("-m", "nightschool.tray.main")
        return self.screen.start(sys.executable, *words, "--wait", "10")

    def picture(self, name: str) -> Image.Image:
        file = self.shots / f"{name}.png"
        self.screen.shoot(file)
        with Image.open(file) as image:
            return image.convert("RGB")

    def face(self, item: Item, wanted: Face, why: str) -> None:
        """The icon has this face within seconds, in words and in pixels."""
        began = time.monotonic()
        until(lambda: item.get("Title") == f"Nightschool: {wanted.value}", 60, why, 0.1)
        took = time.monotonic() - began
        until(lambda: self.drawn(wanted, name=f"icon-{wanted.value}"), 10, "it is drawn", 0.2)
        self.report.at_most(f"shows_{wanted.value}_s", took, LOOK_S + SHOWN_S, 1)

    def drawn(self, wanted: Face, name: str) -> bool:
        """Whether the panel shows this face rather than any other."""
        seen = self.picture(name)
        apart = {face: _apart(seen, face) for face in Face}
        return min(apart, key=lambda face: apart[face]) is wanted and apart[wanted] < ALIKE

    def chosen(self, item: Item, text: str, come: Callable[[], object], why: str) -> None:
        """Choose one item of the menu for real; what it does must come."""
        item.click(text)
        until(come, 40, why, 0.1)
        self.report.exactly(f"item: {text}", 1, 1, 1)


def _apart(seen: Image.Image, face: Face) -> float:
    """How far the icon on the screen is from this face, where they fit best."""
    back = Image.new("RGB", (ICON, ICON), (246, 245, 244))
    icon = draw(face, ICON)
    back.paste(icon, (0, 0), icon)
    places = [(x, y) for x in range(9) for y in range(9)]
    return min(
        sum(ImageStat.Stat(ImageChops.difference(seen.crop((x, y, x + ICON, y + ICON)), back)).mean)
        / 3
        for x, y in places
    )


def notifier(stage: Stage) -> None:
    """A panel with status notifiers: the four faces and every item."""
    report, door, screen = stage.report, stage.door, stage.screen
    screen.panel()
    began = time.monotonic()
    process = stage.show()
    item = screen.item()
    report.at_most("icon_after_s", time.monotonic() - began, 10, 1)
    stage.face(item, Face.IDLE, "nobody allowed nights")
    stage.chosen(
        item, "Learn by itself at night", lambda: door.status()["night"]["allowed"], "allowed"
    )
    stage.face(item, Face.WAITING, "the window is closed")
    menu(stage, "menu-waiting")
    stage.chosen(item, "Pause for an hour", lambda: door.status()["night"]["paused_s"], "paused")
    until(lambda: "You paused learning" in item.rows()[0]["label"], 30, "the menu says so", 0.2)
    stage.chosen(item, "Resume", lambda: not door.status()["night"]["paused_s"], "resumed")
    stage.chosen(
        item, "Learn now", lambda: door.status()["night"]["state"] == "running", "a night runs"
    )
    stage.face(item, Face.LEARNING, "a night runs")
    menu(stage, "menu-learning")
    stage.chosen(
        item, "Pause for an hour",
        lambda: door.status()["night"]["last"], "the night is put off",
    )  # fmt: skip
    last = door.status()["night"]["last"]["outcome"]
    report.exactly("a_paused_night_is_interrupted", float(last == "interrupted"), 1, 1)
    until(lambda: "Last night" in item.rows()[1]["label"], 40, "the menu tells of it", 0.2)
    before = item.rows()
    menu(stage, "menu-roll-back", down=4)
    report.exactly("rolling_back_needs_two_steps", float(serving(door) == 1), 1, 1)
    label = next(row["label"] for row in before if row["within"] == "Roll back")
    stage.chosen(item, label, lambda: serving(door) == 0, "the base is served")
    stage.chosen(item, "Open", stage.opened.exists, "the browser is opened")
    address, _, code = stage.opened.read_text().partition("#code=")
    session = door.request("POST", "/ns/session", {}, token=code)
    clean = door.token not in stage.opened.read_text() and address == f"{door.url}/"
    report.exactly("open_logs_in_without_the_token", float(clean and session.status == 200), 1, 1)
    door.stop()
    stage.face(item, Face.TROUBLE, "the service is gone")
    menu(stage, "menu-trouble")
    stage.chosen(item, "Start the service", lambda: running(door), "the service runs")
    shown = psutil.Process(process.pid)
    report.at_most("tray_rss_mb", shown.memory_info().rss / 1e6, TRAY_MB, 1)
    stage.chosen(item, "Quit", lambda: process.poll() is not None, "the icon goes")
    report.exactly("quit_code", process.wait(), 0, 1)
    report.exactly("the_service_goes_on", float(bool(running(door))), 1, 1)
    report.exactly("no_file_is_left", float(door.home.tray.exists()), 0, 1)


def some_notes(folder: Path) -> Path:
    """A few notes of the example vault: enough for a night, little to read."""
    notes = folder / "notes"
    notes.mkdir()
    for file in sorted(copy_vault(folder).rglob("*.md"))[:12]:
        shutil.copy(file, notes)
    return notes


def serving(door: Service) -> int:
    return int(door.status()["serving"]["version"])


def running(door: Service) -> bool:
    with contextlib.suppress(OSError):
        return bool(door.status()["state"] == "ready")
    return False


def menu(stage: Stage, name: str, down: int = 0, button: str = "1") -> None:
    """A picture of the open menu, where a mouse can be moved."""
    if missing(("xdotool",)):
        return

    def press(*words: str) -> None:
        subprocess.run(("xdotool", *words), env=stage.screen.environment, check=True, timeout=20)

    press("mousemove", "24", "24", "click", button)
    time.sleep(0.6)
    if down:
        press("key", "--delay", "60", *(["Down"] * down), "Right")
        time.sleep(0.4)
    stage.picture(name)
    press("key", "Escape", "Escape")
    time.sleep(0.2)


def embedded(stage: Stage) -> None:
    """The older X11 tray: a menu with GTK, without PyGObject an icon that opens the page."""
    stage.screen.start("trayer", "--edge", "top", "--align", "left", "--widthtype", "request",
                       "--height", "48")  # fmt: skip
    until(lambda: place._owned(stage.screen.environment["DISPLAY"]), 15, "trayer owns the tray")
    for name, words in (("gtk", ()), ("xorg", ("-c", PLAIN + "m.main()"))):
        process = stage.show(*words)
        until(lambda name=name: anything(stage, f"x11-{name}"), 20, "an icon is embedded", 0.3)
        if name == "gtk":
            menu(stage, "x11-gtk-menu", button="3")
        else:
            stage.opened.unlink(missing_ok=True)
            if not missing(("xdotool",)):
                subprocess.run(
                    ("xdotool", "mousemove", "24", "24", "click", "1"), check=True, timeout=20,
                    env=stage.screen.environment,
                )  # fmt: skip
                until(stage.opened.exists, 15, "a click opens the page")
        stage.report.exactly(f"x11 tray by {name}", 1, 1, 1)
        process.terminate()
        stage.report.exactly(f"x11 {name} ends when told", process.wait(10), 0, 1)


def anything(stage: Stage, name: str) -> bool:
    return stage.drawn(Face.IDLE, name) or stage.drawn(Face.WAITING, name)


def nowhere(stage: Stage) -> None:
    """A display without any panel."""
    done = subprocess.run(
        (sys.executable, "-m", "nightschool", "tray"), env=stage.screen.environment, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    stage.report.say(f"       {done.stderr.strip()}")
    said = len(done.stderr.strip().splitlines()) == 1 and "watches for one" in done.stderr
    stage.report.exactly("without_a_panel_it_says_so", float(said and done.returncode == 1), 1, 1)


def promotion(stage: Stage, folder: Path) -> None:
    """A whole night, and what the desktop shows when it promotes."""
    door = stage.door
    door.watch(copy_vault(folder))
    began = time.monotonic()
    before = door.status()["night"]["last"]
    door.post("/ns/learn", {"seed": 2})

    def ended() -> Any:
        last = door.status()["night"]["last"]
        return last if last != before else None

    last = until(ended, 2400, "the night ends", 1.0)
    stage.report.say(f"       {last['outcome']} after {time.monotonic() - began:.0f} s")
    stage.report.exactly("the_night_promotes", float(last["outcome"] == "promoted"), 1, 1)
    until(lambda: "told of" in door.log(), 20, "the desktop is told")
    stage.picture("notification")
    stage.report.exactly("the_desktop_is_told", float("was told of version" in door.log()), 1, 1)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--shots", type=Path, help="keep the screenshots in this folder")
    parser.add_argument("--night", action="store_true", help="wait for a real promotion")
    options = parser.parse_args()
    report = Report(options.quick)
    absent = missing(("Xvfb", "dbus-daemon", "xfce4-panel", "import"))
    absent = absent or ("" if place.borrow("gi") else "PyGObject for this Python")
    if absent:
        report.say(f"not installed here: {absent}")
        report.exactly("the_display_can_be_tried", 0, 1, 1)
        report.finish()
    with tempfile.TemporaryDirectory() as temporary:
        shots = options.shots or Path(temporary) / "shots"
        shots.mkdir(parents=True, exist_ok=True)
        with desktop() as screen, service(environment=dict(screen.environment)) as door:
            door.stop()
            make_versions(door.home, 1)
            door.start()
            door.post("/ns/use", {"version": 1})
            door.watch(some_notes(Path(temporary)))
            stage = Stage(report, screen, door, shots)
            nowhere(stage)
            notifier(stage)
            door.stop()
            subprocess.run(
                (sys.executable, "-m", "nightschool", "stop"), env=screen.environment, check=True,
                stdout=subprocess.DEVNULL, timeout=60,
            )  # fmt: skip
        if not missing(("trayer",)):
            with desktop() as screen, service() as door:
                embedded(Stage(report, screen, door, shots))
        if options.night:
            with desktop() as screen, service(environment=dict(screen.environment)) as door:
                promotion(Stage(report, screen, door, shots), Path(temporary))
    report.finish()


if __name__ == "__main__":
    main()
