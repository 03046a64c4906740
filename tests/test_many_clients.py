"""Several clients and versions at once, with an unload in between: no answer goes astray."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from made_versions import make_versions
from nightschool.paths import Home
from service_harness import service

NAMES = ("nightschool-raw:base", "nightschool-raw:v1", "nightschool-raw:v2")


def test_answers_of_three_versions_to_four_clients_are_never_crossed(tmp_path: Path) -> None:
    make_versions(Home(tmp_path / "home"), 2)
    with service(home=tmp_path) as door:

        def ask(name: str, question: str, client: int = 0) -> tuple[str, str]:
            body: dict[str, Any] = {
                "model": name,
                "messages": [{"role": "user", "content": question}],
                "max_tokens": 12,
            }
            headers = {"X-Client-Name": f"client {client}"}
            reply = door.request("POST", "/v1/chat/completions", body, headers=headers)
            assert reply.status == 200, reply.body
            return reply.json["choices"][0]["message"]["content"], reply.json["system_fingerprint"]

        questions = ("Who are you?", "What is a ferry?")
        wanted = {pair: ask(*pair) for pair in itertools.product(NAMES, questions)}
        assert len(set(wanted.values())) >= 4
        jobs = list(wanted) * 4
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(ask, *zip(*jobs[:12], strict=True), range(12)))
            door.request(
                "POST", "/api/generate", {"model": "nightschool", "prompt": "", "keep_alive": 0}
            )
            found += list(pool.map(ask, *zip(*jobs[12:], strict=True), range(12)))
        assert found == [wanted[job] for job in jobs]
