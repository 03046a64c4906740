"""schemathesis against the OpenAPI description of a running daemon: no 5xx, bounded memory.

python tests/bench/fuzz.py [--quick]     5,000 cases, --quick 400
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import psutil  # noqa: E402
import schemathesis  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402

from bench_report import Report, arguments  # noqa: E402
from service_harness import Service, copy_vault, service  # noqa: E402

SKIPPED = {"/ns/stop", "/ns/learn", "/ns/watch", "/ns/unwatch", "/ns/refresh", "/ns/use"}
"""Those that would end the service, start a night, or watch folders of this machine."""


def main() -> None:
    options = arguments(__doc__ or "").parse_args()
    report = Report(options.quick)
    wanted = 400 if options.quick else 5000
    with service() as door, tempfile.TemporaryDirectory() as folder:
        door.watch(copy_vault(Path(folder)))
        door.post("/ns/ask", {"question": "When was the boiler serviced?"})
        _attack(report, door, wanted)
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


if __name__ == "__main__":
    main()
