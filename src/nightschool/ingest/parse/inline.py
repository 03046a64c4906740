"""Markdown inside a line: marks that carry no words go, words stay."""

from __future__ import annotations

import html
import re

_CODE = re.compile(r"(`+)(.+?)\1")
_STEPS = (
    (re.compile(r"!\[\[[^\]]*\]\]"), ""),  # an embedded file: its own text is indexed
    (re.compile(r"\[\[(?:[^\]|]*\|)?([^\]]*?)\]\]"), r"\1"),
    (re.compile(r"!\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"\[([^\]]+)\]\(\s*<?(https?://[^)\s>]{1,80})>?(?:\s+[^)]*)?\)"), r"\1 (\2)"),
    (re.compile(r"\[([^\]]+)\]\([^)]*\)"), r"\1"),
    (re.compile(r"<(https?://[^>\s]+|[\w.+-]+@[\w-]+\.[\w.]+)>"), r"\1"),
    (re.compile(r"</?[a-zA-Z][^>]{0,300}>"), ""),
    (re.compile(r"(\*\*|__)(?=\S)(.+?)(?<=\S)\1"), r"\2"),
    (re.compile(r"(?<![\w*])\*(?=[^\s*])(.+?)(?<=[^\s*])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w_])_(?=[^\s_])(.+?)(?<=[^\s_])_(?![\w_])"), r"\1"),
    (re.compile(r"~~(?=\S)(.+?)(?<=\S)~~"), r"\1"),
    (re.compile(r"==(?=\S)(.+?)(?<=\S)=="), r"\1"),
    (re.compile(r"\s\^[\w-]+\s*$"), ""),  # a block id
    (re.compile(r"\\([\\`*_{}\[\]()#+.!>~|-])"), r"\1"),
)
MAX_LINE = 20_000
"""Longer lines are data, not writing: they stay as they are."""


def plain(line: str) -> str:
    """One line without emphasis, link targets inside the notes, tags and escapes."""
    if len(line) > MAX_LINE:
        return line
    parts: list[str] = []
    at = 0
    for match in _CODE.finditer(line):
        parts += [_words(line[at : match.start()]), match[2]]
        at = match.end()
    parts.append(_words(line[at:]))
    return "".join(parts)


def _words(text: str) -> str:
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return html.unescape(text) if "&" in text else text
