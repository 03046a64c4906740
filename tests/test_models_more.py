"""Getting, changing, shrinking and measuring base models, through the public doors."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from nightschool.errors import ModelError, NotFound, UsageError
from nightschool.models import catalogue, ladder
from nightschool.models.catalogue import BOX
from nightschool.models.change import between
from nightschool.paths import Home
from nightschool.records import Version
from nightschool.store import versions as rows
from nightschool.store.db import Store

STARTER = BOX / "starter.gguf"
BYTES = STARTER.read_bytes()
SHA = hashlib.sha256(BYTES).hexdigest()


class _Hub(BaseHTTPRequestHandler):
    """As much of a hub as a download needs. The first answer may break off on the way."""

    broken: bool
    ranges: list[str]
    body: bytes
    etag: str

    def do_HEAD(self) -> None:
        self._answer(send=False)

    def do_GET(self) -> None:
        self._answer(send=True)

    def _answer(self, *, send: bool) -> None:
        if self.path.startswith("/api/models/"):
            about = {"id": "us/tiny", "siblings": [{"rfilename": "tiny-Q8_0.gguf"}]}
            body = json.dumps(about).encode()
            self._head(200, len(body), {"Content-Type": "application/json"})
            self.wfile.write(body if send else b"")
            return
        if not self.path.startswith("/us/tiny/resolve/"):
            self._head(404, 0, {})
            return
        start = 0
        wanted = self.headers.get("Range", "")
        if send:
            type(self).ranges.append(wanted)
        if wanted.startswith("bytes=") and wanted.endswith("-"):
            start = int(wanted[6:-1])
        part = self.body[start:]
        more = {"ETag": f'"{self.etag}"', "X-Repo-Commit": "a" * 40, "Accept-Ranges": "bytes"}
        if start:
            more["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        self._head(206 if start else 200, len(part), more)
        if not send:
            return
        if type(self).broken:
            type(self).broken = False
            self.wfile.write(part[: len(part) * 3 // 4])
            self.wfile.flush()
            self.close_connection = True
            return
        self.wfile.write(part)

    def _head(self, status: int, length: int, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), **more}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def fetch(
    home: Path, body: bytes, etag: str, *, broken: bool, killed: bool = False
) -> tuple[str, list[str]]:
    """What `add hf:us/tiny` printed with such a hub, and the ranges that were asked for.

    In a process of its own: the hub's library reads its address once, when it is imported. With
    `killed`, that process dies at the break.
    """
    kind = type("Hub", (_Hub,), {"broken": broken, "ranges": [], "body": body, "etag": etag})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = (
        "import os, sys, time; from pathlib import Path\n"
        + ("time.sleep = lambda _: os._exit(9)\n" if killed else "")
        + "from nightschool.errors import ModelError\n"
        "from nightschool.models.catalogue import add\n"
        "from nightschool.paths import Home\n"
        "from nightschool.store.db import open_store\n"
        "home = Home(Path(sys.argv[1])).create(); store = open_store(home.database)\n"
        "told = []\n"
        "def progress(*words): told.append(words)\n"
        "try: print('got', add(home, store, 'hf:us/tiny', progress=progress).sha256)\n"
        "except ModelError as error: print('no', error)\n"
        "print([str(p.name) for p in home.models.glob('*.gguf')])\n"
        "print('last', *told[-1:])\n"
    )
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HUB_DISABLE_XET": "1",
        "HOME": str(home.parent), "PYTHONPATH": os.pathsep.join(sys.path), "PATH": "",
    }  # fmt: skip
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(home)],
            capture_output=True, text=True, timeout=120, env=environment,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
    assert done.returncode == (9 if killed else 0), done.stderr
    return done.stdout, kind.ranges  # type: ignore[attr-defined]


def test_a_download_that_broke_off_goes_on_where_it_was(tmp_path: Path) -> None:
    body = BYTES + bytes(30_000_000)  # the hub's library writes in pieces of 10 MB
    said, ranges = fetch(tmp_path / "home", body, hashlib.sha256(body).hexdigest(), broken=True)
    assert f"got {hashlib.sha256(body).hexdigest()}" in said
    assert f"last ('fetching the file (MB)', {len(body) // 10**6}, {len(body) // 10**6})" in said
    first, second = ranges
    assert first == "" and _start(second) >= 10_000_000
    fetch(tmp_path / "h2", body, hashlib.sha256(body).hexdigest(), broken=True, killed=True)
    said, ranges = fetch(tmp_path / "h2", body, hashlib.sha256(body).hexdigest(), broken=False)
    assert f"got {hashlib.sha256(body).hexdigest()}" in said  # although the process was killed
    assert _start(ranges[0]) >= 10_000_000


def _start(wanted: str) -> int:
    return int(wanted.removeprefix("bytes=").removesuffix("-"))


def test_a_download_with_another_hash_is_deleted_and_refused(tmp_path: Path) -> None:
    said, _ = fetch(tmp_path / "home", BYTES[:-1] + b"x", SHA, broken=False)
    assert "arrived damaged" in said and "[]" in said
    said, _ = fetch(tmp_path / "other", BYTES, "abc", broken=False)
    assert "names no SHA-256" in said


def test_a_model_of_lm_studio_is_used_in_place(
    home: Home, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMSTUDIO_MODELS", str(tmp_path / "lms"))
    folder = tmp_path / "lms" / "us" / "tiny-GGUF"
    folder.mkdir(parents=True)
    (folder / "mmproj-model.gguf").write_bytes(b"no")
    with pytest.raises(NotFound):
        catalogue.add(home, store, "lmstudio:us/tiny-GGUF")
    shutil.copyfile(STARTER, folder / "tiny-Q4_K_M.gguf")
    shutil.copyfile(STARTER, folder / "tiny-Q8_0.gguf")
    assert catalogue.add(home, store, "lmstudio:us/tiny-GGUF").path.name == "tiny-Q8_0.gguf"
    named = catalogue.add(home, store, "lmstudio:us/tiny-GGUF/tiny-Q4_K_M.gguf", name="q4")
    assert named.path == folder / "tiny-Q4_K_M.gguf"
    for bad in ("lmstudio:us", "lmstudio:../../etc", "lmstudio:us/../x", "lmstudio:a/b/c/d"):
        with pytest.raises(UsageError):
            catalogue.add(home, store, bad)
    with pytest.raises(NotFound, match="LM Studio has no"):
        catalogue.add(home, store, "lmstudio:us/other")


def test_a_damaged_blob_of_ollama_is_refused(
    home: Home, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    blob = tmp_path / "blobs" / f"sha256-{SHA}"
    blob.parent.mkdir()
    blob.write_bytes(BYTES[:-1] + b"x")
    manifest = tmp_path / "manifests" / "registry.ollama.ai" / "library" / "tiny" / "latest"
    manifest.parent.mkdir(parents=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{SHA}"}
    manifest.write_text(json.dumps({"layers": [layer]}))
    with pytest.raises(ModelError, match="damaged"):
        catalogue.add(home, store, "ollama:tiny")
    assert [info.name for info in catalogue.models(home, store)] == ["starter"]


def test_a_change_of_base_says_what_becomes_of_the_versions(
    home: Home, store: Store, tmp_path: Path
) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(BYTES[:-1] + bytes([BYTES[-1] ^ 1]))
    new = catalogue.add(home, store, str(other))
    for number, base, status in ((1, SHA, "retired"), (2, SHA, "promoted"), (3, SHA, "blocked"),
                                 (4, new.sha256, "retired")):  # fmt: skip
        rows.add(store, Version(number, base, status, "2026-01-01T00:00:00+00:00"))
    change = between(home, store, "starter", "other")
    assert (change.resting, change.waking) == ((2, 1), (4,))
    said = " ".join(change.lines())
    assert "v1, v2" in said and "v4" in said and "Nothing is deleted" in said
    assert between(home, store, "starter", "starter").lines() == [
        "starter is the same file as starter: all versions stay."
    ]


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nightschool", "--home", str(home), "model", *arguments],
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip


def test_quantising_measures_before_and_after_and_says_the_rule_of_thumb(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = command(home, "quantize", "q4_k_m", "--as", "small", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    before, after = found["before"], found["after"]
    assert after["file_bytes"] < 0.7 * before["file_bytes"]
    assert before["perplexity"] < after["perplexity"] < 3 * before["perplexity"]
    assert before["tokens"] == after["tokens"] > 100
    assert min(before["prefill"], before["decode"], after["decode"]) > 1
    assert "below 6 bits" in found["advice"]
    assert catalogue.read_header(home / "models" / "small.gguf").parameters > 10**6
    again = command(home, "quantize", "q8_0", "small")
    assert again.returncode == 3 and "quantised already" in again.stderr
    use = command(home, "use", "small", "--dry-run")
    assert use.returncode == 0 and "Nothing is deleted" not in use.stdout
    assert "answers until the next night" in use.stdout
    assert command(home, "quantize", "q9").returncode == 2
    assert command(home, "quantize", "q8_0", "--as", "small").returncode == 2


def test_the_ladder_has_the_numbers_of_llama_cpp() -> None:
    import llama_cpp

    for name, rung in ladder.LADDER.items():
        for prefix in ("LLAMA_FTYPE_MOSTLY_",):
            assert getattr(llama_cpp, f"{prefix}{name}") == rung.number
    assert ladder.advice(7_000_000_000, "Q4_K_M") == ""
    assert "smaller model" in ladder.advice(7_000_000_000, "Q2_K")
    assert "BitNet" in ladder.advice(7_000_000_000, "TQ1_0")
