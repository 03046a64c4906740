"""What every test gets: a home of its own, and no setting from the machine it runs on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from durable import made
from durable.made import Place
from nightschool.engine.llama import Llama
from nightschool.index.embed import QuickMiniLM
from nightschool.ingest.sandbox import Sandbox
from nightschool.paths import Home
from nightschool.store.db import Store, open_store
from tiny_night import STARTER


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("NIGHTSCHOOL_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("NIGHTSCHOOL_HOME", str(tmp_path / "home"))


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home").create()


@pytest.fixture
def store(home: Home) -> Iterator[Store]:
    """An empty database in `home`."""
    made = open_store(home.database)
    yield made
    made.close()


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with Sandbox(tmp_path_factory.mktemp("log") / "sandbox.log", timeout_s=10.0) as made:
        yield made


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QuickMiniLM]:
    """The shipped encoder."""
    made = QuickMiniLM(tmp_path_factory.mktemp("models"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def llama() -> Iterator[Llama]:
    """The shipped model in llama.cpp."""
    with Llama(STARTER, threads=1) as found:
        yield found


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A small home with a past: files, versions, receipts."""
    return made.make(tmp_path / "place")
