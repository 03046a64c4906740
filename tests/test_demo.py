"""The demo through the real command: the whole chain, ending with an honest verdict."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from command import nightschool

NIGHT_S = 1500.0
"""A busy two-core machine; an idle one needs a quarter of it."""


@pytest.mark.slow
@pytest.mark.timeout(NIGHT_S + 60)
def test_the_demo_cites_learns_judges_and_rolls_back(tmp_path: Path) -> None:
    said = nightschool(tmp_path / "home", "demo", "--seed", "7", "--minutes", "1", timeout=NIGHT_S)
    assert said.code == 0, said.error
    assert "seed 7" in said.out
    cited = re.search(r"Gold passage cited: (\d+)/20", said.out)
    assert cited
    assert int(cited[1]) >= 16
    verdict = re.search(r"Verdict: (PROMOTE|HOLD|REJECT)", said.out)
    assert verdict
    if verdict[1] == "PROMOTE":
        assert "10/10 answers as before the night" in said.out
        assert "Served again: the base model" in said.out
    else:
        assert "nothing to roll back" in said.out
    served = nightschool(tmp_path / "home", "versions", "--json").json
    assert [item["number"] for item in served if item["current"]] == [0]
