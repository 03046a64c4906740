"""How one night ended, as the Python door and the service hand it on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nightschool.records import Outcome, Scorecard, Verdict


@dataclass(frozen=True, slots=True)
class Night:
    """How a night ended, or what a dry run planned.

    `version` is the number that was given, promoted or held; `facts` of `available` fit the
    budget; `pairs` counts by split; `plan` holds the settings of `records.Plan`; `asked` are the
    hidden questions on those facts and `estimate` its memory and time (dry run only).
    """

    run_id: int
    outcome: Outcome
    message: str
    verdict: Verdict | None = None
    version: int | None = None
    scorecard: Scorecard | None = None
    plan: dict[str, Any] | None = None
    facts: int = 0
    available: int = 0
    pairs: dict[str, int] | None = None
    asked: tuple[str, ...] = ()
    estimate: dict[str, Any] | None = None

    @classmethod
    def of(cls, item: Mapping[str, Any]) -> Night:
        """From what the learner sends when it ends."""
        card = item.get("scorecard")
        return cls(
            run_id=int(item.get("run_id") or 0),
            outcome=Outcome(item["outcome"]),
            message=str(item.get("message", "")),
            verdict=Verdict(item["verdict"]) if item.get("verdict") else None,
            version=item.get("version"),
            scorecard=None if not card else Scorecard.of(card),
            plan=item.get("plan"),
            facts=int(item.get("facts") or 0),
            available=int(item.get("available") or 0),
            pairs=item.get("pairs"),
            asked=tuple(item.get("asked") or ()),
            estimate=item.get("estimate"),
        )
