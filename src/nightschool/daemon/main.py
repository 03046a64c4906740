"""The resident process as a program: `python -m nightschool.daemon.main`.

`nightschool up` runs it in the terminal, `nightschool start` and the service managers in the
background. The home comes from NIGHTSCHOOL_HOME.
"""

from __future__ import annotations

import logging
import os
import sys

from nightschool import config, paths
from nightschool.daemon import logs
from nightschool.daemon.app import Daemon
from nightschool.daemon.instance import AlreadyRunning
from nightschool.device.notify import notify
from nightschool.errors import NightschoolError


def run(*, console: bool) -> None:
    """Serve until stopped. Raises NightschoolError; AlreadyRunning when another one serves."""
    os.umask(0o077)
    home = paths.home().create()
    logs.configure(home.logs, console=console)
    try:
        Daemon(home, config.load(home.config)).run()
    except AlreadyRunning:
        notify("READY=1")  # the home is served: no failure for a service manager either
        raise
    except NightschoolError as error:
        logging.getLogger("nightschool.daemon").error("%s", error)
        raise


def main() -> None:
    try:
        run(console=False)
    except NightschoolError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(error.exit_code) from error


if __name__ == "__main__":
    main()
