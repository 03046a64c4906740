"""The catalogue of base models: what is found, what is refused, and with which words."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lora_files import write_lora
from nightschool.errors import ModelError, NotFound, UsageError
from nightschool.models import catalogue
from nightschool.models.catalogue import BOX
from nightschool.models.header import read_header
from nightschool.paths import Home
from nightschool.store.db import Store, open_store

STARTER = BOX / "starter.gguf"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copyfile(STARTER, tmp_path / "other.gguf"))


def test_without_a_name_it_is_the_starter_which_serves_and_learns(home: Home, store: Store) -> None:
    info = catalogue.resolve(home, store)
    assert info == catalogue.resolve(home, store, "starter")
    assert (info.name, info.architecture, info.context) == ("starter", "llama", 1024)
    assert 5_000_000 < info.parameters < 20_000_000
    assert info.sha256 == hashlib.sha256(STARTER.read_bytes()).hexdigest()
    assert info.can_serve and info.can_learn and not info.why_not
    assert info.chat_template and info.file_type == "F16"
    assert info.learn_bytes > 4 * info.parameters


def test_the_box_carries_the_sums_of_its_files() -> None:
    for line in (BOX / "SHA256SUMS").read_text().splitlines():
        digest, _, name = line.partition("  ")
        assert hashlib.sha256((BOX / name).read_bytes()).hexdigest() == digest, name


def test_a_flipped_bit_in_the_box_is_noticed(tmp_path: Path) -> None:
    for name in ("starter.gguf", "SHA256SUMS"):
        shutil.copyfile(BOX / name, tmp_path / name)
    catalogue.check_box(tmp_path / "starter.gguf")
    raw = bytearray(STARTER.read_bytes())
    raw[-1000] ^= 1
    (tmp_path / "starter.gguf").write_bytes(raw)
    with pytest.raises(ModelError, match="damaged") as caught:
        catalogue.check_box(tmp_path / "starter.gguf")
    assert "Reinstall" in caught.value.remedy
    (tmp_path / "starter.gguf").unlink()
    with pytest.raises(ModelError, match="missing"):
        catalogue.check_box(tmp_path / "starter.gguf")


def test_the_light_reader_agrees_with_the_gguf_package() -> None:
    import gguf

    theirs, ours = gguf.GGUFReader(str(STARTER)), read_header(STARTER)
    assert set(ours.tensors) == {tensor.name for tensor in theirs.tensors}
    for tensor in theirs.tensors:
        assert ours.tensors[tensor.name].shape == tuple(int(n) for n in tensor.shape)
        assert ours.tensors[tensor.name].bytes == tensor.n_bytes
    assert ours.parameters == sum(int(tensor.n_elements) for tensor in theirs.tensors)
    assert ours.number("block_count") == theirs.fields["llama.block_count"].contents()
    assert ours.metadata["tokenizer.chat_template"] == (
        theirs.fields["tokenizer.chat_template"].contents()
    )


def test_the_type_table_agrees_with_the_gguf_package() -> None:
    import gguf

    from nightschool.models.header import TYPES

    for kind, (block, width) in gguf.GGML_QUANT_SIZES.items():
        assert TYPES[int(kind)] == (kind.name, block, width)


def test_a_file_cut_anywhere_is_truncated_or_no_gguf(tmp_path: Path) -> None:
    raw = STARTER.read_bytes()
    cut = tmp_path / "cut.gguf"
    for size in (0, 2, 4, 23, 24, 100, 5_000, 60_000, 200_000, len(raw) // 2, len(raw) - 64):
        cut.write_bytes(raw[:size])
        with pytest.raises(ModelError, match=r"not a GGUF|truncated|damaged") as caught:
            read_header(cut)
        assert caught.value.remedy


def test_hostile_counts_and_lengths_are_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    key = struct.pack("<Q", 1) + b"k"
    heads = {
        "tensors": struct.pack("<IQQ", 3, 2**60, 0),
        "keys": struct.pack("<IQQ", 3, 0, 2**60),
        "version": struct.pack("<IQQ", 99, 0, 0),
        "big-endian": struct.pack(">IQQ", 3, 0, 0),
        "text": struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**62),
        "array": struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<IIQ", 9, 8, 2**62),
        "texts": struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<IIQ", 9, 8, 5000),
        "nested": struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<IIQ", 9, 9, 1),
        "kind": struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<I", 77),
        "shape": struct.pack("<IQQ", 3, 1, 0) + key + struct.pack("<IQIQ", 1, 2**62, 0, 0),
        "type": struct.pack("<IQQ", 3, 1, 0) + key + struct.pack("<IQIQ", 1, 32, 999, 0),
        "dimensions": struct.pack("<IQQ", 3, 1, 0) + key + struct.pack("<I", 9),
        "offset": struct.pack("<IQQ", 3, 1, 0) + key + struct.pack("<IQIQ", 1, 32, 0, 2**40),
    }
    for name, head in heads.items():
        path.write_bytes(b"GGUF" + head + bytes(256))
        with pytest.raises(ModelError):
            read_header(path)
            pytest.fail(name)


def test_a_path_an_added_name_and_a_choice_all_resolve(
    home: Home, store: Store, copy: Path
) -> None:
    assert catalogue.resolve(home, store, str(copy)).name == "other"
    added = catalogue.add(home, store, str(copy), name="mine")
    assert added.path == copy  # used in place
    assert catalogue.resolve(home, store, "mine").path == copy
    assert [info.name for info in catalogue.models(home, store)] == ["starter", "mine"]
    catalogue.use(home, store, "mine")
    assert catalogue.resolve(home, store).name == "mine"
    catalogue.remove(home, store, "mine")
    assert catalogue.resolve(home, store).name == "starter"
    assert copy.exists()  # it was not ours


def test_a_copied_model_lives_in_the_home_and_moves_with_it(
    home: Home, store: Store, copy: Path, tmp_path: Path
) -> None:
    catalogue.add(home, store, str(copy), copy=True)
    copy.unlink()
    store.close()
    moved = Home(home.root.rename(tmp_path / "moved"))
    reopened = open_store(moved.database)
    assert catalogue.resolve(moved, reopened, "other").path == moved.models / "other.gguf"
    catalogue.remove(moved, reopened, "other")
    assert not (moved.models / "other.gguf").exists()
    reopened.close()


def test_what_is_unknown_gone_or_no_model_is_said_with_a_remedy(
    home: Home, store: Store, copy: Path, tmp_path: Path
) -> None:
    with pytest.raises(NotFound, match="no model called 'gpt-nine'"):
        catalogue.resolve(home, store, "gpt-nine")
    with pytest.raises(NotFound):
        catalogue.resolve(home, store, str(tmp_path / "none.gguf"))
    with pytest.raises(ModelError, match="adapter"):
        catalogue.add(home, store, str(write_lora(tmp_path / "l.gguf", STARTER, seed=1)))
    with pytest.raises(UsageError, match="name of the model in the box"):
        catalogue.add(home, store, str(copy), name="starter")
    catalogue.add(home, store, str(copy), name="mine")
    copy.unlink()
    with pytest.raises(ModelError, match="gone"):
        catalogue.resolve(home, store, "mine")
    (gone,) = [info for info in catalogue.models(home, store) if info.name == "mine"]
    assert not gone.can_serve and "gone" in gone.why_not


def test_a_changed_file_gets_a_new_hash(home: Home, store: Store, copy: Path) -> None:
    before = catalogue.resolve(home, store, str(copy)).sha256
    raw = bytearray(copy.read_bytes())
    raw[-1] ^= 1
    copy.write_bytes(raw)
    after = catalogue.resolve(home, store, str(copy)).sha256
    assert after == hashlib.sha256(raw).hexdigest() != before


def test_an_encoder_and_an_unlearnable_architecture_say_what_they_cannot(
    home: Home, store: Store, copy: Path
) -> None:
    raw = copy.read_bytes()
    for name, serve in (("berts", False), ("rwkv6", True)):
        renamed = raw.replace(struct.pack("<Q", 5) + b"llama", struct.pack("<Q", 5) + name.encode())
        assert renamed != raw
        copy.write_bytes(renamed)
        info = catalogue.resolve(home, store, str(copy))
        assert (info.can_serve, info.can_learn) == (serve, False)
        assert info.why_not
    with pytest.raises(ModelError, match="cannot be served"):
        copy.write_bytes(
            raw.replace(struct.pack("<Q", 5) + b"llama", struct.pack("<Q", 5) + b"berts")
        )
        catalogue.use(home, store, str(copy))


def test_a_model_that_ollama_has_is_used_in_place(
    home: Home, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ollama"
    monkeypatch.setenv("OLLAMA_MODELS", str(root))
    digest = "sha256:" + hashlib.sha256(STARTER.read_bytes()).hexdigest()
    blob = root / "blobs" / digest.replace(":", "-")
    blob.parent.mkdir(parents=True)
    shutil.copyfile(STARTER, blob)
    (root / "blobs" / "sha256-1").write_text("\n  MIT License\n\nPermission is granted")
    manifest = root / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "1b"
    manifest.parent.mkdir(parents=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.model", "digest": digest},
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:1"},
    ]
    manifest.write_text(json.dumps({"layers": layers}))
    info = catalogue.add(home, store, "ollama:tiny:1b")
    assert (info.path, info.name, info.licence) == (blob, "tiny-1b", "MIT License")
    with pytest.raises(NotFound, match="Ollama has no model"):
        catalogue.add(home, store, "ollama:tiny")
    for name in ("ollama:../../etc/passwd", "ollama:tiny:../../x", "ollama:"):
        with pytest.raises(UsageError):
            catalogue.add(home, store, name)
    manifest.write_text("{")
    with pytest.raises(ModelError, match="manifest"):
        catalogue.add(home, store, "ollama:tiny:1b")


def test_a_hub_that_cannot_be_reached_is_said_in_words(tmp_path: Path) -> None:
    # In a process of its own: the hub's library reads its address once, when it is imported.
    script = (
        "import sys; from pathlib import Path\n"
        "from nightschool.errors import ModelError, UsageError\n"
        "from nightschool.models.hub import download\n"
        "try: download('nobody', Path(sys.argv[1]))\n"
        "except UsageError as error: print('usage', error.remedy)\n"
        "try: download('nobody/nothing', Path(sys.argv[1]))\n"
        "except ModelError as error: print('model', error.remedy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
        env={
            "HF_ENDPOINT": "http://127.0.0.1:9",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PATH": "",
        },
    )
    assert "usage Example" in done.stdout, done.stderr
    assert "model Check the network" in done.stdout, done.stderr


class _Hub(BaseHTTPRequestHandler):
    """As much of a model hub as one download needs: the file list, and the file with its hash."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        body, extra = b"", {}
        if self.path.startswith("/api/models/us/tiny-gguf"):
            names = ["README.md", "tiny-Q4_K_M.gguf", "tiny-Q8_0.gguf"]
            about = {"id": "us/tiny-gguf", "siblings": [{"rfilename": name} for name in names]}
            body = json.dumps({**about, "cardData": {"license": "mit"}}).encode()
        elif self.path.startswith("/us/tiny-gguf/resolve/main/tiny-Q8_0.gguf"):
            body = STARTER.read_bytes()
            extra = {"ETag": f'"{hashlib.sha256(body).hexdigest()}"', "X-Repo-Commit": "a" * 40}
        self.send_response(200 if body else 404)
        for name, value in {"Content-Length": str(len(body)), **extra}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_a_model_is_fetched_from_a_hub_by_repository(tmp_path: Path) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = (
        "import sys; from pathlib import Path\n"
        "from nightschool.errors import NotFound\n"
        "from nightschool.models.catalogue import add\n"
        "from nightschool.paths import Home\n"
        "from nightschool.store.db import open_store\n"
        "home = Home(Path(sys.argv[1])).create(); store = open_store(home.database)\n"
        "info = add(home, store, 'hf:us/tiny-gguf')\n"
        "print(info.name, info.licence, info.path.is_relative_to(home.models), info.parameters)\n"
        "try: add(home, store, 'hf:us/tiny-gguf/other.gguf')\n"
        "except NotFound as error: print('missing', error.remedy)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "home")],
            capture_output=True,
            text=True,
            timeout=120,
            env={
                "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
                "HF_HUB_DISABLE_XET": "1",
                "HOME": str(tmp_path),
                "PYTHONPATH": os.pathsep.join(sys.path),
                "PATH": "",
            },
        )
    finally:
        server.shutdown()
        server.server_close()
    parameters = read_header(STARTER).parameters
    assert f"tiny-Q8_0 mit True {parameters}" in done.stdout, done.stderr
    assert "missing It has: tiny-Q4_K_M.gguf, tiny-Q8_0.gguf." in done.stdout, done.stderr


def test_the_catalogue_imports_nothing_heavy() -> None:
    script = (
        "import sys, nightschool.models.catalogue\n"
        "heavy = {'numpy', 'torch', 'llama_cpp', 'gguf', 'transformers', 'huggingface_hub'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
