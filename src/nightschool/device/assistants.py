"""Put Nightschool's MCP tools into the settings of a local assistant, and take them out again.

All of them start `nightschool mcp` themselves over stdio, so no token is written anywhere.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightschool.device import jsonc
from nightschool.errors import NotFound, Refused, StoreError, UsageError

NAME = "nightschool"


@dataclass(frozen=True, slots=True)
class Assistant:
    """One program: its settings file, and the object in it that lists MCP servers.

    `folder` exists where the program is installed. An empty `group` means that the file is ours
    alone (`text` is written as YAML then). `extra` goes into the entry.
    """

    name: str
    title: str
    file: Path
    folder: Path
    group: str
    extra: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """What was (or would be) written: the file, our own part of it, and whether it differs."""

    assistant: Assistant
    snippet: str
    before: str | None
    after: str | None

    @property
    def changed(self) -> bool:
        return self.before != self.after


def assistants(
    home: Path | None = None,
    platform: str = sys.platform,
    environment: Mapping[str, str] | None = None,
) -> dict[str, Assistant]:
    """The known programs by name, with their places for this user and system."""
    home = home or Path.home()
    environment = os.environ if environment is None else environment
    if platform == "darwin":
        config = home / "Library" / "Application Support"
    elif platform == "win32":
        config = Path(environment.get("APPDATA") or home / "AppData" / "Roaming")
    else:
        config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    zed = config / "Zed" if platform == "win32" else home / ".config" / "zed"
    claude, code = config / "Claude", config / "Code" / "User"
    cursor, own = home / ".cursor", home / ".continue"
    stdio = (("type", "stdio"),)
    found = (
        Assistant("claude", "Claude Desktop", claude / "claude_desktop_config.json", claude,
                  "mcpServers"),
        Assistant("cursor", "Cursor", cursor / "mcp.json", cursor, "mcpServers"),
        Assistant("vscode", "VS Code", code / "mcp.json", code, "servers", stdio),
        Assistant("zed", "Zed", zed / "settings.json", zed, "context_servers",
                  (("source", "custom"),)),
        Assistant("continue", "Continue", own / "mcpServers" / f"{NAME}.yaml", own, ""),
    )  # fmt: skip
    return {item.name: item for item in found}


def command(home: str | None = None, python: str = sys.executable) -> tuple[str, list[str]]:
    """Program and arguments that serve MCP on stdio; absolute, since assistants have no PATH."""
    place = ["--home", str(Path(home).expanduser().absolute())] if home else []
    return python, ["-m", "nightschool", *place, "mcp"]


def find(name: str, known: Mapping[str, Assistant] | None = None) -> Assistant:
    """The program called `name`. Raises UsageError."""
    known = assistants() if known is None else known
    if name not in known:
        raise UsageError(f"{name!r} is not known.", f"One of: {', '.join(known)}.")
    return known[name]


def plan(assistant: Assistant, program: str, arguments: list[str], *, remove: bool) -> Change:
    """What writing or removing would change; writes nothing. Raises NotFound where the program is
    not installed, and Refused when its settings cannot be read."""
    if not assistant.folder.is_dir():
        raise NotFound(
            f"{assistant.title} is not installed here: there is no {assistant.folder}.",
            "Start it once, or put the shown entry into its settings by hand.",
        )
    before = _read(assistant.file)
    entry: dict[str, Any] = {
        **dict(assistant.extra),
        "command": program,
        "args": arguments,
    }
    if not assistant.group:
        text = _yaml(program, arguments)
        return Change(assistant, text, before, None if remove else text)
    snippet = json.dumps({assistant.group: {NAME: entry}}, indent=2, ensure_ascii=False)
    if remove:
        after = None if before is None else jsonc.take(before, assistant.group, NAME)
    else:
        known = jsonc.get(before or "", assistant.group, NAME)
        same = known is not None and _same(known, entry)
        after = before if same else jsonc.put(before or "", assistant.group, NAME, entry)
    return Change(assistant, snippet, before, after)


def write(change: Change) -> None:
    """Do it: a copy of the old file stays beside it as `.before-nightschool`, and the new one
    takes its place at once. Raises StoreError when the disk refuses."""
    path = change.assistant.file
    try:
        if change.after is None:
            path.unlink(missing_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.resolve()  # settings are often links into a repository of dotfiles
        if change.before is not None:
            copy = target.with_name(target.name + ".before-nightschool")
            copy.write_text(change.before, encoding="utf-8")
        part = target.with_name(f".{target.name}.{os.getpid()}")
        part.write_text(change.after, encoding="utf-8")
        if target.exists():
            part.chmod(target.stat().st_mode & 0o777)
        part.replace(target)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error}.", "Check its permissions.") from error


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(f"{path} cannot be read: {error}.", "Mend it by hand.") from error


def _same(text: str, entry: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(text) == entry)
    except ValueError:
        return False


def _yaml(program: str, arguments: list[str]) -> str:
    """Continue's own block file; JSON strings are YAML strings."""
    lines = [f"      - {json.dumps(item)}" for item in arguments]
    return "\n".join(
        ["name: Nightschool", "version: 0.0.1", "schema: v1", "mcpServers:",
         "  - name: nightschool", f"    command: {json.dumps(program)}", "    args:", *lines, ""]
    )  # fmt: skip
