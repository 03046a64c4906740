"""The tray as a program: `python -m nightschool.tray.main [--wait SECONDS]`.

`nightschool tray` becomes it. The home comes from NIGHTSCHOOL_HOME.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nightschool import paths
from nightschool.errors import NightschoolError, of_disk
from nightschool.paths import Home
from nightschool.tray import place
from nightschool.tray.app import Tray
from nightschool.tray.place import NoTray, Place

PAUSE_S = 1.0
"""Between two looks for a panel, while it is waited for."""


def run(home: Home, wait_s: float) -> None:
    """Show the icon until it is quit. Raises NoTray, Refused."""
    home.create()
    lock = FileLock(home.tray_lock, mode=0o600)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        sys.stdout.write("The tray icon of this home is shown already.\n")
        return
    try:
        found = waited(wait_s)
        if found.note:
            sys.stdout.write(f"{found.note}\n")
            sys.stdout.flush()
        os.environ["PYSTRAY_BACKEND"] = found.backend
        with own_temporary(home.tray):
            tray = Tray(home)
            signal.signal(signal.SIGTERM, lambda *_: tray.quit())
            try:
                tray.run()
            except (ImportError, AssertionError, OSError) as error:
                raise NoTray(
                    f"The icon could not be shown ({error or type(error).__name__}).",
                    "The service goes on without it; `nightschool open` shows the same and more.",
                ) from error
    finally:
        lock.release()


def waited(seconds: float) -> Place:
    """The place for the icon; at a login the panel may come after us. Raises NoTray."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return place.find()
        except NoTray:
            if time.monotonic() >= deadline:
                raise
        time.sleep(PAUSE_S)


@contextmanager
def own_temporary(folder: Path) -> Iterator[None]:
    """pystray hands the icon over as a file with a guessable name in the shared temporary folder,
    and leaves it there when it is killed: give it a folder that only this user can enter."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nightschool tray")
    parser.add_argument("--wait", type=float, default=0.0, help="seconds to wait for a panel")
    options = parser.parse_args()
    logging.basicConfig(format="%(message)s", level=logging.WARNING)
    try:
        run(paths.home(), options.wait)
    except NightschoolError as error:
        raise _said(error) from error
    except OSError as error:  # a home that cannot be written
        raise _said(of_disk(error) or NightschoolError(f"The icon ended: {error}.")) from error


def _said(error: NightschoolError) -> SystemExit:
    sys.stderr.write(f"nightschool: {error}\n")
    return SystemExit(error.exit_code)


if __name__ == "__main__":
    main()
