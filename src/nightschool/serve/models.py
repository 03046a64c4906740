"""Model names of the dialects, and which version and mode each one means.

nightschool          retrieval + the current adapter      nightschool:base   without adapter
nightschool:vN       retrieval + version N                nightschool-raw    no retrieval

`:latest`, which Ollama's clients put behind a bare name, means the same as the bare name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from nightschool.errors import NotFound
from nightschool.serve.problems import Problem

SERVABLE = ("promoted", "retired", "base")
"""Statuses of versions that passed their exams (or are the base)."""
_NAME = re.compile(r"nightschool(-raw)?(?::(base|latest|v(\d{1,9})))?")


@dataclass(frozen=True, slots=True)
class Choice:
    """What a model name asks for; `version` None is whatever is current when the request starts."""

    name: str
    raw: bool
    version: int | None

    @property
    def mode(self) -> str:
        return "raw" if self.raw else "auto"


class UnknownModel(NotFound):
    """No such name; `problem` is the 404 of the dialects."""

    def __init__(self, name: str) -> None:
        shown = name if len(name) <= 80 else f"{name[:80]}…"
        super().__init__(f"There is no model {shown!r}.", "GET /v1/models lists them.")
        self.problem = Problem(404, "model_not_found", self.message, self.remedy, param="model")


def choose(name: str, versions: Iterable[dict[str, Any]]) -> Choice:
    """What `name` means, given the known versions. Raises UnknownModel."""
    found = _NAME.fullmatch(name)
    if found is None:
        raise UnknownModel(name)
    raw = found.group(1) is not None
    if found.group(2) in (None, "latest"):
        return Choice(name, raw, None)
    number = int(found.group(3) or 0)
    if not any(
        version["number"] == number and version["status"] in SERVABLE for version in versions
    ):
        raise UnknownModel(name)
    return Choice(name, raw, number)


def listing(versions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """All model objects, the usual one first."""
    names = ["nightschool", "nightschool:base", "nightschool-raw"]
    names += [
        f"nightschool:v{version['number']}"
        for version in versions
        if version["number"] and version["status"] in SERVABLE
    ]
    return [card(name) for name in names]


def card(name: str) -> dict[str, Any]:
    """One model object. `created` is a constant: versions carry their own date in /ns/versions."""
    return {"id": name, "object": "model", "created": 0, "owned_by": "nightschool"}
