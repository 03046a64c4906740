"""Fifty half hours of power and heat: stops at once, starts late, never flaps, careful if blind."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightschool.daemon.nights import REST_S, Nights
from nightschool.device import load, sysfs
from nightschool.store.db import Store
from power_traces import (
    ALWAYS,
    FIRST,
    NEVER,
    PLUGGED,
    Half,
    Trace,
    Tree,
    celsius,
    filled,
    traces,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's files")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = filled(tmp_path_factory.mktemp("store") / "db")
    yield made
    made.close()


@pytest.mark.parametrize("trace", traces(), ids=lambda trace: trace.name)
def test_a_half_hour_of_power_and_heat(trace: Trace, store: Store, tmp_path: Path) -> None:
    half = Half(trace, store, tmp_path)
    half.run()
    assert half.longest_bad <= 10, half.changes
    starts = [second for second, running in half.changes if running]
    stops = [second for second, running in half.changes if not running]
    assert not any(trace.bad(second) for second in starts)
    for stop in stops:
        assert all(start - stop >= REST_S for start in starts if start > stop)
    if trace.learns == NEVER:
        assert half.changes == []  # nor does one that flaps: it was never well for five minutes
        assert half.nights.decision is not None and half.nights.decision.reason
    if trace.learns == FIRST:
        assert [running for _, running in half.changes] == [True, False]
    if trace.learns == ALWAYS:
        assert [running for _, running in half.changes] == [True]


def test_what_waits_says_why_in_words(store: Store, tmp_path: Path) -> None:
    half = Half(next(t for t in traces() if t.name == "the plug every 20 s"), store, tmp_path)
    half.run()
    decision = half.nights.decision
    assert decision is not None
    assert "on battery" in " ".join(decision.blockers)
    assert "more." in decision.blockers[-1]


def test_the_charge_of_several_batteries_counts_by_what_they_hold(tmp_path: Path) -> None:
    place = "class/power_supply"
    files = dict(PLUGGED)
    for name, now, full in (("BAT0", 10, 20), ("BAT1", 60, 60)):
        files |= {f"{place}/{name}/type": "Battery", f"{place}/{name}/status": "Charging",
                  f"{place}/{name}/energy_now": f"{now}000000",
                  f"{place}/{name}/energy_full": f"{full}000000"}  # fmt: skip
    Tree(tmp_path).show(files)
    found = sysfs.supply(tmp_path)
    assert found is not None
    assert found.percent == pytest.approx(87.5)


def test_a_thermal_zone_tells_where_no_chip_does(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    tree.show({"class/thermal/thermal_zone0/type": "x86_pkg_temp",
               "class/thermal/thermal_zone0/temp": "61000\n"})  # fmt: skip
    assert sysfs.heat(tmp_path) == sysfs.Heat(61.0, False)
    tree.show({**celsius(50), "class/hwmon/hwmon0/temp2_input": "63500\n"})
    assert sysfs.heat(tmp_path).celsius == 63.5
    tree.show({"class/hwmon/hwmon0/name": "coretemp", "class/hwmon/hwmon0/temp1_input": "hot"})
    assert sysfs.heat(tmp_path) == sysfs.Heat(None, True)
    assert sysfs.heat(tmp_path / "nowhere") == sysfs.Heat(None, False)


def test_a_card_whose_driver_tells_counts_without_starting_a_program(tmp_path: Path) -> None:
    tree = Tree(tmp_path)
    assert load.graphics(False, tmp_path) is None
    tree.show({"class/drm/card0/device/gpu_busy_percent": "12\n",
               "class/drm/card1/device/gpu_busy_percent": "87\n",
               "class/drm/card1-DP-1/device/gpu_busy_percent": "99\n"})  # fmt: skip
    assert load.graphics(False, tmp_path) == 0.87
    tree.show({"class/drm/card0/device/gpu_busy_percent": "busy"})
    assert load.graphics(False, tmp_path) is None
    assert load.of_ioreg('"Device Utilization %"=41,"x"=1') == 0.41


@pytest.mark.parametrize("name", ["the plug every 20 s", "80 %, 79 % (BOINC 5310)"])
def test_without_the_minutes_of_calm_a_trace_that_flaps_is_noticed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The deliberate break of goal G27."""
    monkeypatch.setattr(Nights, "_mind", lambda nights, seen: None)
    half = Half(next(t for t in traces() if t.name == name), store, tmp_path)
    half.run()
    assert half.changes


def test_a_garbled_sensor_that_is_believed_is_noticed(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one: psutil's way, for which a plug that says nothing is a desktop."""
    monkeypatch.setattr(sysfs, "_plugged", lambda chargers, states: True)
    half = Half(next(t for t in traces() if t.name == "plug says yes"), store, tmp_path)
    half.run()
    assert half.longest_bad > 10
