"""Which verb of the command is which native route, and which is none and why.

A test walks the command's tree: a verb that stands in neither table fails it. docs/native.md is
made from these tables.
"""

from __future__ import annotations

ROUTED: dict[str, tuple[str, ...]] = {
    "ask": ("ask",),
    "backup": ("backups", "backup"),
    "config check": ("config",),
    "config explain": ("config_explain",),
    "config path": ("config",),
    "config set": ("config_set",),
    "config show": ("config",),
    "config unset": ("config_unset",),
    "doctor": ("doctor",),
    "eval retrieval": ("eval_retrieval",),
    "eval safety": ("eval_safety",),
    "export": ("export",),
    "feedback": ("feedback", "judgements"),
    "files": ("files", "refresh"),
    "forget": ("forget", "undo", "receipts", "receipt"),
    "learn": ("learn",),
    "mcp list": ("servers",),
    "mcp remove": ("server_remove",),
    "model add": ("model_add",),
    "model bench": ("model_bench",),
    "model card": ("model_card", "model"),
    "model exam": ("model_exam",),
    "model list": ("models",),
    "model quantize": ("model_quantize",),
    "model use": ("model_use",),
    "nights": ("nights", "pause", "status"),
    "pairs approve": ("pairs_decide",),
    "pairs edit": ("pairs_edit",),
    "pairs export": ("pairs_export",),
    "pairs list": ("pairs",),
    "pairs reject": ("pairs_decide",),
    "pairs review": ("pairs", "pairs_decide", "pairs_edit"),
    "report": ("report",),
    "rollback": ("rollback",),
    "runs": ("runs", "run"),
    "search": ("search",),
    "status": ("status",),
    "stop": ("stop",),
    "use": ("use",),
    "vacuum": ("vacuum",),
    "versions": ("versions",),
    "watch add": ("watch",),
    "watch list": ("roots",),
    "watch remove": ("unwatch",),
}
"""The operations (their `operationId`) that do what a verb does."""

EXCUSED: dict[str, str] = {
    "config edit": "opens an editor on the terminal; set and unset do the same by pieces",
    "demo": "makes a home of its own and ends it again: nothing of it concerns a service that runs",
    "eval stream": "hours of nights in homes of its own: nothing of it concerns the service",
    "import": "replaces the whole home, for which the service must not run",
    "mcp": "is itself a server, on stdin and stdout; over HTTP it is /mcp",
    "mcp add": "names a program that is then started: who has the token must not run any program",
    "mcp install": "writes into the settings of another program",
    "mcp uninstall": "writes into the settings of another program",
    "open": "opens a browser at the machine; a page's own code comes from /ns/open",
    "portable check": "is about a folder on a stick, not about the service's home",
    "portable create": "writes a stick at the machine, and may ask for a passphrase there",
    "portable run": "starts what is on a stick",
    "service install": "changes what starts with the user's login",
    "service status": "asks the system's service manager; the answer over HTTP is that it runs",
    "service uninstall": "ends the very service that would answer",
    "start": "starts the service: before that there is nobody to ask",
    "token": "shows or changes the secret that lets in; a stolen one must not renew itself",
    "tray": "shows an icon on the desktop",
    "up": "is the service",
}
"""What has no route, with the reason."""

BESIDE: dict[str, str] = {
    "document": "one indexed file, for `nightschool://documents/N`",
    "passage": "one passage, as citations name it",
    "remember": "writes a note; over MCP too",
    "jobs": "what was started with a 202",
    "job": "one of them, with its progress and result",
    "job_cancel": "ends one",
}
"""Native operations that are no verb of the command."""


def page() -> str:
    """The tables in Markdown, as they stand in docs/native.md."""
    rows = ["| verb | operations |", "|---|---|"]
    rows += [f"| `{verb}` | {_ticked(names)} |" for verb, names in sorted(ROUTED.items())]
    rows += ["", "| verb without a route | why |", "|---|---|"]
    rows += [f"| `{verb}` | it {why} |" for verb, why in sorted(EXCUSED.items())]
    rows += ["", "| operation without a verb | what it is |", "|---|---|"]
    rows += [f"| `{name}` | {what} |" for name, what in sorted(BESIDE.items())]
    return "\n".join(rows) + "\n"


def _ticked(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)
