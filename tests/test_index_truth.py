"""Whatever happens to a folder, afterwards the index is the disk: a short run of the long proof."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from index_machine import Machine
from nightschool.ingest.sandbox import Sandbox


def test_after_anything_the_index_is_the_disk(tmp_path: Path) -> None:
    with Sandbox(tmp_path / "sandbox.log", timeout_s=10.0) as sandbox:
        Machine.sandbox = sandbox
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=12,
                stateful_step_count=25,
                deadline=None,
                derandomize=True,
                suppress_health_check=list(HealthCheck),
            ),
        )
