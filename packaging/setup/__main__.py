"""Sets Nightschool up: `python3 packaging/setup [--dev]`. Any Python from 3.11, nothing else.

Makes `.venv` in the clone and installs into it. Each step that is done leaves a stamp keyed by
its inputs, so a second run does nothing and an interrupted one goes on where it stopped. What is
missing on the machine is named in one line with the way to get it; then the exit code is 1.
"""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  (this line is here for older interpreters)
    sys.exit(
        "Nightschool needs Python 3.11 or newer, this is %d.%d. "  # noqa: UP031
        "Install a newer one and say `make setup PYTHON=python3.12`." % sys.version_info[:2]
    )

from pathlib import Path  # the version check must come first

sys.path.insert(0, str(Path(__file__).resolve().parent))

from install import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
