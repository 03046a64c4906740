"""Answers from files load nothing, link to nothing, and move no cursor: 200 hostile notes (G9)."""

from __future__ import annotations

import itertools
import re

import pytest
from markdown_it import MarkdownIt

from nightschool.engine import harmless

ADDRESSES = (
    "https://evil.example/p.png?d=SECRET", "http://evil.example", "//evil.example/x.gif",
    "HTTPS://EVIL.EXAMPLE/a", "ftp://evil.example/f", "www.evil.example/login",
    "data:text/html;base64,PHNjcmlwdD4=", "javascript:alert(1)", "https:\u200b//evil.example/z",
    "https://user:pw@evil.example:8443/a//b#c",
)  # fmt: skip
FORMS = (
    "{a}", "see {a}.", "![logo]({a})", "[click here]({a})", "[click]( {a} 'title')",
    "![x][r]\n\n[r]: {a}", "[r]\n\n[r]: <{a}>", "<img src={a}>", '<img src="{a}" onerror=x>',
    "<a href='{a}'>b</a>", "<{a}>", "`{a}`", "` {a}", "\\![x]({a})", "[![i]({a})]({a})",
    "| a | [b]({a}) |", "> - ![x]({a})", "<iframe\nsrc={a}>", "[x]:{a}\n\n[x]", "![]({a}",
)  # fmt: skip
CODES = (
    "\x1b[31mred\x1b[0m", "\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "\x1b]0;title\x07",
    "\x9b2J", "a\u202eb", "in\u200bvis\u2060ible", "\ufeffbom", "tag\U000e0041\U000e0042",
    "bell\x07", "\x1bPq#0\x1b\\", "\x00null", "\x08\x08\x08back",
)  # fmt: skip
CASES = [form.format(a=address) for form, address in itertools.product(FORMS, ADDRESSES)]
RENDERED = re.compile(r"<(?:a|img|iframe|script|link|video|audio|object|embed)\b", re.I)
REMOTE = re.compile(r"(?i)https?://|ftp://|\bwww\.|javascript:|data:[a-z]+/|[\"'(\s]//\w")


def test_there_are_two_hundred_cases() -> None:
    assert len(CASES) == 200


@pytest.mark.parametrize("renderer", ["commonmark", "js-default"])
def test_nothing_remote_is_rendered_from_an_answer(renderer: str) -> None:
    draw = MarkdownIt(renderer, {"html": True, "linkify": False})
    seen = 0
    for case in CASES:
        seen += bool(RENDERED.search(draw.render(case)) or REMOTE.search(draw.render(case)))
        drawn = draw.render(harmless.text(case))
        assert not RENDERED.search(drawn), (case, drawn)
        assert not REMOTE.search(drawn), (case, drawn)
    assert seen >= 150  # without the defence, nearly all of them would be


def test_no_code_for_a_terminal_is_left() -> None:
    for code in CODES:
        safe = harmless.text(f"before {code} after")
        assert safe.startswith("before ") and safe.endswith(" after")
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2060\ufeff]", safe)
        assert not any(0xE0000 <= ord(letter) <= 0xE007F for letter in safe)


def test_a_stream_is_cleaned_as_the_whole_is() -> None:
    for case in (*CASES, *CODES):
        for size in (1, 3, 7):
            shown: list[str] = []
            cleaner = harmless.Cleaner(shown.append)
            for start in range(0, len(case), size):
                cleaner.push(case[start : start + size])
            cleaner.flush()
            assert "".join(shown) == harmless.text(case)


def test_ordinary_text_stays_as_it_is() -> None:
    for text in (
        "The boiler (6 March 2025) costs < 85 €, i.e. 3:30 a//b, file.md:3 and src/foo/bar.py.",
        "नमस्ते 👩‍👩‍👧 naïve Käse, “quoted” [1] [2]\n\n- a list\n- of things",
        "C:\\Users\\me\\notes.md and 10 // 3 = 3",
    ):
        assert harmless.text(text) == text
    assert harmless.text("https://wiki.example/a") == "https[://]wiki[.]example/a"
