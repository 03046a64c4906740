"""What every test gets: a home of its own, and no setting from the machine it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NIGHTSCHOOL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSCHOOL_HOME", str(tmp_path / "home"))
