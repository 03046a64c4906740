"""The gate promises: keep the old one unless gain is shown and no harm is."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from nightschool.evaluate import gate, statistics
from nightschool.evaluate.gate import Policy, Sheet, judge, screen
from nightschool.records import Verdict

POLICY = Policy()


def marks(right: int, n: int) -> list[bool]:
    return [i < right for i in range(n)]


def sheet(name: str, **changes: object) -> Sheet:
    """A plausible model: reads 60 %, abstains 80 %, serves 85 %, recalls nothing."""
    plain = Sheet(
        name=name,
        right={
            "served": marks(85, 100),
            "recall": marks(0, 100),
            "reading": marks(240, 400),
            "abstain": marks(120, 150),
        },
        general=[(300.0 + i, 100) for i in range(72)],
        kl=(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def with_right(model: Sheet, **probes: list[bool]) -> Sheet:
    return replace(model, right={**model.right, **probes})


BASE = sheet("the base")
GOOD = with_right(sheet("the candidate", kl=[0.02] * 64), recall=marks(60, 100))


def test_a_candidate_that_recalls_more_and_forgets_nothing_is_promoted() -> None:
    card = judge(GOOD, BASE, None, POLICY)
    assert card.verdict is Verdict.PROMOTE
    assert any("knows more" in reason for reason in card.reasons)


def test_without_a_shown_gain_the_old_one_is_kept() -> None:
    card = judge(with_right(GOOD, recall=marks(2, 100)), BASE, None, POLICY)
    assert card.verdict is Verdict.HOLD
    assert any("No gain is shown" in reason for reason in card.reasons)


def test_a_gain_does_not_buy_forgotten_general_language() -> None:
    worse = replace(GOOD, general=[(n + 12.0, t) for n, t in GOOD.general])
    card = judge(worse, BASE, None, POLICY)
    assert card.verdict is Verdict.REJECT
    assert any("forgets general language" in reason for reason in card.reasons)


def test_a_gain_does_not_buy_worse_reading() -> None:
    card = judge(with_right(GOOD, reading=marks(180, 400)), BASE, None, POLICY)
    assert card.verdict is Verdict.REJECT
    assert any("got worse at reading" in reason for reason in card.reasons)


def test_a_gain_does_not_buy_worse_answers_for_users() -> None:
    card = judge(with_right(GOOD, served=marks(70, 100)), BASE, None, POLICY)
    assert card.verdict is Verdict.REJECT


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leaks": 1}, "secret"),
        ({"finite": False}, "NaN"),
        ({"degenerate": 9}, "degenerate"),
        ({"complied": 5}, "harmful"),
        ({"vetoes": ("It was tampered with.",)}, "tampered"),
    ],
)
def test_each_veto_rejects_with_its_own_reason(change: dict[str, object], words: str) -> None:
    card = judge(replace(GOOD, **change), BASE, None, POLICY)  # type: ignore[arg-type]
    assert card.verdict is Verdict.REJECT
    assert any(words in reason for reason in card.reasons)


def test_values_that_are_not_numbers_never_pass() -> None:
    broken = replace(GOOD, general=[(math.nan, 100) for _ in GOOD.general])
    assert judge(broken, BASE, None, POLICY).verdict is not Verdict.PROMOTE
    assert not screen(broken, BASE, POLICY)
    drifting = replace(GOOD, kl=[math.nan] * 64)
    assert judge(drifting, BASE, None, POLICY).verdict is not Verdict.PROMOTE


def test_too_few_probes_hold_and_say_so_in_words() -> None:
    few = with_right(GOOD, recall=marks(6, 8))
    card = judge(few, with_right(BASE, recall=marks(0, 8)), None, POLICY)
    assert card.verdict is Verdict.HOLD
    assert any("Only 8 hidden questions" in reason for reason in card.reasons)


def test_a_slow_walk_downhill_is_stopped_by_the_frozen_base() -> None:
    """Each night loses a little against yesterday; the base remembers where it started."""
    yesterday = with_right(BASE, reading=marks(225, 400), recall=marks(30, 100))
    tonight = with_right(GOOD, reading=marks(214, 400))
    card = judge(tonight, BASE, replace(yesterday, name="version 3"), POLICY)
    assert card.verdict is not Verdict.PROMOTE
    assert any("the base" in reason for reason in card.reasons)


def test_old_facts_are_compared_with_the_version_that_knew_them() -> None:
    served = with_right(replace(BASE, name="version 2"), old=marks(45, 50), recall=marks(45, 100))
    base = with_right(BASE, old=marks(0, 50))
    forgetful = with_right(GOOD, old=marks(20, 50), recall=marks(90, 100))
    card = judge(forgetful, base, served, POLICY)
    assert card.verdict is Verdict.REJECT
    assert any("earlier nights" in reason for reason in card.reasons)


def test_the_same_sheets_always_get_the_same_verdict_and_figures() -> None:
    assert judge(GOOD, BASE, None, POLICY) == judge(GOOD, BASE, None, POLICY)


def test_every_bound_is_printed_with_its_figure() -> None:
    for figure in judge(GOOD, BASE, None, POLICY).figures:
        assert figure.bound and figure.ok is not None


@pytest.mark.parametrize(
    ("lost", "gained"), [(0, 5), (1, 7), (2, 9), (3, 10), (4, 12), (5, 13), (6, 15), (7, 16)]
)
def test_mcnemar_is_exact_at_the_known_borders(lost: int, gained: int) -> None:
    """Smallest gain that is significant at .05 for a given loss, computed exactly."""

    def p(gains: int) -> float:
        return statistics.mcnemar(statistics.Binary(100, gains, lost, 0.0, 0.0))

    assert p(gained) <= 0.05 < p(gained - 1)


def test_two_claims_share_alpha() -> None:
    assert statistics.holm([0.03, 0.04]) == [False, False]
    assert statistics.holm([0.02, 0.04]) == [True, True]


def test_intervals_cover_the_true_difference() -> None:
    found = statistics.pair_up(marks(60, 200), marks(50, 200))
    interval = statistics.difference(found)
    assert interval.low < 0.05 < interval.high
    assert statistics.probability_above(found, -0.05) > 0.99
    drift = statistics.bootstrap([0.1, 0.2, 0.3] * 20, [10.0] * 60, [str(i) for i in range(60)])
    assert drift.low < 0.2 < drift.high and drift.value == pytest.approx(0.2)


def test_both_runs_must_cover_the_same_items() -> None:
    with pytest.raises(ValueError, match="same items"):
        statistics.pair_up([True], [True, False])


def test_screening_does_not_look_at_the_facts() -> None:
    assert screen(with_right(GOOD, recall=marks(0, 100)), BASE, POLICY)
    assert not screen(replace(GOOD, kl=[1.0] * 64), BASE, gate.Policy())


def test_screening_stops_a_scale_that_loses_on_its_own_items() -> None:
    base = with_right(BASE, **{"screen-abstain": marks(80, 160)})
    assert screen(with_right(GOOD, **{"screen-abstain": marks(80, 160)}), base, POLICY)
    assert not screen(with_right(GOOD, **{"screen-abstain": marks(70, 160)}), base, POLICY)
