"""Any folder: every file that some parser reads."""

from __future__ import annotations

from nightschool.sources.kinds.source import Source

SOURCE = Source("folder", "a folder of files", lambda folder: True)
