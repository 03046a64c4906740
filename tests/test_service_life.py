"""The installed service lives, is restarted, stops and goes; under a real manager if one runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parent / "bench" / "service_lifecycle.py"


@pytest.mark.skipif(sys.platform == "win32", reason="written for the protocol of systemd")
def test_the_installed_service_lives_is_restarted_stops_and_leaves_nothing() -> None:
    done = subprocess.run(
        (sys.executable, str(BENCH), "--quick"), capture_output=True, text=True, timeout=240,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    checks = {item["name"]: item for item in json.loads(done.stdout.splitlines()[-1])["checks"]}
    assert {"restarted_after_a_kill_s", "stop_s", "stops_cleanly"} <= set(checks)
    if "no systemd user manager here" not in done.stdout:
        assert checks["files_left_behind"]["ok"]
