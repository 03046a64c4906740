"""`python -m nightschool` is the `nightschool` command."""

from __future__ import annotations

from nightschool.cli.main import run

if __name__ == "__main__":
    run()
