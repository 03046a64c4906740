"""The search quality harness: formulas by hand, a small data set, going on after a kill."""

from __future__ import annotations

import json
import lzma
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import nightschool
from nightschool.errors import NotFound, UsageError
from nightschool.evaluate.ranking import ndcg, recall, reciprocal_rank
from nightschool.lab import beir, retrieval

CORPUS = {
    "d1": ("Boilers", "The boiler heats the water of the house."),
    "d2": ("Gardens", "A pear tree stands by the wall of the garden."),
    "d3": ("Boats", "The sailing boat lies in the harbour."),
    "d4": ("Bread", "Flour, water and salt make a simple bread."),
}
QUERIES = {"q1": "what heats the house", "q2": "pear tree", "q3": "unjudged question"}
QRELS = "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td4\t1\nq2\td2\t1\n"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": k, "title": t, "text": x} for k, (t, x) in CORPUS.items()]
    with lzma.open(folder / "corpus.jsonl.xz", "wt") as sink:
        sink.write("\n".join(json.dumps(row) for row in rows))
    asked = "\n".join(json.dumps({"_id": k, "text": x}) for k, x in QUERIES.items())
    (folder / "queries.jsonl").write_text(asked)
    (folder / "qrels" / "test.tsv").write_text(QRELS)
    return folder


def test_the_formulas_give_what_a_hand_computes() -> None:
    judged = {"a": 2, "b": 1}
    best = 2 + 1 / math.log2(3)
    assert ndcg(["a", "b"], judged) == 1.0
    assert ndcg(["x", "a", "b"], judged) == pytest.approx(
        (2 / math.log2(3) + 1 / math.log2(4)) / best
    )
    assert ndcg(["x"] * 10 + ["a"], judged) == 0.0
    assert recall(["b", "x", "a"], judged, 2) == 0.5
    assert reciprocal_rank(["x", "b"], judged) == 0.5
    assert (ndcg(["a"], {}), recall(["a"], {}, 5), reciprocal_rank([], judged)) == (0, 0, 0)


@given(st.permutations("abcdefgh"), st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 3)))
def test_no_ranking_beats_the_ideal_one(ranking: list[str], judged: dict[str, int]) -> None:
    ideal = sorted("abcdefgh", key=lambda item: -judged.get(item, 0))
    assert 0 <= ndcg(ranking, judged) <= ndcg(ideal, judged) + 1e-12 <= 1 + 2e-12


def test_a_data_set_is_measured_and_resumed(dataset: Path, tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    said = nightschool(home, "eval", "retrieval", "--dataset", str(dataset), "--work", str(work))
    assert said.code in (0, 1), said.error
    found = json.loads(said.out.splitlines()[-1])
    result = found["result"]
    assert (result["queries"], result["documents"]) == (2, 4)
    assert result["systems"]["dense"]["ndcg@10"] > 0.9
    assert said.code == (0 if all(check["ok"] for check in found["checks"]) else 1)
    lines = Path(result["per_query"]).read_text().splitlines()
    assert [json.loads(line)["query"] for line in lines] == ["q1", "q2"]
    # A kill tears the last line; the next run asks that query again, and only that one.
    marked = json.loads(lines[0]) | {"first": {"fused": ["kept"]}}
    Path(result["per_query"]).write_text(f"{json.dumps(marked)}\n{lines[1][:20]}")
    again = retrieval.evaluate(
        dataset, work, "test", lambda stage, done, total: None, home / "models"
    )
    rows = [json.loads(line) for line in Path(again.per_query).read_text().splitlines()]
    assert rows[0]["first"] == {"fused": ["kept"]}
    # The same answer; only the time it took is its own.
    assert rows[1] | {"ms": 0} == json.loads(lines[1]) | {"ms": 0}
    assert again.systems == result["systems"]


def test_a_folder_of_another_layout_is_refused_in_words(dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="qrels"):
        beir.load(tmp_path)
    with pytest.raises(NotFound, match=r"train\.tsv"):
        beir.load(dataset, "train")
    (dataset / "qrels" / "test.tsv").write_text(f"{QRELS}q1 d1 1\n")
    with pytest.raises(UsageError, match="line 5"):
        beir.load(dataset)
    (dataset / "qrels" / "test.tsv").write_text(QRELS)
    (dataset / "queries.jsonl").write_text("{broken")
    with pytest.raises(UsageError, match="not JSON"):
        beir.load(dataset)
