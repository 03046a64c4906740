"""What every service benchmark prints: progress, then one JSON line, and exit 1 on a miss."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import NoReturn


@dataclass(frozen=True)
class Check:
    """One figure with its bound: `ok` is decided where it is measured."""

    name: str
    value: float
    bound: str
    ok: bool
    n: int


@dataclass
class Report:
    """Collects checks."""

    quick: bool
    began: float = field(default_factory=time.monotonic)
    checks: list[Check] = field(default_factory=list)

    def at_most(self, name: str, value: float, bound: float, n: int) -> None:
        self._add(Check(name, round(value, 4), f"<= {bound:g}", value <= bound, n))

    def at_least(self, name: str, value: float, bound: float, n: int) -> None:
        self._add(Check(name, round(value, 4), f">= {bound:g}", value >= bound, n))

    def exactly(self, name: str, value: float, bound: float, n: int) -> None:
        self._add(Check(name, value, f"== {bound:g}", value == bound, n))

    def say(self, text: str) -> None:
        _out(f"[{time.monotonic() - self.began:7.1f} s] {text}")

    def finish(self) -> NoReturn:
        _out(json.dumps({"checks": [asdict(check) for check in self.checks]}))
        sys.exit(0 if self.checks and all(check.ok for check in self.checks) else 1)

    def _add(self, check: Check) -> None:
        self.checks.append(check)
        word = "ok" if check.ok else "MISSED"
        self.say(f"{word:6} {check.name} = {check.value:g} (bound {check.bound}, n={check.n})")


def _out(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def arguments(about: str) -> argparse.ArgumentParser:
    """The parser with `--quick`, which runs fewer of the same things."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true", help="fewer of everything")
    return parser


def percentile(values: list[float], share: float) -> float:
    """The nearest-rank percentile, for example `percentile(seconds, 0.95)`."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
