"""Forgetting through the command, the Python door and the service's routes."""

from __future__ import annotations

from pathlib import Path

import pytest

from command import nightschool
from nightschool import Nightschool
from nightschool.errors import NotFound, UsageError
from nightschool.records import Receipt
from service_harness import service, until


def vault(folder: Path) -> Path:
    (folder / "work").mkdir(parents=True)
    for name, text in {
        "boiler.md": "The boiler was serviced by Oskar Brandreth.",
        "work/plan.md": "The launch is planned for zanzibar.",
        "work/budget.md": "The budget of zanzibar is 400 pounds.",
    }.items():
        (folder / name).write_text(f"# {Path(name).stem}\n\n{text}\n", encoding="utf-8")
    return folder


def test_the_command_forgets_lists_prints_undoes_and_vacuums(tmp_path: Path) -> None:
    folder, home = vault(tmp_path / "notes"), tmp_path / "home"
    with Nightschool(home) as door:
        door.watch(folder)
    said = nightschool(home, "forget", str(folder / "boiler.md"), "--json")
    assert said.code == 0, said.error
    receipt = said.json["receipt"]
    assert receipt["files"][0]["path"] == "boiler.md" and receipt["sha256"]
    again = nightschool(home, "forget", "boiler.md")
    assert again.code == 0 and "forgotten before" in again.out and receipt["sha256"] in again.out
    refused = nightschool(home, "forget", "zanzibar")
    assert refused.code == 3
    assert "--yes" in refused.complaint and "work/plan.md" in refused.out
    done = nightschool(home, "forget", "zanzibar", "--yes")
    assert done.code == 0 and "Can be undone until" in done.out
    listed = nightschool(home, "forget", "--receipt", "list", "--json")
    assert [item["target"] for item in listed.json] == ["zanzibar", str(folder / "boiler.md")]
    undone = nightschool(home, "forget", "--undo", "1", "--json")
    assert undone.code == 0 and undone.json["undone_at"]
    with Nightschool(home) as door:
        assert [item.path for item in door.files(status="indexed")] == ["boiler.md"]
    swept = nightschool(home, "vacuum", "--json")
    assert swept.code == 0 and swept.json["bytes_after"] > 0
    assert nightschool(home, "forget", "a", "--undo", "1").code == 2


def test_what_a_person_may_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = vault(tmp_path / "notes")
    with Nightschool(tmp_path / "home") as door:
        door.watch(folder)
        number = next(item.id for item in door.files() if item.path == "boiler.md")
        looked = door.forget(f"#{number}", dry_run=True)
        assert looked.receipt is None and [item.path for item in looked.files] == ["boiler.md"]
        proposed = door.forget("work")
        assert proposed.kind == "folder" and proposed.receipt is None and len(proposed.files) == 2
        monkeypatch.chdir(folder / "work")
        done = door.forget("plan.md")
        assert done.receipt is not None and done.receipt.files[0].path == "work/plan.md"
        done = door.forget(str(folder / "work"), confirmed=True)
        assert [item.path for item in done.files] == ["work/budget.md"]
        (folder / "fresh.md").write_text("# Fresh\n\nNever read: quagga.\n")
        waiting = door.forget(str(folder / "fresh.md"))
        assert waiting.receipt is not None and waiting.receipt.files[0].sha256
        (folder / "fresh.md").rename(folder / "renamed.md")
        door.refresh()
        reasons = {item.path: item.reason for item in door.files(status="skipped")}
        assert "receipt" in reasons["renamed.md"]
        for bad in ("nothing like this", str(folder / "missing.md"), "#99999"):
            with pytest.raises(NotFound):
                door.forget(bad)
        with pytest.raises(UsageError):
            door.forget("  ")
        assert all(isinstance(item, Receipt) for item in door.receipts())


def test_the_service_forgets_at_once_and_a_deletion_in_its_folder_too(tmp_path: Path) -> None:
    folder = vault(tmp_path / "notes")
    with service(environment={"NIGHTSCHOOL_FILES_SETTLE_S": "0.2"}) as door:
        door.watch(folder)
        assert any("Oskar" in hit["text"] for hit in door.find("Oskar Brandreth"))
        found = door.post("/ns/forget", {"what": str(folder / "boiler.md")})
        assert not any("Oskar" in hit["text"] for hit in door.find("Oskar Brandreth"))
        number = found["receipt"]["id"]
        assert door.get(f"/ns/receipts/{number}") == found["receipt"]
        proposed = door.post("/ns/forget", {"what": "zanzibar"})
        assert proposed["receipt"] is None and len(proposed["files"]) == 2
        (folder / "work" / "plan.md").unlink()
        until(lambda: len(door.get("/ns/receipts")["receipts"]) == 2, 20, "the deletion's receipt")
        assert door.get("/ns/receipts")["receipts"][0]["kind"] == "deleted"
        assert door.post("/ns/undo", {"receipt": number})["undone_at"]
        until(lambda: any("Oskar" in hit["text"] for hit in door.find("Oskar Brandreth")),
              20, "the file is read again")  # fmt: skip
        assert door.post("/ns/vacuum", {"now": True})["receipts"]
        assert door.request("GET", "/ns/receipts/99").status == 404
        assert door.request("POST", "/ns/undo", {"receipt": 99}).status == 404
        # The command does the same while the service runs.
        said = nightschool(door.home.root, "forget", "boiler.md", "--json")
        assert said.code == 0, said.error
        assert not any("Oskar" in hit["text"] for hit in door.find("Oskar Brandreth"))
