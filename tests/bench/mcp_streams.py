"""Goals G1b and G1c: 200 sessions over stdio with hostile lines, and 50 points to cut a stream at.

python tests/bench/mcp_streams.py [--quick]     --quick: 12 sessions, 10 points

Kinds of session, in turn: plain calls; lines of a megabyte; every unicode line separator; stdin
closed in the middle of a request; closed with a request under way; nonsense between good lines.
Every other session lets all libraries warn. Each answer is checked against its tool's schema.
"""

from __future__ import annotations

import itertools
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments, percentile  # noqa: E402
from service_harness import Service, copy_vault, service, until  # noqa: E402
from slow_door import LEGACY, MODERN, Slow, Stream, slow_door  # noqa: E402
from stdio_session import EXIT_S, Session  # noqa: E402

SEPARATORS = "boiler\u2028service\u2029of\x85the\x0byear\x0cin\x1cthe\x1dcellar\x1e\ufeff?"
NONSENSE = (b"\n", b"not json\n", b"[]\n", b'{"jsonrpc": "1.0"}\n', b"\xff\xfe\x00\n",
            b'{"jsonrpc": "2.0", "id": null, "method": 5}\n', b"{" * 5000 + b"\n")  # fmt: skip
KINDS = ("plain", "megabyte", "separators", "half", "under way", "nonsense")


def session(door: Service, kind: str, modern: bool, noisy: bool) -> tuple[int, float]:
    """Lines that came out, and the seconds from the end of stdin to the end of the process."""
    one = Session(door, modern, noisy)
    try:
        tools = {tool["name"]: tool for tool in one.tools()}
        if kind == "plain":
            for name, given in (("search", {"query": "boiler"}), ("status", {}), ("versions", {}),
                                ("ask", {"question": "When was the boiler serviced?"}),
                                ("rollback", {})):  # fmt: skip
                one.fits(tools[name], one.call(name, **given))
        elif kind == "megabyte":
            answer = one.call("remember", text="x" * 1_000_000)
            assert answer["result"]["isError"], answer  # over the tool's limit, and said so
            one.fits(tools["search"], one.call("search", query="boiler"))
        elif kind == "separators":
            one.fits(tools["search"], one.call("search", query=SEPARATORS))
            kept = one.call("remember", text=f"A note of {SEPARATORS}", title=SEPARATORS)
            one.fits(tools["remember"], kept)
            one.fits(tools["search"], one.call("search", query="service of the year"))
        elif kind == "half":
            one.write(one.request("tools/call", {"name": "status", "arguments": {}})[:-40])
        elif kind == "under way":
            for question in ("Who serviced the boiler?", "When does the ferry leave?"):
                given = {"name": "ask", "arguments": {"question": question}}
                one.write(one.request("tools/call", given))
        else:
            for raw in NONSENSE:
                one.write(raw)
            one.fits(tools["status"], one.call("status"))
        return len(one.lines), one.close()
    finally:
        if one.process.poll() is None:
            one.process.kill()
            one.process.wait(5)


def sessions(report: Report, count: int) -> None:
    failed, lines, seconds = 0, 0, []
    with service() as door, tempfile.TemporaryDirectory() as folder:
        door.watch(copy_vault(Path(folder)))
        door.post("/ns/ask", {"question": "When was the boiler serviced?"})
        for number in range(count):
            kind = KINDS[number % len(KINDS)]
            modern, noisy = bool(number // 6 % 2), bool(number // 12 % 2)
            try:
                said, took = session(door, kind, modern, noisy)
            except (AssertionError, ValueError, KeyError, OSError) as error:
                failed += 1
                report.say(f"session {number} ({kind}, modern {modern}): {error!r}"[:600])
                continue
            lines += said
            seconds.append(took)
            if number % 20 == 19:
                report.say(f"{number + 1} sessions, {lines} lines")
    report.exactly("stdio_sessions_failed", failed, 0, count)
    report.at_most("stdio_exit_after_eof_s", max(seconds), EXIT_S, len(seconds))
    report.say(f"{lines} lines, each one message; exit: median {percentile(seconds, 0.5):.2f} s")


def cuts(report: Report, points: int) -> None:
    """Half of the points after a number of events, half after a random time."""
    draw = random.Random(3)
    stop_s, wrong, carried, legacy = [], 0, 0, max(points // 5, 2)
    slow = Slow(steps=100)
    with slow_door(slow) as port:
        for number in range(points):
            before = len(slow.calls)
            stream = Stream(port, MODERN)
            stream.call(f"question {number}")
            if number % 2:
                until(lambda n=before: len(slow.calls) > n, 10, "the question arrived")
                time.sleep(draw.random())
                seen = []
            else:
                steps = (e["params"]["progress"] for e in stream.events() if "params" in e)
                seen = list(itertools.islice(steps, number // 5))
                until(lambda n=before: len(slow.calls) > n, 10, "the question arrived")
            at = stream.cut()
            call = slow.calls[-1]
            until(lambda c=call: c.ended_at, 10, "the work ended")
            stop_s.append(call.ended_at - at)
            wrong += call.finished or seen != sorted(set(seen))
        slow.steps = 30
        for _ in range(legacy):
            before = len(slow.calls)
            stream = Stream(port, LEGACY)
            stream.call("old")
            until(lambda n=before: len(slow.calls) > n, 10, "the question arrived")
            time.sleep(draw.random() * 0.4)
            stream.cut()
            call = slow.calls[-1]
            until(lambda c=call: c.ended_at, 20, "the work ended")
            carried += call.finished
    report.at_most("modern_cut_to_stop_s_max", max(stop_s), 1.0, points)
    report.exactly("modern_cuts_that_went_on_or_progress_fell", wrong, 0, points)
    report.exactly("legacy_cuts_that_carried_on", carried, legacy, legacy)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--sessions", type=int, default=0)
    options = parser.parse_args()
    report = Report(options.quick)
    cuts(report, 10 if options.quick else 50)
    sessions(report, options.sessions or (12 if options.quick else 200))
    report.finish()


if __name__ == "__main__":
    main()
