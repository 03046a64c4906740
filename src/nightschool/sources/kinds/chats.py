"""An unpacked export of ChatGPT or Claude: the conversations; not account data nor pictures."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from nightschool.sources.kinds.source import Source, names

_READ = ("conversations.json", "projects.json", "memories.json")
_MARKS = frozenset(
    {"user.json", "users.json", "chat.html", "message_feedback.json", "shared_conversations.json",
     "projects.json", "user_settings.json"}
)  # fmt: skip


def _recognise(folder: Path) -> bool:
    found = names(folder)
    return "conversations.json" in found and bool(found & _MARKS)


def _file(key: str) -> bool | None:
    return None if PurePosixPath(key).name in _READ else False


SOURCE = Source("chats", "an export of ChatGPT or Claude", _recognise, file=_file)
