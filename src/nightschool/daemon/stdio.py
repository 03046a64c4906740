"""MCP over stdio: the same tools as /mcp, in a thin process that talks to the daemon.

stdout carries protocol messages and nothing else: the SDK keeps it for itself while it serves,
and sends everybody else's output to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from nightschool.daemon import client
from nightschool.daemon.remote import RemoteService
from nightschool.paths import Home
from nightschool.serve import mcp


def serve(home: Home) -> None:
    """Serve until stdin closes. The daemon is started at the first call that needs it."""
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    service = RemoteService(lambda: client.start(home))
    asyncio.run(mcp.build(lambda: service).run_stdio_async())
    sys.stderr.flush()
    os._exit(0)  # a thread that still waits for the daemon must not outlive a closed stdin
