"""What a kill leaves: temporary files that were never put in their place."""

from __future__ import annotations

from pathlib import Path

from nightschool.paths import Home

PATTERNS = (
    ".*.tmp*", ".*.new*", "versions/.*", "index/*.tmp", "models/*.tmp", "backups/.*.tmp*",
    "runs/*/*.tmp", "data/.*.tmp*", "data/.*.new*",
)  # fmt: skip


def torn(home: Home) -> list[Path]:
    """All of them, whoever may still be writing one; an import that was not decided, too."""
    found = {path for pattern in PATTERNS for path in home.root.glob(pattern)}
    if home.staging.exists() and not home.importing.exists():
        found.add(home.staging)
    return sorted(found)
