"""Security goal G5: reading files, searching, answering and serving reach nobody outside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HOOK = """
import os, sys
def _watch(event, arguments):
    if event in ("socket.connect", "socket.sendto"):
        where = arguments[1]
        if isinstance(where, tuple) and where[0] in ("127.0.0.1", "::1", "localhost"):
            return
        if not isinstance(where, tuple):  # a unix socket
            return
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        where = arguments[0]
        if where in (None, "", "127.0.0.1", "::1", "localhost"):
            return
    else:
        return
    with open(os.environ["EGRESS"], "a") as seen:
        seen.write(f"{event} {where!r} {sys.argv!r}\\n")
sys.addaudithook(_watch)
"""
WORK = """
import os, sys
from pathlib import Path
from nightschool import Nightschool
from service_harness import service
place = Path(sys.argv[1])
(place / "notes").mkdir()
(place / "notes" / "boiler.md").write_text("The boiler was serviced by Oskar. See https://a.example")
with Nightschool(place / "home") as school:
    school.watch(place / "notes")
    assert "Oskar" in school.ask("Who serviced the boiler?").text
    assert school.search("boiler")
with service(environment={"PYTHONPATH": os.environ["PYTHONPATH"]}) as door:
    assert door.get("/api/tags")["models"]
    assert door.post("/ns/ask", {"question": "Hello", "mode": "raw"})
print("done")
"""
LEAK = "import socket; s = socket.socket(); s.settimeout(0.01); s.connect_ex(('192.0.2.1', 9))"


def run(code: str, folder: Path) -> str:
    """What reached outwards while `code` ran, its children included."""
    (folder / "hook").mkdir(exist_ok=True)
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    seen = folder / "egress"
    seen.write_text("")
    here = Path(__file__).parent
    path = os.pathsep.join(map(str, (folder / "hook", here, here.parent / "src")))
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        capture_output=True, text=True, timeout=200,
        env={**os.environ, "PYTHONPATH": path, "EGRESS": str(seen)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return seen.read_text()


def test_g5_indexing_asking_and_serving_reach_nobody(tmp_path: Path) -> None:
    assert run(WORK, tmp_path) == ""


def test_g0_the_watch_sees_a_connection_and_that_of_a_child(tmp_path: Path) -> None:
    assert "192.0.2.1" in run(LEAK, tmp_path)
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {LEAK!r}], check=True)"
    assert "192.0.2.1" in run(child, tmp_path)
