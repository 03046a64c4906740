"""Goal G7 against a running daemon: no 5xx, no traceback, bounded memory, healthy afterwards.

python tests/bench/fuzz.py [--quick]

schemathesis on the OpenAPI description (5,000 cases, --quick 400), JSON-RPC made by hypothesis at
/mcp (10,000, --quick 500), and bodies that never end (200 at once, --quick 40).
"""

from __future__ import annotations

import http.client
import json
import socket
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psutil  # noqa: E402
import schemathesis  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from nightschool.serve import desk  # noqa: E402
from nightschool.serve.guard import BODY_S  # noqa: E402
from service_harness import Service, copy_vault, service  # noqa: E402

SKIPPED = {"/ns/stop", "/ns/learn", "/ns/watch", "/ns/unwatch", "/ns/refresh", "/ns/use"}
"""Those that would end the service, start a night, or watch folders of this machine."""
SKIPPED |= {o.path for o in desk.OPERATIONS if o.status == 202} | {"/ns/backups"}
"""And those that start the command, or fill the disk with copies."""


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--cases", type=int, default=0, help="of schemathesis")
    parser.add_argument("--rpc", type=int, default=0, help="messages of JSON-RPC")
    options = parser.parse_args()
    report = Report(options.quick)
    wanted = options.cases or (400 if options.quick else 5000)
    with service() as door, tempfile.TemporaryDirectory() as folder:
        door.watch(copy_vault(Path(folder)))
        door.post("/ns/ask", {"question": "When was the boiler serviced?"})
        _attack(report, door, wanted)
        _rpc(report, door, options.rpc or (500 if options.quick else 10_000))
        _slow(report, door, 40 if options.quick else 200)
    report.finish()


def _attack(report: Report, door: Service, wanted: int) -> None:
    assert door.process is not None
    daemon = psutil.Process(door.process.pid)
    before = daemon.memory_info().rss
    description = schemathesis.openapi.from_dict(door.get("/ns/openapi.json"))
    operations = [
        found.ok()
        for found in description.get_all_operations()
        if found.ok().path not in SKIPPED
    ]  # fmt: skip
    each = -(-wanted // len(operations))
    seen: Counter[int] = Counter()
    wrong: list[str] = []
    token = door.token
    began = time.monotonic()
    for operation in operations:

        @seed(7)
        @settings(
            max_examples=each, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy())
        def attack(case: schemathesis.Case) -> None:
            answer = case.call(
                base_url=door.url, headers={"Authorization": f"Bearer {token}"}, timeout=120
            )
            seen[answer.status_code] += 1
            text = answer.text
            if (answer.status_code >= 500 and answer.status_code != 501) or "Traceback" in text:
                wrong.append(f"{case.method} {case.path} {answer.status_code} {text[:200]}")

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attack()
        report.say(f"{operation.method.upper()} {operation.path}: {sum(seen.values())} so far")
    for line in wrong[:10]:
        report.say(line)
    total = sum(seen.values())
    grown = (daemon.memory_info().rss - before) / 2**20
    report.say(f"{dict(sorted(seen.items()))} in {time.monotonic() - began:.0f} s")
    report.at_least("cases", total, wanted * 0.8, total)
    report.exactly("answers_5xx_or_with_a_traceback", len(wrong), 0, total)
    report.at_most("memory_growth_mb", grown, 100.0, total)
    report.exactly("healthy_afterwards", float(door.healthy()), 1.0, 1)


_LEAF = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=20),
    st.sampled_from(["search", "ask", "forget", "tools/call", "2026-07-28", "nightschool://files",
                     "nightschool://documents/1", "x" * 5000, 2**63, -1, 1e308]),
)  # fmt: skip
_JSON = st.recursive(
    _LEAF,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)
    ),
    max_leaves=12,
)
_METHODS = ("tools/call", "tools/list", "resources/read", "prompts/get", "server/discover",
            "initialize", "ping", "completion/complete", "subscriptions/listen", "x",
            "")  # fmt: skip
_RPC = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": st.sampled_from(["2.0", "1.0", 2, None]),
        "id": st.one_of(st.integers(-5, 2**64), st.text(max_size=5), _LEAF),
        "method": st.one_of(st.sampled_from(_METHODS), _LEAF),
        "params": st.one_of(
            _JSON,
            st.fixed_dictionaries(
                {},
                optional={
                    "name": st.one_of(st.sampled_from(["search", "status", "versions"]), _LEAF),
                    "arguments": st.one_of(st.dictionaries(
                        st.sampled_from(["query", "k", "question", "what", "text"]), _JSON
                    ), _JSON),
                    "uri": st.one_of(st.sampled_from(["nightschool://files"]), _LEAF),
                    "protocolVersion": _LEAF, "cursor": _LEAF, "_meta": _JSON,
                },
            ),
        ),
    },
)  # fmt: skip
_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
_TOOLS = ("search", "ask", "status", "versions", "remember", "feedback", "forget")
_DEEP = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers(1, 10**6),
        "method": st.sampled_from(_METHODS[:5]),
        "params": st.fixed_dictionaries(
            {
                "_meta": st.just(_META),
                "name": st.sampled_from([*_TOOLS, "answer-from-files", "quiz-me"]),
            },
            optional={
                "arguments": st.dictionaries(
                    st.sampled_from(["query", "k", "question", "what", "text", "title", "answer",
                                     "verdict", "confirmed", "subject"]),
                    _JSON,
                    max_size=4,
                ),
                "uri": st.one_of(
                    st.from_regex(r"nightschool://(documents|passages)/[0-9a-z.%-]{0,6}",
                                  fullmatch=True),
                    st.text(max_size=30),
                ),
                "cursor": _LEAF,
            },
        ),
    },
)  # fmt: skip
"""Envelopes that are right, so that what is inside reaches the tools."""
_HARMFUL = {"learn", "rollback"}  # a night would start; everything else is fair


def _rpc(report: Report, door: Service, wanted: int) -> None:
    """Messages of nearly the right form at /mcp, in both revisions' headers."""
    assert door.process is not None
    daemon = psutil.Process(door.process.pid)
    before = daemon.memory_info().rss
    seen: Counter[int] = Counter()
    wrong: list[str] = []
    began = time.monotonic()
    wire = http.client.HTTPConnection("127.0.0.1", door.port, timeout=60)
    token = door.token

    @seed(11)
    @settings(max_examples=wanted, deadline=None, database=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(message=st.one_of(_DEEP, _DEEP, _RPC, _JSON), modern=st.booleans())
    def attack(message: Any, modern: bool) -> None:
        nonlocal wire
        modern = modern or (isinstance(message, dict) and "params" in message
                            and message["params"].__class__ is dict
                            and "_meta" in message["params"])  # fmt: skip
        text = json.dumps(message)
        if any(f'"{name}"' in text for name in _HARMFUL):
            return
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json",
                   "Accept": "application/json, text/event-stream"}  # fmt: skip
        if modern and isinstance(message, dict):
            headers |= {"MCP-Protocol-Version": "2026-07-28",
                        "Mcp-Method": _plain(message.get("method"))}  # fmt: skip
            params = message.get("params")
            if isinstance(params, dict) and "name" in params:
                headers["Mcp-Name"] = _plain(params["name"])
        try:
            wire.request("POST", "/mcp", text.encode("utf-8", "surrogatepass"), headers)
            answer = wire.getresponse()
            listens = isinstance(message, dict) and message.get("method") == "subscriptions/listen"
            body = b"" if listens and answer.status == 200 else answer.read()
            if listens:  # such a stream stays open
                wire.close()
        except (http.client.HTTPException, OSError) as error:
            wrong.append(f"{error!r} after {text[:200]}")
            wire.close()
            return
        seen[answer.status] += 1
        if answer.status >= 500 or b"Traceback" in body:
            wrong.append(f"{answer.status} {text[:200]} {body[:200]!r}")

    attack()
    wire.close()
    for line in wrong[:10]:
        report.say(line)
    total = sum(seen.values())
    grown = (daemon.memory_info().rss - before) / 2**20
    report.say(f"JSON-RPC: {dict(sorted(seen.items()))} in {time.monotonic() - began:.0f} s")
    report.at_least("rpc_cases", total, wanted * 0.9, total)
    report.exactly("rpc_answers_5xx_or_broken", len(wrong), 0, total)
    report.at_most("rpc_memory_growth_mb", grown, 100.0, total)  # the SDK itself is 35 of them


def _plain(value: Any) -> str:
    """A header's form of a value: visible ASCII."""
    return "".join(letter for letter in str(value) if "!" <= letter <= "~")[:80] or "x"


def _slow(report: Report, door: Service, count: int) -> None:
    """Bodies that are announced and never come; others are served meanwhile."""
    head = (
        f"POST /ns/search HTTP/1.1\r\nHost: 127.0.0.1:{door.port}\r\n"
        f"Authorization: Bearer {door.token}\r\nContent-Type: application/json\r\n"
        "Content-Length: 500\r\nConnection: close\r\n\r\n{"
    ).encode()
    wires = []
    began = time.monotonic()
    for _ in range(count):
        wire = socket.create_connection(("127.0.0.1", door.port), 60)
        wire.sendall(head)
        wires.append(wire)
    served = door.request("GET", "/ns/versions").status
    statuses: Counter[int] = Counter()
    for wire in wires:
        with wire:
            answer = wire.recv(4096)
            statuses[int(answer.split(b" ", 2)[1]) if answer else 0] += 1
    took = time.monotonic() - began
    report.say(f"{count} bodies that never end: {dict(statuses)} in {took:.0f} s")
    report.exactly("slow_bodies_told_408", statuses[408], count, count)
    report.at_most("slow_bodies_until_told_s", took, BODY_S + 10.0, count)
    report.exactly("others_served_meanwhile", float(served == 200), 1.0, 1)
    report.exactly("healthy_after_all", float(door.healthy()), 1.0, 1)


if __name__ == "__main__":
    main()
