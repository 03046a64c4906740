"""A child that misbehaves on request: for tests of those who must notice and end it.

dead_loop   works on nothing, its heart beats on
deaf        the same, and ignores that it is asked to end, by end of file and by SIGTERM
stopped     stops itself: not even the heart beats
forks       starts a grandchild in its group and one in a session of its own, then hangs
leaves      starts a grandchild and ends itself politely
works       counts its work for `seconds`
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from nightschool.children.worker import Job, Worker

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def main(arguments: Sequence[str]) -> None:
    def dead_loop(params: dict[str, Any], job: Job) -> None:
        while True:
            sum(range(1000))

    def deaf(params: dict[str, Any], job: Job) -> None:
        job.emit({"deaf": True})
        while True:
            time.sleep(0.1)

    def stopped(params: dict[str, Any], job: Job) -> None:
        os.kill(os.getpid(), signal.SIGSTOP)

    def forks(params: dict[str, Any], job: Job) -> None:
        near = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL)
        far = subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL, start_new_session=True)
        job.emit({"pids": [near.pid, far.pid]})
        while True:
            time.sleep(0.1)

    def leaves(params: dict[str, Any], job: Job) -> dict[str, Any]:
        return {"pid": subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL).pid}

    def eats(params: dict[str, Any], job: Job) -> None:
        taken = bytearray(int(params["bytes"]))
        taken[::4096] = b"x" * len(taken[::4096])
        while True:
            time.sleep(0.1)

    def works(params: dict[str, Any], job: Job) -> str:
        for _ in range(round(float(params["seconds"]) / 0.1)):
            time.sleep(0.1)
            worker.beat()
        return "done"

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    worker = Worker({"dead_loop": dead_loop, "deaf": deaf, "stopped": stopped, "forks": forks,
                     "leaves": leaves, "eats": eats, "works": works})  # fmt: skip
    worker.run({})
