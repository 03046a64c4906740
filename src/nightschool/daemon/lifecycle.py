"""The states of the daemon, and the stages in which it stops."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """Where the daemon stands. It only moves forward."""

    STARTING = "starting"
    READY = "ready"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the shutdown and the seconds it may take before the next begins anyway."""

    name: str
    timeout_s: float


CLOSE_DOOR = Stage("refuse new requests, let running ones finish", 5.0)
STOP_WATCHING = Stage("stop watching and scheduling", 5.0)
STOP_LEARNER = Stage("let the learner write its checkpoint", 12.0)
STOP_CHILDREN = Stage("stop intake and engine", 8.0)
CLOSE_STORE = Stage("close the database", 3.0)
"""Together 33 s at the very worst; service managers should wait longer before they kill."""
