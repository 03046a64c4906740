"""A long backlog of vectors keeps no saved file from being found by its words."""

from __future__ import annotations

from pathlib import Path

import pytest

from service_harness import service, until

FILES = 300
TEXT = " ".join(f"The {word} was kept in the shed behind the house." for word in (
    "anvil", "barrel", "candle", "drill", "easel", "funnel", "grinder", "hammer", "iron", "jack",
))  # fmt: skip


@pytest.mark.slow
def test_a_file_saved_during_the_backlog_is_found_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "notes"
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number}.md").write_text(f"# Note {number}\n\n{TEXT} Number {number}.\n")
    with service(environment={"NIGHTSCHOOL_FILES_SETTLE_S": "0.2"}) as door:
        door.post("/ns/watch", {"path": str(folder)})
        read = lambda: door.status()["files"]["indexed"] >= FILES  # noqa: E731
        until(read, 120, "all files are read")
        waiting = door.status()["files"]["without_vector"]
        assert waiting > FILES // 3, "too fast to see a backlog"
        (folder / "fresh.md").write_text("# Fresh\n\nThe quagga was seen in the orchard.\n")
        until(
            lambda: any("quagga" in hit["text"] for hit in door.find("quagga")), 60, "it is found"
        )
        assert door.status()["files"]["without_vector"] > 0
        door.wait_quiet(240)
        assert door.status()["files"]["without_vector"] == 0
