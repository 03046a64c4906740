"""Source code and settings, cut at definitions: a function, a class, a section.

Definitions are found by how their first line looks, not by a grammar for each language: it works
on broken and half-written files, and needs nothing that is compiled. What stands between two
definitions belongs to the one before; comments and decorators right above one belong to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePosixPath

from nightschool.errors import ParseError
from nightschool.ingest.blocks import Block, BlockKind, block, trimmed
from nightschool.ingest.encoding import decode

_WORD = r"(?P<name>[\w$.~]+(?:::[\w~]+)*)"
_PYTHON = re.compile(rf"(?P<indent>\s*)(?:async\s+)?(?:def|class)\s+{_WORD}")
_SCRIPT = re.compile(
    r"(?P<indent>\s*)(?:export\s+)?(?:default\s+)?(?:public\s+|private\s+|protected\s+|static\s+)*"
    rf"(?:(?:async\s+)?function\*?|(?:abstract\s+)?class|interface|enum|namespace|type)\s+{_WORD}"
    r"|(?P<indent2>\s*)(?:export\s+)?(?:const|let|var)\s+(?P<name2>[\w$]+)\s*=\s*(?:async\s*)?"
    r"(?:function\b|\([^)]*\)\s*(?::[^=]+)?=>|\w+\s*=>)"
)
_RUST = re.compile(
    r"(?P<indent>\s*)(?:pub(?:\([^)]*\))?\s+)?(?:default\s+|const\s+|async\s+|unsafe\s+"
    rf"|extern\s+\"[^\"]*\"\s+)*(?:fn|struct|enum|trait|mod|union|macro_rules!)\s+{_WORD}"
    r"|(?P<indent2>\s*)(?:unsafe\s+)?impl(?:<[^>]*>)?\s+(?P<name2>[^{]+?)\s*(?:\{|where|$)"
)
_GO = re.compile(rf"(?P<indent>)(?:func(?:\s*\([^)]*\))?|type)\s+{_WORD}")
_RUBY = re.compile(rf"(?P<indent>\s*)(?:def|class|module)\s+{_WORD}")
_SHELL = re.compile(rf"(?P<indent>\s*)(?:function\s+{_WORD}|(?P<name2>[\w-]+)\s*\(\)\s*\{{?\s*$)")
_SQL = re.compile(
    r"(?P<indent>\s*)create\s+(?:or\s+replace\s+)?(?:temp(?:orary)?\s+|unique\s+|virtual\s+)*"
    rf"(?:table|view|index|function|procedure|trigger|type)\s+(?:if\s+not\s+exists\s+)?{_WORD}",
    re.IGNORECASE,
)
_NOT = r"(?!(?:if|for|while|switch|return|else|do|case|catch|throw|new|using|sizeof|goto)\b)"
_BRACES = re.compile(
    rf"(?P<indent>[ \t]*+){_NOT}(?:(?:public|private|protected|internal|static|final|abstract"
    r"|sealed|override|virtual|partial|inline|extern|suspend|open|data|readonly|unsafe)\s+)*"
    r"(?:(?:class|struct|interface|enum|record|namespace|trait|object|union|protocol|extension"
    rf"|fun|func|function|def)\s+{_WORD}"
    rf"|{_NOT}[\w:<>,\[\]?*&.~ \t]*?[\s*&](?P<name2>[\w:~]+)\s*\([^;{{}}]*\)[^;=]*\{{?\s*$)"
)
_SECTION = re.compile(r"(?P<indent>)\[+(?P<name>[^\]]+)\]")
_YAML = re.compile(r"(?P<indent>)(?P<name>[A-Za-z_][\w./-]*):(?:\s|$)")
_TEX = re.compile(r"(?P<indent>)\\(?:chapter|(?:sub)*section)\*?\{(?P<name>[^}]*)\}")

_LANGUAGES: tuple[tuple[re.Pattern[str], tuple[str, ...]], ...] = (
    (_PYTHON, (".py", ".pyi", ".pyw")),
    (_SCRIPT, (".js", ".mjs", ".cjs", ".jsx", ".ts", ".tsx", ".vue", ".svelte")),
    (_RUST, (".rs",)),
    (_GO, (".go",)),
    (_RUBY, (".rb", ".ex", ".exs", ".lua", ".jl")),
    (_SHELL, (".sh", ".bash", ".zsh", ".fish", ".ps1")),
    (_SQL, (".sql",)),
    (
        _BRACES,
        (".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".java", ".kt", ".kts", ".cs", ".swift",
         ".scala", ".php", ".dart", ".m", ".mm", ".groovy", ".r", ".zig", ".proto"),
    ),
    (_SECTION, (".ini", ".cfg", ".conf", ".toml", ".editorconfig", ".properties", ".service")),
    (_YAML, (".yaml", ".yml")),
    (_TEX, (".tex", ".ltx", ".sty", ".bib")),
    (re.compile(r"(?!)"), (".xml", ".css", ".scss", ".less", ".cmake", ".gradle", ".nix", ".vim",
                           ".el", ".clj", ".hs", ".ml", ".erl", ".pl", ".pm", ".diff", ".patch")),
)  # fmt: skip
SUFFIXES = tuple(suffix for _, suffixes in _LANGUAGES for suffix in suffixes)
MAX_LINE = 5000
"""A longer line was written by a program; a file that is mostly such lines is not read."""
_ABOVE = re.compile(r"\s*(?:#(?!include|define|if|endif)|//|/\*|\*|@|--|///|\"\"\")")


def parse(data: bytes, path: str) -> tuple[list[Block], str, str]:
    """One block for each definition, under its name (`Class › method`)."""
    text, note = decode(data)
    lines = text.split("\n")
    long = sum(len(line) for line in lines if len(line) > MAX_LINE)
    if long > len(text) // 2:
        raise ParseError("written by a program (lines without end), not by a person")
    pattern = _pattern(path)
    return list(_definitions(lines, pattern)), PurePosixPath(path).name, note


def _pattern(path: str) -> re.Pattern[str]:
    suffix = PurePosixPath(path).suffix.lower()
    return next(pattern for pattern, suffixes in _LANGUAGES if suffix in suffixes)


def _definitions(lines: list[str], pattern: re.Pattern[str]) -> Iterator[Block]:
    starts = list(_starts(lines, pattern))
    yield from _block(lines, 0, starts[0][0] if starts else len(lines))
    stack: list[tuple[int, str]] = []
    ends = [begin for begin, _, _ in starts[1:]] + [len(lines)]
    for (begin, indent, name), end in zip(starts, ends, strict=False):
        stack = [entry for entry in stack if entry[0] < indent]
        stack.append((indent, name))
        yield Block(BlockKind.SCOPE, name, level=min(6, len(stack)))
        yield from _block(lines, begin, end)


def _starts(lines: list[str], pattern: re.Pattern[str]) -> Iterator[tuple[int, int, str]]:
    """`(line index, indent, name)` of each definition, its comments and decorators included."""
    floor = 0
    for index, line in enumerate(lines):
        if len(line) > MAX_LINE or not (found := pattern.match(line)):
            continue
        groups = found.groupdict()
        name = " ".join((groups.get("name") or groups.get("name2") or "").split())
        indent = len((groups.get("indent") or groups.get("indent2") or "").expandtabs(4))
        begin = index
        while begin > floor and _ABOVE.match(lines[begin - 1]):
            begin -= 1
        floor = index + 1
        if name:
            yield begin, indent, name


def _block(lines: list[str], begin: int, end: int) -> Iterator[Block]:
    rows = trimmed(
        [
            (number + 1, lines[number].rstrip())
            for number in range(begin, end)
            if lines[number].strip() or (number > begin and lines[number - 1].strip())
        ]
    )
    if rows:
        yield block(BlockKind.CODE, rows)
