"""The routes that look after a running service do what the command does, behind the same guard."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nightschool.clock import SystemClock
from nightschool.daemon.jobs import KEPT, Job, Jobs, State
from nightschool.errors import NotFound, Refused
from nightschool.paths import Home
from nightschool.serve import desk
from service_harness import Service, service, until

JOB_S = 90.0


@pytest.fixture(scope="module")
def door() -> Iterator[Service]:
    with service() as made:
        yield made


def ended(door: Service, number: int) -> Any:
    def look() -> Any:
        found = door.get(f"/ns/job?number={number}")
        return found if found["ended_at"] else None

    return until(look, JOB_S, f"job {number} has ended")


def refused(door: Service, method: str, path: str, body: Any = None) -> dict[str, Any]:
    reply = door.request(method, path, body)
    assert 400 <= reply.status < 500, (path, reply.body)
    error: dict[str, Any] = reply.json["error"]
    assert {"message", "type", "param", "code", "remedy"} == set(error) and error["message"]
    return error


def test_each_of_these_routes_is_behind_the_guard(door: Service) -> None:
    for operation in desk.OPERATIONS:
        body: Any = {} if operation.method == "POST" else None
        reply = door.request(operation.method, operation.path, body, token="wrong")
        assert reply.status in (401, 429), operation.path


def test_a_setting_is_written_taken_in_and_taken_back(door: Service) -> None:
    put = door.post("/ns/config", {"key": "engine.second_answer", "value": "informs"})
    assert put["now"] == "informs" and put["from"].startswith(str(door.home.config))
    assert put["service"]["problem"] == "" and put["service"]["waiting_for_restart"] == []
    assert 'second_answer = "informs"' in door.home.config.read_text("utf-8")
    found = door.get("/ns/config")
    assert [row["key"] for row in found["settings"] if row["key"].startswith("engine.")] == [
        "engine.second_answer"
    ]
    assert len(door.get("/ns/config?all=yes")["settings"]) > len(found["settings"])
    assert door.get("/ns/config/explain?key=engine.doubt")["default"] == 0.2
    back = door.post("/ns/config/unset", {"key": "engine.second_answer"})
    assert back["now"] == "never"


def test_what_makes_no_sense_and_the_door_s_own_settings_are_refused(door: Service) -> None:
    before = door.home.config.read_text("utf-8") if door.home.config.exists() else ""
    said = refused(door, "POST", "/ns/config", {"key": "engine.dubt", "value": "1"})
    assert "engine.doubt" in said["message"]
    assert refused(door, "POST", "/ns/config", {"key": "engine.doubt", "value": "7"})
    for key in ("serve.origins", "serve.port", "serve.socket"):
        error = refused(door, "POST", "/ns/config", {"key": key, "value": "http://evil.example"})
        assert error["code"] == "refused"
        assert refused(door, "POST", "/ns/config/unset", {"key": key})["code"] == "refused"
    assert (door.home.config.read_text("utf-8") if door.home.config.exists() else "") == before
    for path, body in (
        ("/ns/pairs/decide", {"ids": "all", "status": "approved"}),
        ("/ns/pairs/decide", {"ids": [True], "status": "approved"}),
        ("/ns/pairs/decide", {"ids": [1], "status": "loved"}),
        ("/ns/models/use", {"name": "nobody"}),
        ("/ns/servers/remove", {"name": "nobody"}),
        ("/ns/export", {"file": "here.tar"}),
        ("/ns/eval/retrieval", {"dataset": "../somewhere"}),
        ("/ns/job/cancel", {"number": 77}),
    ):
        refused(door, "POST", path, body)
    refused(door, "GET", "/ns/job?number=77")


def test_models_practice_copies_and_servers_are_told(door: Service) -> None:
    models = door.get("/ns/models")
    assert models["used"] == "starter" in [item["name"] for item in models["models"]]
    assert door.get("/ns/models/card")["sha256"] == models["models"][0]["sha256"]
    planned = door.post("/ns/models/use", {"name": "starter", "dry_run": True})
    assert planned["changes"] and not planned["done"]
    assert door.post("/ns/models/use", {"name": "starter"})["done"]
    assert door.get("/ns/pairs?status=waiting") == {"pairs": []}
    assert door.get("/ns/pairs/export") == {"pairs": []}
    assert door.get("/ns/feedback") == {"feedback": []}
    assert door.get("/ns/servers") == {"servers": []}
    before = len(door.get("/ns/backups")["backups"])
    made = door.post("/ns/backups")["backups"]
    assert len(made) == before + 1 and not any(copy["problem"] for copy in made)


def test_a_job_is_the_command_itself_and_ends_with_its_json(door: Service, tmp_path: Path) -> None:
    started = door.post("/ns/doctor")
    assert (started["verb"], started["state"]) == ("doctor", "running")
    found = ended(door, started["number"])
    assert found["state"] == "done" and found["error"] is None
    assert found["exit_code"] == (0 if found["result"]["healthy"] else 1)
    assert {"home", "database"} <= {check["name"] for check in found["result"]["checks"]}

    file = tmp_path / "--force.tar"  # a name that would be an option, were it not behind a --
    made = ended(door, door.post("/ns/export", {"file": str(file), "passphrase": "eight words"})
                 ["number"])  # fmt: skip
    assert made["state"] == "done" and file.read_bytes().startswith(b"age-encryption.org")
    log = (door.home.logs / "daemon.log").read_text("utf-8")
    assert "eight words" not in log and "eight words" not in json.dumps(door.get("/ns/jobs"))
    again = ended(door, door.post("/ns/export", {"file": str(file)})["number"])
    assert again["state"] == "failed" and again["error"]["remedy"]
    assert again["error"]["code"] == "bad_request"
    listed = door.get("/ns/jobs")["jobs"]
    assert [job["number"] for job in listed] == sorted(job["number"] for job in listed)[::-1]
    assert not any("result" in job for job in listed)


def test_one_job_at_a_time_tells_its_progress_and_can_be_ended(door: Service) -> None:
    job = door.post("/ns/models/bench")
    try:
        assert refused(door, "POST", "/ns/doctor")["code"] == "refused"
        told = until(
            lambda: door.get(f"/ns/job?number={job['number']}")["progress"], JOB_S, "progress"
        )
        assert set(told) == {"stage", "done", "total"}
    finally:
        door.post("/ns/job/cancel", {"number": job["number"]})
    assert ended(door, job["number"])["state"] == "cancelled"
    assert door.request("POST", "/ns/doctor").status == 202  # the place is free again


def test_no_job_begins_after_the_end_and_only_the_newest_are_remembered(tmp_path: Path) -> None:
    work = Jobs(Home(tmp_path).create(), SystemClock())
    work._jobs = [Job(n, "doctor", "", State.DONE, ended_at="x") for n in range(1, KEPT + 1)]
    number = work.start("config path", ["config", "path"], {})["number"]
    found = until(lambda: work.one(number) if work.one(number)["ended_at"] else None, JOB_S, "end")
    assert number == KEPT + 1 and found["result"]["file"].endswith("config.toml")
    assert len(work.all()) == KEPT
    with pytest.raises(NotFound):
        work.one(1)
    work.close()
    with pytest.raises(Refused):
        work.start("config path", ["config", "path"], {})
