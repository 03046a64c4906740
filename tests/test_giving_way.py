"""A night that waits for the machine and gives way to it: a real service, a real learner."""

from __future__ import annotations

from pathlib import Path

from service_harness import Service, copy_vault, service, until

PROGRAM = """
import os, time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from nightschool import config, paths
from nightschool.daemon import logs
from nightschool.daemon.app import Daemon
from nightschool.device.conditions import Conditions

BEGAN = time.monotonic()

class Clock:
    def now(self):
        return datetime(2026, 11, 20, 23, 0, tzinfo=UTC) + timedelta(seconds=self.monotonic())
    def monotonic(self):
        return (time.monotonic() - BEGAN) * 100

def machine(whole):
    mains = Path(os.environ["TEST_MAINS"]).read_text() == "yes"
    return Conditions(mains, 50.0, 40.0, 0.0, None, False, 64 << 30)

home = paths.home().create(); logs.configure(home.logs)
Daemon(home, config.load(home.config), clock=Clock(), idle=lambda: 3600.0, machine=machine,
       pulse_s=0.2).run()
"""
"""The service with a clock a hundred times as fast, and a plug that a test can pull."""


def _reason(door: Service) -> str:
    return str(door.status()["night"]["reason"])


def test_a_night_waits_for_consent_and_mains_and_gives_way_when_the_plug_is_pulled(
    tmp_path: Path,
) -> None:
    plug = tmp_path / "plug"
    plug.write_text("no")
    environment = {
        "TEST_MAINS": str(plug), "NIGHTSCHOOL_LEARN_WINDOW": "00:00-24:00",
        "NIGHTSCHOOL_LEARN_DAILY_BUDGET_S": "86400",
    }  # fmt: skip
    with service(environment=environment, arguments=("-c", PROGRAM)) as door:
        door.watch(copy_vault(tmp_path))
        assert "nightschool nights on" in _reason(door)
        assert not door.status()["night"]["allowed"]
        door.post("/ns/nights", {"allowed": True})
        until(lambda: "on battery (50 %)" in _reason(door), 30, "it waits for mains")
        assert door.children()["learner"]["state"] == "asleep"
        plug.write_text("yes")
        until(lambda: door.status()["night"]["state"] == "running", 30, "a night starts")
        until(lambda: door.children()["learner"]["pid"], 30, "the learner runs")
        plug.write_text("no")
        until(lambda: door.status()["night"]["state"] == "waiting", 30, "it gave way")
        last = door.status()["night"]["last"]
        assert last["outcome"] == "interrupted"
        assert last["by"] == "schedule"
        assert "runs on battery" in last["message"]
        assert "battery" in _reason(door)
        assert door.children()["learner"]["state"] == "asleep"
        door.post("/ns/nights", {"allowed": False})
        assert "nightschool nights on" in _reason(door)
