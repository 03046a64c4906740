"""llama-cpp-python's own server as a rival: started, asked for a streamed completion, stopped.

It opens models with llama.cpp's defaults, which crash on processors with AMX for quantised weights
(ggml-org/llama.cpp#20824); there the switch that the engine sets is set for it too.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local_server import answering
from service_harness import free_port

START_S = 120.0
SERVE = """
import sys
from llama_cpp import llama_cpp as lib
if sys.argv.pop(1) == "plain":
    defaults = lib.llama_model_default_params
    def without():
        made = defaults()
        made.use_extra_bufts = False
        return made
    lib.llama_model_default_params = without
from llama_cpp.server.__main__ import main
main()
"""


@dataclass(frozen=True)
class Streamed:
    """One completion as its client sees it: seconds to the first piece and from there to the last,
    the text, and how it ended."""

    first_s: float
    rest_s: float
    text: str
    finish: str


def completion(port: int, body: dict[str, Any], token: str = "") -> Streamed:
    """POST /v1/completions with `stream`; the same for every server of that dialect."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        began = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps({**body, "stream": True}), headers)
        answer = connection.getresponse()
        assert answer.status == 200, answer.read()[:500]
        pieces: list[str] = []
        first = last = 0.0
        finish = ""
        for line in answer:
            if not line.startswith(b"data: {"):
                continue
            found = json.loads(line[6:])
            for choice in found.get("choices", ()):
                finish = choice.get("finish_reason") or finish
                if choice.get("text"):
                    last = time.perf_counter()
                    first = first or last
                    pieces.append(choice["text"])
        return Streamed(first - began, last - first, "".join(pieces), finish)
    finally:
        connection.close()


@contextlib.contextmanager
def llama_server(path: Path, *, context: int, threads: int, extra: bool) -> Iterator[int]:
    """Its port. `extra` is llama.cpp's `use_extra_bufts`."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, "extra" if extra else "plain", "--model", str(path),
         "--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(context),
         "--n_threads", str(threads), "--n_threads_batch", str(threads), "--verbose", "false"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    name = "llama_cpp.server"
    with answering(process, port, "/v1/models", seconds=START_S, name=name):
        yield port
