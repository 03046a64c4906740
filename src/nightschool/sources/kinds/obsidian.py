"""An Obsidian vault: its notes; not its settings, its bin, nor what its plugins keep.

Wiki links, embeds, tags and front matter are the Markdown parser's; an embedded note is indexed
under its own name, so its text is not repeated.
"""

from __future__ import annotations

from pathlib import Path

from nightschool.sources.kinds.source import Source


def _recognise(folder: Path) -> bool:
    return (folder / ".obsidian").is_dir()


def _file(key: str) -> bool | None:
    return False if key.endswith(".excalidraw.md") else None  # a drawing's data, not its words


SOURCE = Source("obsidian", "an Obsidian vault", _recognise, file=_file)
