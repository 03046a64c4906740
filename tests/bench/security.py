"""The security goals in one run: the suite's own tests, the guard from outside, and no way out.

python tests/bench/security.py [--quick] [--egress]

--quick leaves out the guard's socket run and the night under strace (minutes on a busy machine).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from bench_report import Report, arguments  # noqa: E402

GOALS = {
    "G0_deliberate_breaks": ("test_security_breaks.py",),
    "G1_G1b_protocol": ("test_security_protocol.py", "test_mcp.py"),
    "G2_G3_G4_G6_G7_door": ("test_security_door.py", "test_guard.py"),
    "G5_nothing_leaves": ("test_security_egress.py",),
    "G8_names": ("test_mcp_material.py", "test_security_paths.py"),
    "G1c_streams": ("test_mcp_streams.py",),
    "G9_answers_and_G11_prefill": (
        "test_harmless.py",
        "test_dialects.py",
        "test_other_servers.py",
        "test_grammar.py",
    ),
    "G10_shares_and_crowds": ("test_review.py", "test_crowds.py"),
    "G11_refusals": ("test_refusals.py",),
    "G12_secrets_and_G14_files": (
        "test_security_data.py",
        "test_redaction.py",
        "test_catalogue.py",
    ),
}
EVERYTHING = """
import sys
from pathlib import Path
from nightschool import Nightschool
from nightschool.examples import vault_dir
from service_harness import service, copy_vault
with Nightschool(sys.argv[1]) as school:
    school.watch(copy_vault(Path(sys.argv[1]).parent))
    assert school.ask("When was the boiler serviced?").text
    assert school.search("boiler")
    minutes = float(sys.argv[2])
    print(school.learn(minutes=minutes).outcome if minutes else "left-out")
with service() as door:
    door.post("/ns/ask", {"question": "Hello", "mode": "raw"})
    said = [{"role": "user", "content": "Hello http://away.example"}]
    door.post("/v1/chat/completions", {"model": "nightschool", "messages": said})
    assert door.get("/v1/models")
    assert door.request("POST", "/mcp", {"jsonrpc": "2.0", "method": "ping", "id": 1}).status
print("done")
"""
LEAK = """
import socket, subprocess, sys
code = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('192.0.2.1', 9))"
subprocess.run([sys.executable, "-c", code])
print("done")
"""
"""The deliberate break: a child names an address outside, of a network where nobody is."""
_ADDRESS = re.compile(r"\{sa_family=AF_INET6?, (.*?)\}")


def suite(report: Report) -> None:
    """Each goal's tests, and how many of them there are."""
    for goal, files in GOALS.items():
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly",
             *(str(ROOT / "tests" / name) for name in files)],
            cwd=ROOT, capture_output=True, text=True, timeout=900,
        )  # fmt: skip
        passed = re.search(r"(\d+) passed", done.stdout)
        failed = re.search(r"(\d+) (?:failed|error)", done.stdout)
        count = int(passed.group(1)) if passed else 0
        report.exactly(goal, float(failed.group(1)) if failed else float(not count), 0, count)


def outside(report: Report, minutes: float) -> None:
    """G5: reading, asking, a night of `minutes` and serving, with every call that names an address
    seen by strace, in all processes."""
    strace = shutil.which("strace")
    if strace is None:
        report.say("strace is not installed: G5 cannot be measured here")
        return
    _, leaked = named(strace, LEAK, 0.0)
    report.at_least("G5_a_leak_of_a_child_is_seen", sum("192.0.2.1" in one for one in leaked), 1, 1)
    said, calls = named(strace, EVERYTHING, minutes)
    away = [call for call in calls if "127.0.0.1" not in call and "::1" not in call]
    for call in away[:10]:
        report.say(call)
    report.say(f"the night: {said.split()[0]}; {len(calls)} addresses, all loopback unless shown")
    report.exactly("G5_outbound_attempts", len(away), 0, len(calls))


def named(strace: str, code: str, minutes: float) -> tuple[str, list[str]]:
    """What `code` printed, and the internet addresses that it and its children named."""
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace"
        done = subprocess.run(
            [strace, "-f", "--seccomp-bpf", "-qq", "-o", str(trace),
             "-e", "trace=connect,sendto,sendmsg,sendmmsg",
             sys.executable, "-c", code, str(Path(folder) / "home"), str(minutes)],
            cwd=ROOT, capture_output=True, text=True, timeout=1500,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}",
                 "HOME": folder},
        )  # fmt: skip
        assert "done" in done.stdout, done.stderr[-2000:]
        return done.stdout, _ADDRESS.findall(trace.read_text(errors="replace"))


def guard(report: Report) -> None:
    """The guard through real sockets (its own benchmark)."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "bench" / "service_guard.py"), "--quick"],
        cwd=ROOT, capture_output=True, text=True, timeout=1800,
    )  # fmt: skip
    report.exactly("guard_from_outside_exit", done.returncode, 0, 1)


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--egress", action="store_true", help="only what leaves (G5)")
    options = parser.parse_args()
    report = Report(options.quick)
    if not options.egress:
        suite(report)
    outside(report, 0.0 if options.quick else 0.5)
    if not options.quick and not options.egress:
        guard(report)
    report.finish()


if __name__ == "__main__":
    main()
