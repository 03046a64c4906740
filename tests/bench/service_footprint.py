"""What the resident process costs: libraries, memory under traffic, processor time when idle.

    python tests/bench/service_footprint.py [--quick] [--traffic SECONDS] [--idle SECONDS]
                                            [--pause SECONDS]

Full: an hour of traffic and ten idle minutes. Quick: one minute each.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

import httpx2  # noqa: E402
import openai  # noqa: E402
import psutil  # noqa: E402
from mcp import Client  # noqa: E402
from mcp.client.streamable_http import streamable_http_client  # noqa: E402

from bench_report import Report, arguments, percentile  # noqa: E402
from service_harness import Service, copy_vault, service, until  # noqa: E402

HEAVY = ("torch", "numpy", "faiss", "llama", "ggml", "pandas", "transformers", "gguf")


def maps(door: Service) -> list[str]:
    """The heavy libraries that the daemon has mapped."""
    assert door.process is not None
    lines = Path(f"/proc/{door.process.pid}/maps").read_text().splitlines()
    files = {line.split()[-1] for line in lines if "/" in line}
    return [name for name in files if any(part in name.lower() for part in HEAVY)]


async def mcp_round(door: Service) -> None:
    headers = {"Authorization": f"Bearer {door.token}"}
    for mode in ("legacy", "2026-07-28"):
        async with (
            httpx2.AsyncClient(headers=headers, timeout=180) as http,
            Client(
                streamable_http_client(f"{door.url}/mcp", http_client=http), mode=mode
            ) as client,
        ):
            await client.list_tools()
            await client.call_tool("search", {"query": "boiler"})
            await client.call_tool("status", {})


def traffic(report: Report, door: Service, folder: Path, seconds: float, pause: float) -> int:
    """A mix of everything, again and again, for so long; the number of requests."""
    ends = time.monotonic() + seconds
    count = 0
    minute = 0
    assert door.process is not None
    process = psutil.Process(door.process.pid)
    with openai.OpenAI(base_url=f"{door.url}/v1", api_key=door.token, timeout=180) as client:
        while time.monotonic() < ends:
            messages = [{"role": "user", "content": f"What is said about the boiler? {count}"}]
            client.chat.completions.create(model="nightschool-raw", messages=messages)
            for _ in client.chat.completions.create(
                model="nightschool-raw", messages=messages, stream=True
            ):
                pass
            client.embeddings.create(model="nightschool", input=["one", "two"])
            door.find("boiler service", 20)
            door.status()
            door.get("/ns/files?limit=1000")
            door.get("/ns/openapi.json")
            door.request("GET", "/ns/status", token="wrong")
            (folder / "changing.md").write_text(f"# Changing\n\nRound {count} of the day.\n")
            asyncio.run(mcp_round(door))
            count += 15
            now = int((ends - time.monotonic()) // 60)
            if now != minute:
                minute = now
                held = process.memory_info().rss / 1e6
                report.say(f"       {count} requests, daemon {held:.1f} MB")
            time.sleep(pause)
    return count


def wakeups(pid: int) -> int:
    """How often the threads of a process went to sleep by themselves, and so were woken up."""
    total = 0
    for status in Path(f"/proc/{pid}/task").glob("*/status"):
        lines = status.read_text().splitlines()
        total += sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt"))
    return total


def idle_share(report: Report, door: Service, seconds: float) -> tuple[float, float]:
    """What the daemon does while nothing happens: its share of one core, wake-ups a second."""
    assert door.process is not None
    process = psutil.Process(door.process.pid)
    before, woken = process.cpu_times(), wakeups(process.pid)
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        time.sleep(min(60.0, seconds))
        report.say(f"       idle for {time.monotonic() - began:.0f} s")
    after = process.cpu_times()
    used = after.user + after.system - before.user - before.system
    passed = time.monotonic() - began
    return used / passed, (wakeups(process.pid) - woken) / passed


def main() -> None:
    parser = arguments(__doc__ or "")
    parser.add_argument("--traffic", type=float, help="seconds of traffic")
    parser.add_argument("--idle", type=float, help="idle seconds")
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between two rounds")
    options = parser.parse_args()
    traffic_s = options.traffic or (60.0 if options.quick else 3600.0)
    idle_s = options.idle or (60.0 if options.quick else 600.0)
    report = Report(options.quick)
    starts = []
    for _ in range(3 if options.quick else 10):
        with service() as door:
            starts.append(door.ready_s)
    report.at_most("ready_s_median", percentile(starts, 0.5), 1.0, len(starts))
    report.say(f"       all: {', '.join(f'{s:.2f}' for s in sorted(starts))} s")
    environment = {"NIGHTSCHOOL_ENGINE_KEEP_ALIVE_S": "5"}
    with service(environment=environment) as door, tempfile.TemporaryDirectory() as temporary:
        folder = copy_vault(Path(temporary))
        door.watch(folder)
        count = traffic(report, door, folder, traffic_s, options.pause)
        assert door.process is not None
        held = psutil.Process(door.process.pid).memory_info().rss / 1e6
        report.at_most("rss_mb_after_traffic", held, 100.0, count)
        found = maps(door)
        report.exactly("heavy_libraries_mapped", len(found), 0, 1)
        for name in found:
            report.say(name)

        def all_asleep() -> bool:
            return all(child["state"] == "asleep" for child in door.children().values())

        until(all_asleep, 240, "all children gave their memory back", 2.0)
        time.sleep(5)
        share, woken = idle_share(report, door, idle_s)
        report.at_most("idle_percent_of_a_core", 100 * share, 0.2, round(idle_s))
        report.at_most("idle_wakeups_a_second", woken, 25.0, round(idle_s))
    report.finish()


if __name__ == "__main__":
    main()
