"""An MCP server of somebody else, for the tests: one tool that reads, one that wipes.

python other_server.py LOG     each call is written to LOG
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from pydantic import Field

LOG = Path(sys.argv[1])
server = MCPServer(name="other")


def note(text: str) -> None:
    with LOG.open("a", encoding="utf-8") as sink:
        sink.write(text + "\n")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def tide(town: Annotated[str, Field(max_length=8)]) -> str:
    """When the tide is high."""
    note(f"tide {town}")
    return f"High tide in {town} is at 14:07. " + "x" * 20_000


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def broken() -> str:
    """Always fails."""
    note("broken")
    raise ToolError("the gauge is gone")


@server.tool()
def wipe(what: str) -> str:
    """Delete something."""
    note(f"wipe {what}")
    return "wiped"


if __name__ == "__main__":
    server.run()
