"""Everything the command does is a native route, or its absence has a reason; reads take --json."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import gen_native_docs
from nightschool.cli import main
from nightschool.config import Config
from nightschool.intake import run_intake
from nightschool.paths import Home
from nightschool.serve import native, openapi, verbs
from nightschool.store import documents
from nightschool.store.db import open_store

ROOT = Path(__file__).resolve().parents[1]

CHANGES = {
    "config edit", "config set", "config unset", "demo", "mcp remove", "open", "pairs export",
    "pairs review", "portable run", "service install", "service uninstall", "stop", "tray", "up",
    "mcp",
}  # fmt: skip
"""Verbs that read nothing for a program: they change something, open something, or are a server.
`pairs export` writes JSON lines, and `open` opens a page."""


def walk(node: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every verb of the command, with what it takes; a group that does something itself, too."""
    node = node or typer.main.get_command(main.app)
    if not hasattr(node, "commands"):
        yield " ".join(path), node
        return
    if path == ("mcp",):
        yield "mcp", node
    for name, child in sorted(node.commands.items()):
        yield from walk(child, (*path, name))


VERBS = dict(walk())


def test_every_verb_is_a_route_or_has_a_reason_to_be_none() -> None:
    unknown = set(VERBS) - set(verbs.ROUTED) - set(verbs.EXCUSED)
    assert not unknown, f"neither routed nor excused in serve/verbs.py: {sorted(unknown)}"
    assert not set(verbs.ROUTED) & set(verbs.EXCUSED)
    assert set(verbs.ROUTED) | set(verbs.EXCUSED) <= set(VERBS), "verbs that there are no more"


def test_every_route_of_the_table_is_described_and_every_native_one_is_in_it() -> None:
    described = {
        operation["operationId"]
        for path, methods in openapi.document()["paths"].items()
        if path.startswith("/ns/")
        for operation in methods.values()
    }
    named = {name for names in verbs.ROUTED.values() for name in names}
    assert named <= described, named - described
    assert described == named | set(verbs.BESIDE)
    assert len({o.name for o in native.OPERATIONS}) == len(native.OPERATIONS)


def test_the_page_of_the_native_routes_is_up_to_date() -> None:
    assert (ROOT / "docs/native.md").read_text("utf-8") == gen_native_docs.render(), (
        "run packaging/gen_native_docs.py"
    )


# -- --json --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """One note, indexed; no service."""
    folder = tmp_path_factory.mktemp("notes")
    (folder / "gate.md").write_text("# Gate\nThe gate code is quarrel.\n", encoding="utf-8")
    made = Home(tmp_path_factory.mktemp("home")).create()
    store = open_store(made.database)
    documents.add_root(store, str(folder))
    run_intake(made, store, Config())
    store.close()
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two documents and one question in BEIR's layout."""
    folder = tmp_path_factory.mktemp("beir")
    texts = {"a": "The gate code is quarrel.", "b": "Bees swarm in May."}
    (folder / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": k, "title": k, "text": t}) + "\n" for k, t in texts.items())
    )
    (folder / "queries.jsonl").write_text(json.dumps({"_id": "q", "text": "gate code"}) + "\n")
    (folder / "qrels").mkdir()
    (folder / "qrels/test.tsv").write_text("query-id\tcorpus-id\tscore\nq\ta\t1\n")
    return folder


SAMPLES: dict[str, tuple[str, ...]] = {
    "ask": ("--raw", "Hello?"),
    "backup": ("--list",),
    "config explain": ("learn.window",),
    "eval retrieval": ("--dataset", "DATASET"),
    "forget": ("gate.md", "--dry-run"),
    "mcp install": ("cursor", "--dry-run"),
    "mcp uninstall": ("cursor", "--dry-run"),
    "model use": ("starter", "--dry-run"),
    "portable check": ("STICK",),
    "search": ("gate code",),
}
"""What a verb is asked with; others are asked as they are."""
READS = (
    "ask", "backup", "config check", "config explain", "config path", "config show",
    "eval retrieval", "feedback", "files", "forget", "mcp install", "mcp list", "mcp uninstall",
    "model card", "model list", "model use", "nights", "pairs list", "portable check", "runs",
    "search", "service status", "status", "token", "vacuum", "versions", "watch list",
)  # fmt: skip
"""Verbs that can be asked here without changing more than a test's own home."""
ELSEWHERE = {
    "doctor": "test_native_desk, as a job",
    "eval safety": "minutes of writing; tests/test_refusals.py", "eval stream": "test_stream",
    "export": "test_bundles", "import": "test_bundles", "learn": "promises/test_night.py",
    "mcp add": "test_other_servers", "model add": "test_catalogue", "model bench": "models_more",
    "model exam": "test_real_models", "model quantize": "test_models_more",
    "pairs approve": "test_review",
    "pairs edit": "test_review", "pairs reject": "test_review", "portable create": "test_portable",
    "report": "test_report", "rollback": "test_registry", "start": "test_service_life",
    "use": "test_registry",
    "watch add": "test_cli", "watch remove": "test_cli",
}  # fmt: skip
"""Verbs with --json that do something first, and where they are tried."""


def test_every_verb_that_says_something_takes_json() -> None:
    without = {
        verb
        for verb, node in VERBS.items()
        if not any("--json" in parameter.opts for parameter in node.params)
    }
    assert without == CHANGES & set(VERBS), without ^ (CHANGES & set(VERBS))
    assert set(READS) | set(ELSEWHERE) == set(VERBS) - without, "a new verb is tried nowhere"


@pytest.mark.parametrize("verb", READS)
def test_a_read_prints_one_json_document_and_nothing_else(
    verb: str, home: Home, dataset: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("HOME", str(tmp_path))  # an assistant's settings are looked for there
    (tmp_path / ".cursor").mkdir()
    (tmp_path / "PORTABLE").write_text('{"id": "x", "encrypted": false}')
    places = {"DATASET": str(dataset), "STICK": str(tmp_path)}
    words = [places.get(word, word) for word in SAMPLES.get(verb, ())]
    with pytest.raises(SystemExit) as ended:
        main.run(["--home", str(home.root), *verb.split(), *words, "--json"])
    out = capsys.readouterr().out
    assert ended.value.code in (0, 1), out
    assert json.loads(out) is not None
