"""Goal G6: the token is in its own file and nowhere else, and the page goes nowhere.

python tests/bench/hygiene.py [--quick]     --quick: 10 hostile addresses in the browser, not 100

A service is used through every door, its engine is killed and so is it; then every byte it left and
every answer it gave is searched for the token, with the command lines and environments of its
processes and the entries that `mcp install` writes. A real browser (Chromium, where there is one)
opens the page with hostile query strings, with its network log on.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psutil  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from command import nightschool  # noqa: E402
from nightschool.device.assistants import assistants  # noqa: E402
from nightschool.paths import Home  # noqa: E402
from service_harness import Service, copy_vault, free_port, service, until  # noqa: E402

NAMES = ("gatewayUrl", "url", "api", "host", "next", "code", "token", "redirect", "base", "ws")
VALUES = (
    "http://evil.example/{t}", "//evil.example", "ws://evil.example", "javascript:alert(1)",
    "data:text/html,<script src=http://evil.example></script>", "http://127.0.0.1:1/x",
    "<img src=http://evil.example/x>", "https://[::1]:9/", "file:///etc/passwd",
    "http:evil.example",
)  # fmt: skip
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-extensions",
    "--disable-default-apps", "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--no-pings", "--metrics-recording-only",
)  # fmt: skip


def spoken(door: Service) -> list[bytes]:
    """Every answer, with its headers, of a walk through the routes; right and wrong requests."""
    said = {"messages": [{"role": "user", "content": "When was the boiler serviced?"}]}
    posts = {
        "/ns/search": {"query": "boiler"}, "/ns/ask": {"question": "boiler?", "stream": True},
        "/ns/remember": {"text": "A note.", "title": "t"}, "/ns/open": {}, "/ns/rollback": {},
        "/v1/chat/completions": {"model": "nightschool", **said},
        "/v1/responses": {"model": "nightschool", "input": "boiler?"},
        "/v1/embeddings": {"model": "nightschool", "input": "boiler"},
        "/api/chat": {"model": "nightschool", "stream": False, **said},
        "/api/show": {"model": "nightschool"}, "/ns/learn": {"dry_run": True}, "/nowhere": {},
    }  # fmt: skip
    gets = ("/", "/health", "/page/app.js", "/ns/status", "/ns/versions", "/ns/files", "/ns/model",
            "/ns/openapi.json", "/ns/runs", "/v1/models", "/api/tags", "/api/ps", "/mcp",
            "/no")  # fmt: skip
    found = []
    for path in gets:
        for token in ("", None, "wrong" * 9):
            reply = door.request("GET", path, token=token)
            found.append(repr(reply.headers).encode() + reply.body)
    for path, body in posts.items():
        for token in ("", None, "wrong" * 9):
            reply = door.request("POST", path, body, token=token)
            found.append(repr(reply.headers).encode() + reply.body)
    return found


def written(door: Service, folder: Path) -> list[bytes]:
    """What goes to other programs: entries of assistants, and what the command prints."""
    for one in assistants(folder, sys.platform, {}).values():
        one.folder.mkdir(parents=True, exist_ok=True)
    found = []
    for name in assistants(folder, sys.platform, {}):
        done = nightschool(door.home.root, "mcp", "install", name, HOME=str(folder))
        assert done.code == 0, done.error
        found.append(done.out.encode())
    found += [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    for words in (("status", "--json"), ("token",), ("doctor", "--json"), ("files", "--json")):
        said = nightschool(door.home.root, *words)
        found.append((said.out + said.error).encode())
    return found


def processes(door: Service) -> list[bytes]:
    """Command lines and environments of the service and its children."""
    assert door.process is not None
    leader = psutil.Process(door.process.pid)
    found = []
    for process in (leader, *leader.children(recursive=True)):
        with contextlib.suppress(psutil.Error):
            found.append("\n".join(process.cmdline()).encode())
            found.append(repr(process.environ()).encode())
    return found


def browsed(report: Report, door: Service, count: int, folder: Path) -> None:
    """The page with hostile addresses, in a browser that writes down whom it talks to."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        report.say("no Chromium here: what the page connects to was not watched")
        return
    pairs = list(itertools.product(NAMES, VALUES))[:: 100 // count]
    pages = [f"{door.url}/?{name}={quote(value, safe='')}#{name}" for name, value in pairs]
    log = folder / "net.json"
    hosts: set[str] = set()
    for page in pages:
        subprocess.run(
            [browser, *QUIET, f"--user-data-dir={folder / 'profile'}", f"--log-net-log={log}",
             "--virtual-time-budget=3000", "--dump-dom", page],
            capture_output=True, timeout=60,
        )  # fmt: skip
        for event in json.loads(log.read_text(encoding="utf-8", errors="replace"))["events"]:
            about = event.get("params", {})
            address = urlsplit(str(about.get("url", "")))
            # Chromium asks its maker for things by itself; what the page causes names the page.
            ours = door.url in str(about.get("initiator", "")) or "example" in address.netloc
            if address.scheme in ("http", "https", "ws", "wss") and (
                ours or address.netloc.startswith("127.")
            ):
                hosts.add(address.netloc)
        log.unlink()
    assert f"127.0.0.1:{door.port}" in hosts, "the browser did not open the page"
    away = hosts - {f"127.0.0.1:{door.port}"}
    report.say(f"the page talked to {sorted(hosts)}")
    report.exactly("hosts_that_the_page_reached_beside_its_own", len(away), 0, len(pages))


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    place = Path(tempfile.mkdtemp(prefix="ns-hygiene-"))
    try:
        with service(home=place) as door:
            _look(report, door, place, 10 if options.quick else 100)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    report.finish()


def _look(report: Report, door: Service, place: Path, pages: int) -> None:
    token = door.token
    door.watch(copy_vault(place))
    said = [*spoken(door), *written(door, place / "user"), *processes(door)]
    browsed(report, door, pages, place)
    engine = door.children()["engine"]["pid"]
    os.kill(engine, signal.SIGABRT)  # a crash, with whatever it leaves behind
    until(lambda: not psutil.pid_exists(engine) or door.children()["engine"]["pid"] != engine,
          20, "the engine fell")  # fmt: skip
    said.append(door.request("POST", "/ns/ask", {"question": "boiler?"}).body)
    port = door.port
    door.kill()
    door.port = free_port()
    door.start()  # and a life after a hard end
    report.say(f"{len(said)} answers, entries, command lines; ports {port} and {door.port}")
    forms = (token.encode(), quote(token).encode(), base64.b64encode(token.encode()))
    inside = sum(any(form in text for form in forms) for text in said)
    report.exactly("answers_entries_or_command_lines_with_the_token", inside, 0, len(said))
    files = [path for path in place.rglob("*") if path.is_file() and "profile" not in path.parts]
    holding = [path for path in files if any(form in path.read_bytes() for form in forms)]
    for path in holding:
        report.say(f"holds it: {path.relative_to(place)}")
    own = Home(place / "home").token
    report.exactly("files_with_the_token", len(holding), 1, len(files))
    mode = stat.S_IMODE(own.stat().st_mode)
    good = holding == [own] and mode == 0o600
    report.exactly("it_is_the_0600_file", float(good), 1.0, 1)
    kinds = [json.dumps([str(path), path.stat().st_mode & 0o077]) for path in files
             if path.stat().st_mode & 0o077 and (place / "home") in path.parents]  # fmt: skip
    report.say(f"files of the home that others may open: {kinds[:5]}")
    report.exactly("files_of_the_home_open_to_others", len(kinds), 0, len(files))


if __name__ == "__main__":
    main()
