"""Small facts that must outlive a process: generations, the last night, budgets (key → JSON)."""

from __future__ import annotations

import json
from typing import Any

from nightschool.store.db import Store


def get(store: Store, key: str, default: Any = None) -> Any:
    """The value of `key`, or `default`."""
    raw = store.one("SELECT value FROM state WHERE key=?", (key,))
    return default if raw is None else json.loads(raw)


def put(store: Store, key: str, value: Any) -> None:
    """Set `key`; joins a transaction that is already open."""
    with store.transaction() as db:
        db.execute(
            "INSERT INTO state(key, value) VALUES(?, ?) "
            "ON CONFLICT(key) DO UPDATE SET value=excluded.value",
            (key, json.dumps(value)),
        )


def bump(store: Store, key: str) -> int:
    """Add one to a counter and return it."""
    with store.transaction():
        value = int(get(store, key, 0)) + 1
        put(store, key, value)
    return value
