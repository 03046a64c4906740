"""The command beside the running service: one engine, one night at a time, no stale view."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from command import Said, nightschool
from lora_files import write_lora
from nightschool import Nightschool
from nightschool.models import catalogue
from nightschool.records import Outcome, Plan
from nightschool.registry import versions as registry
from nightschool.store import runs
from service_harness import Reply, Service, service, until

OTHER = b"another starter"


@pytest.fixture
def door() -> Iterator[Service]:
    with service(environment={"NIGHTSCHOOL_FILES_SETTLE_S": "0.3"}) as running:
        yield running


def _command(door: Service, *words: str) -> Said:
    return nightschool(door.home.root, *words)


def _note(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def _another_base(path: Path) -> Path:
    """The starter with another title: another base model as far as anybody can tell."""
    data = (catalogue.BOX / "starter.gguf").read_bytes()
    at = data.index(b"general.name") + len(b"general.name") + 4
    length = int.from_bytes(data[at : at + 8], "little")
    title = OTHER[:length].ljust(length, b".")
    path.write_bytes(data[: at + 8] + title + data[at + 8 + length :])
    return path


def test_the_model_that_was_chosen_answers_the_next_request_and_running_ones_end_on_the_old(
    door: Service, tmp_path: Path
) -> None:
    ask = {"question": "Hi", "mode": "raw"}
    assert door.post("/ns/ask", ask)["base"] == "starter"
    engine = door.children()["engine"]["pid"]
    replies: list[Reply] = []
    story = threading.Thread(
        target=lambda: replies.append(
            door.request(
                "POST", "/v1/chat/completions",
                {"model": "nightschool-raw", "max_tokens": 900, "temperature": 2.0, "seed": 5,
                 "messages": [{"role": "user", "content": "Tell a long story"}]},
            )
        )
    )  # fmt: skip
    with Nightschool(door.home.root) as beside:
        beside.add_model(str(_another_base(tmp_path / "other.gguf")))
        story.start()
        until(lambda: door.children()["engine"]["state"] == "busy", 10, "the story begins", 0.01)
        beside.use_model("other")
    assert door.post("/ns/ask", ask)["base"] == "other"
    story.join(60)
    assert replies[0].status == 200
    assert replies[0].json["nightschool"]["base"] == "starter"
    assert door.status()["serving"]["model"] == "other"
    assert door.children()["engine"]["pid"] == engine
    (tmp_path / "other.gguf").unlink()
    gone = door.request("POST", "/ns/ask", ask)
    assert gone.status == 503
    assert "is gone" in gone.json["error"]["message"]
    assert _command(door, "model", "use", "starter").code == 0
    assert door.post("/ns/ask", ask)["base"] == "starter"


def test_embeddings_are_billed_in_the_tokens_that_were_encoded(door: Service) -> None:
    def tokens(*texts: str) -> int:
        made = door.post("/v1/embeddings", {"model": "nightschool", "input": list(texts)})
        assert made["usage"]["total_tokens"] == made["usage"]["prompt_tokens"]
        return int(made["usage"]["prompt_tokens"])

    assert tokens("kettle") == 3  # the word between its two marks
    assert tokens("kettle", "kettle") == 6
    assert tokens("antidisestablishmentarianism") > 4
    assert tokens("kettle " * 5000) == 256  # the rest is cut


def test_folders_files_and_answers_go_through_the_service(door: Service, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    _note(folder, "Boiler.md", "# Boiler\n\nOskar Brandreth serviced the boiler on 6 March.\n")
    added = _command(door, "watch", "add", str(folder), "--json")
    assert added.code == 0, added.error
    assert added.json["indexed"] == 1
    served = door.children()["engine"]["served"]
    assert "Boiler.md" in _command(door, "search", "who serviced the boiler").out
    asked = _command(door, "ask", "Who serviced the boiler?", "--json").json
    assert "Brandreth" in asked["text"]
    assert door.children()["engine"]["served"] == served + 2
    _note(folder, "Garden.md", "The pear tree stands by the east wall.\n")
    (folder / "Boiler.md").unlink()
    refreshed = _command(door, "files", "--refresh", "--json")
    assert [row["path"] for row in refreshed.json] == ["Garden.md"]
    assert _command(door, "ask", "", "--json").code == 2
    assert _command(door, "watch", "add", str(door.home.models)).code == 2
    assert _command(door, "watch", "remove", str(folder)).code == 0
    assert not door.find("pear tree")


def test_use_and_rollback_are_served_from_the_next_request_on(
    door: Service, tmp_path: Path
) -> None:
    (tmp_path / "candidate").mkdir()
    with Nightschool(door.home.root) as beside:
        base = beside.model()
        write_lora(tmp_path / "candidate" / registry.ADAPTER, base.path, seed=1)
        run = runs.start(beside.store, Plan(), base.sha256, parent=0)
        runs.finish(beside.store, run, Outcome.PROMOTED)
        made = registry.register(
            door.home, beside.store, tmp_path / "candidate", base_sha=base.sha256,
            status="promoted", scale=1.0, run_id=run,
        )  # fmt: skip
    ask = {"question": "Hi", "mode": "raw"}
    assert door.post("/ns/ask", ask)["version"] == 0
    assert _command(door, "use", str(made.number), "--json").json["number"] == made.number
    assert door.post("/ns/ask", ask)["version"] == made.number
    assert _command(door, "rollback", "--json").json["number"] == 0
    assert door.post("/ns/ask", ask)["version"] == 0
    assert _command(door, "rollback").code == 3
    assert _command(door, "use", "99").code == 2


def test_a_night_of_the_command_is_the_services_night(door: Service, tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    _note(folder, "Boiler.md", "# Boiler\n\nOskar Brandreth serviced the boiler on 6 March.\n")
    door.watch(folder)
    learning = subprocess.Popen(
        [sys.executable, "-m", "nightschool", "learn"],
        env=door.settings, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        until(lambda: door.status()["night"]["state"] == "running", 30, "the night runs")
        second = _command(door, "learn")
        assert second.code == 3
        assert "already running" in second.complaint
        _, complaint = learning.communicate(timeout=120)
    finally:
        learning.kill()
    assert learning.returncode == 3
    assert "facts could be found" in complaint
    assert "Watch a folder with more notes" in complaint
    assert door.status()["night"]["last"]["by"] == "request"


def test_a_night_that_another_process_holds_keeps_the_service_from_starting_one(
    door: Service,
) -> None:
    with FileLock(door.home.learning):
        refused = door.request("POST", "/ns/learn")
        assert refused.status == 409
        assert "in another process" in refused.json["error"]["message"]
        assert "in another process" in door.status()["night"]["reason"]
    assert "in another process" not in door.status()["night"]["reason"]
