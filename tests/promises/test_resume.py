"""A stopped night goes on where it was, with the same facts and the same served version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from nightschool import Nightschool, examples
from nightschool.children.child import Child
from nightschool.paths import Home
from nightschool.registry import pointer
from nightschool.store import db, runs


class Seen(Exception):
    """Ends the second night as soon as its first step was seen."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_stopped_night_resumes_at_its_next_step_with_another_budget(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    shutil.copytree(examples.vault_dir() / "People", notes)
    home = Home(tmp_path / "home").create()
    with Nightschool(home.root) as door:
        door.watch(notes)
        child = Child("nightschool.cycle", [str(home.root)], log=home.logs / "learner.log")
        child.wait_ready()
        for message in child.stream("learn", {"plan": {"seed": 5, "budget_s": 60.0}}):
            event = message.get("event", {})
            if event.get("stage") == "practise" and event["done"] >= 10:
                break
        child.stop(timeout=60.0)
        state = next(iter(home.runs.glob("*/checkpoint/state.json")))
        saved = int(json.loads(state.read_text(encoding="utf-8"))["step"])
        assert saved >= 10
        assert pointer.read(home).version == 0
        first: list[int] = []

        def progress(stage: str, done: int, total: int) -> None:
            if stage == "practise":
                first.append(done)
                raise Seen

        with pytest.raises(Seen):
            door.learn(progress=progress)
        assert first == [saved + 1]
        assert pointer.read(home).version == 0
    store = db.open_store(home.database)
    assert len(runs.runs(store)) == 1
    store.close()
