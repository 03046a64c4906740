"""A base model sits its exam in a child of its own, away from what is served. Light."""

from __future__ import annotations

from nightschool.children.child import Child
from nightschool.errors import ModelError
from nightschool.models import abilities
from nightschool.models.abilities import Abilities
from nightschool.models.catalogue import BOX, ModelInfo, box_sha256
from nightschool.paths import Home
from nightschool.ports import Progress, silent
from nightschool.store.db import Store

WORKSHOP = "nightschool.engine.workshop"
NICE = 5


def wanted(store: Store, info: ModelInfo) -> bool:
    """Whether a model should sit the exam: not the one in the box, which was measured at length
    (docs/experiments.md), and not twice."""
    if info.sha256 == box_sha256(BOX / "starter.gguf"):
        return False
    return not abilities.load(store, info.sha256).examined


def sit(
    home: Home, store: Store, info: ModelInfo, *, threads: int = 0, progress: Progress = silent
) -> Abilities:
    """Set the exam and keep what it found. Raises ModelError when the model cannot be loaded."""
    if not info.can_serve:
        raise ModelError(f"{info.name} cannot be examined: {info.why_not}", "Choose another model.")
    asked = {"home": str(home.root), "path": str(info.path), "sha256": info.sha256,
             "threads": threads}  # fmt: skip
    child = Child(WORKSHOP, log=home.logs / "workshop.log", nice=NICE)
    try:
        child.wait_ready()
        for message in child.stream("examine", asked):
            event = message.get("event") or {}
            if "stage" in event:
                progress(str(event["stage"]), int(event.get("done", 0)), int(event.get("total", 0)))
    finally:
        child.stop()
    return abilities.load(store, info.sha256)
