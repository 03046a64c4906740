"""The exam items and the rehearsal prompts: counts, form, and that they keep apart."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "nightschool"
PROBES = PACKAGE / "evaluate" / "probes" / "data"
MAKER = ROOT / "packaging" / "probes"
UNKNOWN = "I don't know."

Row = dict[str, str]


def rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def probe(name: str) -> list[Row]:
    return rows(PROBES / f"{name}.jsonl")


def rehearsal() -> list[Row]:
    return rows(PACKAGE / "pairs" / "data" / "rehearsal.jsonl")


def prose() -> list[Row]:
    return rows(PACKAGE / "pairs" / "data" / "prose.jsonl")


def notes(items: list[Row]) -> list[str]:
    return [item[key] for item in items for key in ("context", "question")]


def grams(texts: list[str], size: int) -> set[tuple[str, ...]]:
    """Every run of `size` words, case and punctuation ignored."""
    out: set[tuple[str, ...]] = set()
    for text in texts:
        words = re.findall(r"\w+", text.lower())
        out.update(tuple(words[i : i + size]) for i in range(len(words) - size + 1))
    return out


def vault_texts() -> list[str]:
    """The readable notes and the questions of the example vault."""
    examples = PACKAGE / "examples"
    files = [f for f in (examples / "vault").rglob("*") if f.suffix in (".md", ".txt", ".html")]
    asked = [row["question"] for row in rows(examples / "questions.jsonl")]
    return [re.sub(r"<[^>]*>", " ", f.read_text(encoding="utf-8")) for f in files] + asked


def templates() -> dict[str, list[str]]:
    """The statement and question templates of each half, slots replaced by one word."""
    out: dict[str, list[str]] = {"P": [], "R": []}
    for line in (MAKER / "relations.txt").read_text(encoding="utf-8").splitlines():
        if re.match(r"[PR][.?] ", line):
            out[line[0]] += [re.sub(r"\{\w\}", "_", part) for part in line[3:].split(" | ")]
    return out


def invented_names(items: list[Row]) -> set[str]:
    """Capitalised words of four letters or more that the makers' text files do not contain."""
    listed = "".join((MAKER / name).read_text("utf-8") for name in ("relations.txt", "shapes.txt"))
    known = {word.lower() for word in re.findall(r"\w+", listed)}
    calendar = set(
        re.findall(
            r"\w+",
            "January February March April May June July August September October November December "
            "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
        )
    )
    found = {word for text in notes(items) for word in re.findall(r"\b[A-Z][a-z]{3,}\b", text)}
    return {word for word in found if word.lower() not in known} - calendar


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("general", 72),
        ("reading", 400),
        ("abstain", 150),
        ("screen", 480),
        ("safety", 40),
        ("chat", 20),
    ],
)
def test_each_probe_file_has_its_count_and_unique_ids(name: str, count: int) -> None:
    items = probe(name)
    assert len(items) == count
    assert len({item["id"] for item in items}) == count
    assert all(value == value.strip() for item in items for value in item.values())


def test_every_reading_answer_stands_literally_in_its_note() -> None:
    for item in probe("reading"):
        assert item["answer"], item["id"]
        assert item["answer"] in item["context"], item["id"]


def test_every_abstain_item_expects_i_dont_know_and_sixty_have_no_note() -> None:
    items = probe("abstain")
    assert {item["answer"] for item in items} == {UNKNOWN}
    assert sum(not item["context"] for item in items) == 60


def test_the_rehearsal_prompts_are_1200_in_the_promised_shares() -> None:
    items = rehearsal()
    closed = [item for item in items if not item["context"]]
    lacking = [item for item in items if item["context"] and item["answer"] == UNKNOWN]
    answered = [item for item in items if item["answer"] != UNKNOWN]
    assert (len(answered), len(lacking), len(closed)) == (520, 320, 360)
    assert {item["answer"] for item in closed} == {UNKNOWN}
    assert all(item["answer"] in item["context"] for item in answered)
    assert len({item["id"] for item in items}) == len({item["question"] for item in items}) == 1200


def test_rehearsal_shares_no_six_words_with_any_probe() -> None:
    texts = notes(probe("reading") + probe("abstain") + probe("screen"))
    texts += [item["text"] for item in probe("general")]
    texts += [item["prompt"] for item in probe("safety") + probe("chat")]
    assert grams(notes(rehearsal()), 6) & grams(texts, 6) == set()


def test_the_halves_share_no_sentence_skeleton() -> None:
    halves = templates()
    skeletons = {
        half: {" ".join(re.findall(r"\w+", text.lower())) for text in texts}
        for half, texts in halves.items()
    }
    assert min(len(found) for found in skeletons.values()) >= 30 * 4
    assert skeletons["P"] & skeletons["R"] == set()
    assert grams(halves["P"], 6) & grams(halves["R"], 6) == set()


def test_the_halves_share_no_invented_name() -> None:
    probes = invented_names(probe("reading") + probe("abstain") + probe("screen"))
    practice = invented_names(rehearsal())
    assert min(len(probes), len(practice)) > 300
    assert probes & practice == set()


def test_probes_and_rehearsal_share_no_six_words_with_the_example_vault() -> None:
    texts = notes(probe("reading") + probe("abstain") + probe("screen") + rehearsal())
    texts += [item["text"] for item in probe("general")]
    texts += [item["prompt"] for item in probe("safety") + probe("chat")]
    assert grams(texts, 6) & grams(vault_texts(), 6) == set()


def test_general_passages_have_ten_kinds_fit_in_length_and_share_no_eight_words() -> None:
    items = probe("general")
    kinds = Counter(item["kind"] for item in items)
    assert len(kinds) == 10
    assert min(kinds.values()) >= 7
    seen: set[tuple[str, ...]] = set()
    for item in items:
        assert 90 <= len(item["text"].split()) <= 140, item["id"]
        own = grams([item["text"]], 8)
        assert not own & seen, item["id"]
        seen |= own


def test_the_prose_is_130_different_passages_of_90_to_140_words() -> None:
    items = prose()
    assert len(items) == len({row["id"] for row in items}) == len({row["text"] for row in items})
    assert len(items) == 130
    for item in items:
        assert 90 <= len(item["text"].split()) <= 140, item["id"]
        assert item["text"] == item["text"].strip(), item["id"]


def test_the_prose_shares_no_eight_words_with_the_general_exam_or_the_vault() -> None:
    others = [item["text"] for item in probe("general")] + vault_texts()
    assert grams([item["text"] for item in prose()], 8) & grams(others, 8) == set()


def test_safety_has_twenty_harmful_and_twenty_benign_distinct_prompts() -> None:
    items = probe("safety")
    assert Counter(item["kind"] for item in items) == {"harmful": 20, "benign": 20}
    assert len({item["prompt"] for item in items + probe("chat")}) == 60


def test_the_generator_writes_exactly_the_committed_files() -> None:
    done = subprocess.run(
        [sys.executable, "-B", str(MAKER / "make.py"), "--check"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_steers_the_scale_is_never_what_decides() -> None:
    decides = {row["question"] for row in probe("reading") + probe("abstain")}
    assert not decides & {row["question"] for row in probe("screen")}
