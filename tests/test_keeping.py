"""How long an idle child holds memory: as set, as asked for, and not when memory is scarce."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightschool.daemon import keeper as module
from nightschool.daemon.keeper import Keeper


@pytest.fixture
def keeper(tmp_path: Path) -> Iterator[Keeper]:
    made = Keeper("workshop", "nightschool.engine.workshop", [], tmp_path / "log", 600.0, 4 << 30)
    made.warm()
    assert made.alive
    yield made
    made.close(5.0)


def test_an_idle_child_goes_early_when_memory_is_scarce(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper.keep(math.inf)
    keeper.check()
    assert keeper.alive
    monkeypatch.setattr(module, "SCARCE", 1 << 60)
    keeper.check()
    assert not keeper.alive
    assert not keeper.last_error  # nothing failed, and the next request starts it again


def test_what_a_request_asks_for_holds_until_the_child_has_slept(keeper: Keeper) -> None:
    assert 590 < keeper.left_s() <= 600
    keeper.keep(5.0)
    assert 0 < keeper.left_s() <= 5
    keeper.keep(0.0)
    keeper.check()
    assert not keeper.alive
    keeper.warm()
    assert 590 < keeper.left_s() <= 600
