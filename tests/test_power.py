"""The gate knows what its probes cannot see."""

from __future__ import annotations

import numpy as np
import pytest

from nightschool.evaluate import power, statistics
from nightschool.evaluate.gate import Policy, Sheet, judge
from nightschool.records import Verdict


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 5), (1, 7), (2, 9), (3, 10), (4, 12), (5, 13), (6, 15), (7, 16)]
)
def test_the_critical_number_is_where_mcnemar_turns(lost: int, gained: int) -> None:
    assert power.critical(lost + gained, 0.05) <= gained
    assert power.critical(lost + gained - 1, 0.05) > gained - 1


@pytest.mark.parametrize(
    ("n", "psi", "effect", "known"),
    [(100, 0.10, 0.05, 0.35), (200, 0.10, 0.05, 0.67), (400, 0.10, 0.05, 0.93),
     (200, 0.20, 0.10, 0.93), (400, 0.20, 0.05, 0.69)],
)  # fmt: skip
def test_power_agrees_with_the_known_table(n: int, psi: float, effect: float, known: float) -> None:
    assert power.power(n, psi, effect) == pytest.approx(known, abs=0.02)


def test_power_agrees_with_simulated_nights() -> None:
    generator = np.random.default_rng(5)
    n, psi, effect = 150, 0.2, 0.08
    draws = generator.multinomial(n, [(psi + effect) / 2, (psi - effect) / 2, 1 - psi], size=3000)
    shown = [statistics.mcnemar(statistics.Binary(n, int(g), int(b), 0, 0)) <= 0.05
             for g, b, _ in draws]  # fmt: skip
    assert np.mean(shown) == pytest.approx(power.power(n, psi, effect), abs=0.03)


@pytest.mark.parametrize("n", [20, 100, 400, 1500])
def test_false_alarms_stay_below_alpha(n: int) -> None:
    assert power.power(n, 0.15, 0.0, 0.025) <= 0.025


def test_the_number_of_probes_is_the_smallest_that_reaches_the_power() -> None:
    for psi in (0.1, 0.2):
        n = power.needed(psi)
        assert power.power(n, psi) >= 0.9 > power.power(n - 1, psi)


def test_alpha_spent_over_any_number_of_tries_never_exceeds_alpha() -> None:
    total = sum(power.spent(0.05, tries) for tries in range(10_000))
    assert 0.049 < total < 0.05
    assert power.spent(0.05, 1) < power.spent(0.05, 0) < 0.05


def test_an_equal_candidate_with_few_questions_is_held_and_told_how_many_it_takes() -> None:
    right = {"served": [True] * 12, "recall": [False] * 12, "reading": [True] * 400,
             "abstain": [True] * 150}  # fmt: skip
    general = [(300.0 + i, 100) for i in range(72)]
    base = Sheet("the base", right, general)
    candidate = Sheet("the candidate", {**right, "recall": [True] * 12}, general)
    card = judge(candidate, base, None, Policy())
    assert card.verdict is Verdict.HOLD
    (reason,) = card.reasons
    assert "12 questions are too few to show it; about 3" in reason


def test_a_held_night_says_what_its_questions_could_not_have_shown() -> None:
    def sheet(name: str, served: list[bool]) -> Sheet:
        right = {
            "served": served,
            "recall": [False] * 60,
            "reading": [True] * 400,
            "abstain": [True] * 150,
        }
        return Sheet(name, right, [(300.0 + i, 100) for i in range(72)])

    base = sheet("the base", [i < 30 for i in range(60)])
    candidate = sheet("the candidate", [i < 33 for i in range(60)])
    card = judge(candidate, base, None, Policy())
    assert card.verdict is Verdict.HOLD
    assert any("only" in reason and "would show it 90 times" in reason for reason in card.reasons)
