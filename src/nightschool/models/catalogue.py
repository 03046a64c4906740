"""Which base models there are, what each can do here, and where its file lies.

A model is one GGUF file: the starter in the box, a file that was added, or a blob that Ollama
already has, used in place. Light: reads heads and hashes, never weights (`engine` loads them).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

from nightschool.errors import ModelError, NotFound, UsageError
from nightschool.models.header import Header, read_header
from nightschool.paths import Home
from nightschool.ports import Progress, silent
from nightschool.store import state
from nightschool.store.db import Store

BOX = Path(__file__).parent / "box"
STARTER = "starter"
_BOX_REMEDY = "Reinstall: pip install --force-reinstall --no-deps nightschool"

_ADDED, _CHOSEN, _HASHES = "models:added", "models:chosen", "models:hashes"

LEARNABLE = frozenset(
    {"llama", "qwen2", "qwen3", "phi3", "gemma2", "gemma3", "stablelm", "nemotron"}
)
"""Decoder architectures that transformers 5.23 reads from a GGUF file (its GGUF_CONFIG_MAPPING) and
whose layers have the projections that nights adapt (`train.adapt`). Left out on purpose: gpt2,
falcon, starcoder2 and lfm2, which name them otherwise, mixtures of experts and mamba (no plain LoRA
targets), t5 and bloom."""

ENCODERS = ("bert", "clip", "t5encoder", "deberta", "wavtokenizer")
"""Architectures (or parts of their names) that cannot continue a text."""

_FILE_TYPES = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    25: "IQ4_NL",
    30: "IQ4_XS",
    32: "BF16",
    38: "MXFP4",
}

LARGE, PIECE = 128 * 10**6, 1 << 18
"""From this size on (bytes) hashing takes long enough to be told of; what is read at once.

The service hashes too. After a buffer of megabytes was freed glibc keeps blocks of that size on its
heap for good (`M_MMAP_THRESHOLD` moves in mallopt(3)): pieces of 4 MB cost it 17 to 30 MB.
"""
LEARN_EXTRA = 350 * 1024**2
"""Bytes of a learner beside model and step: torch, transformers, llama.cpp, encoders."""
STEP_TOKENS = 1536
"""Tokens of a large step: twelve items, one of them or two with a long passage."""
SCORED = 256
"""Of those, the ones whose scores over the whole vocabulary are computed and differentiated."""
KEPT_WIDTHS, KEPT_INNERS, KEPT_SCORES = 7, 4, 4
"""Rows of float32 that a layer keeps of every token for the way back: norms, attention and its
inputs (as wide as the model), and the gated part; and copies of the scores."""
SERVE_EXTRA = 128 * 1024**2
"""Bytes beside file and cache while serving: llama.cpp's compute buffers and the process."""


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """One base model. `parameters` counts weights, `context` tokens, `size` bytes of the file.

    `why_not` says in words what stands against serving or learning, empty when nothing does.
    `serve_bytes` and `learn_bytes` are the memory estimates behind that.
    """

    name: str
    path: Path
    sha256: str
    architecture: str
    parameters: int
    context: int
    size: int
    can_serve: bool
    can_learn: bool
    why_not: str = ""
    licence: str = ""
    title: str = ""
    file_type: str = ""
    layers: int = 0
    width: int = 0
    chat_template: bool = False
    serve_bytes: int = 0
    learn_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Memory:
    """An estimate in bytes: what serving and learning take, and what is free now."""

    serve: int
    learn: int
    free: int


def memory(header: Header, *, context: int = 1024) -> Memory:
    """Estimate the memory of a model at `context` tokens (float16 cache)."""
    heads = header.number("attention.head_count") or 1
    shared = header.number("attention.head_count_kv") or heads
    width = header.number("attention.key_length") or header.number("embedding_length") // heads
    layers = header.number("block_count")
    cache = 2 * 2 * layers * shared * width * context
    return Memory(
        serve=header.size + cache + SERVE_EXTRA,
        learn=LEARN_EXTRA + 4 * header.parameters + max(4 * header.parameters, _step(header)),
        free=int(psutil.virtual_memory().available),
    )


def _step(header: Header) -> int:
    """Bytes that one step of practice keeps for its way back. Loading takes a second copy of the
    weights, but that is gone by then."""
    wide, inner = header.number("embedding_length"), header.number("feed_forward_length")
    rows = KEPT_WIDTHS * wide + KEPT_INNERS * inner
    embedding = header.tensors.get("token_embd.weight")
    words = max(embedding.shape) if embedding is not None else 0
    return 4 * (STEP_TOKENS * header.number("block_count") * rows + KEPT_SCORES * SCORED * words)


def resolve(home: Home, store: Store, name: str = "") -> ModelInfo:
    """The model called `name`: `starter`, a name that was added, or the path of a GGUF file.

    Empty means the one chosen with `use`, which is the starter until somebody chooses. Raises
    NotFound for an unknown name and ModelError for a file that is no usable model.
    """
    name = name or str(state.get(store, _CHOSEN, STARTER))
    if name == STARTER:
        path = BOX / "starter.gguf"
        check_box(path)
        return _info(store, STARTER, path, licence="CC BY-SA 4.0")
    added: dict[str, Any] = state.get(store, _ADDED, {})
    if name in added:
        path = Path(added[name]["path"])
        path = path if path.is_absolute() else home.disk / path
        if not path.exists():
            raise ModelError(
                f"The file of the model {name} is gone: {path}.",
                f"Put it back, or add it again with `nightschool model add {added[name]['source']}`"
                ", or choose another with `nightschool model use starter`.",
            )
        return _info(store, name, path, licence=added[name].get("licence", ""))
    path = Path(name).expanduser()
    if path.suffix == ".gguf" or path.is_file():
        return _info(store, path.stem, path.absolute())
    raise NotFound(
        f"There is no model called {name!r}.",
        f"Known: {', '.join([STARTER, *sorted(added)])}. Add one with `nightschool model add`.",
    )


def details(info: ModelInfo) -> dict[str, Any]:
    """A model with its chat `template` and the scalar `metadata` of its file, as plain JSON."""
    header = read_header(info.path)
    template = str(header.metadata.get("tokenizer.chat_template", ""))
    scalars = {
        key: value
        for key, value in header.metadata.items()
        if isinstance(value, bool | int | float)
        or (isinstance(value, str) and key != "tokenizer.chat_template" and len(value) <= 500)
    }
    found = asdict(info) | {"path": str(info.path)}
    return found | {"template": template, "metadata": scalars}


def models(home: Home, store: Store) -> list[ModelInfo]:
    """All known models, the starter first; one whose file is gone or damaged says so."""
    found = []
    for name in [STARTER, *sorted(state.get(store, _ADDED, {}))]:
        try:
            found.append(resolve(home, store, name))
        except (ModelError, NotFound) as error:
            path = Path(state.get(store, _ADDED, {}).get(name, {}).get("path", ""))
            found.append(ModelInfo(name, path, "", "", 0, 0, 0, False, False, str(error)))
    return found


def stamp(home: Home, store: Store, name: str = "") -> tuple[object, ...]:
    """What changes when `resolve` would find another file: cheap enough for every request."""
    name = name or str(state.get(store, _CHOSEN, STARTER))
    if name == STARTER:
        return (name,)
    entry = state.get(store, _ADDED, {}).get(name)
    path = Path(entry["path"] if entry else name).expanduser()
    try:
        found = (path if path.is_absolute() else home.disk / path).stat()
    except OSError:
        return (name, str(path))
    return (name, str(path), found.st_size, found.st_mtime_ns)


def use(home: Home, store: Store, name: str) -> ModelInfo:
    """Make `name` the base model from the next request on. Raises as `resolve` does."""
    info = resolve(home, store, name or STARTER)
    if not info.can_serve:
        raise ModelError(f"{info.name} cannot be served: {info.why_not}", "Choose another model.")
    added: dict[str, Any] = state.get(store, _ADDED, {})
    known = info.name == STARTER or name in added
    state.put(store, _CHOSEN, info.name if known else str(info.path))
    return info


def add(
    home: Home,
    store: Store,
    source: str,
    *,
    name: str = "",
    copy: bool = False,
    progress: Progress = silent,
) -> ModelInfo:
    """Make a model known: a path, `ollama:NAME`, `lmstudio:PATH` or `hf:REPO[/FILE]`.

    A path or blob is used in place unless `copy` asks for a copy inside the home. `progress` counts
    megabytes of large files that are fetched, copied and hashed. Raises
    UsageError, NotFound or ModelError (not a GGUF, offline, no space), and then changes nothing.
    """
    licence = ""
    if source.startswith("ollama:"):
        found, licence = ollama_blob(source.removeprefix("ollama:"))
        chosen = name or source.removeprefix("ollama:").replace("/", "-").replace(":", "-")
        _as_named(store, found, progress)
    elif source.startswith("lmstudio:"):
        from nightschool.models.lmstudio import find

        found = find(source.removeprefix("lmstudio:"))
        chosen = name or found.stem
    elif source.startswith("hf:"):
        from nightschool.models.hub import download

        found, licence = download(source.removeprefix("hf:"), home.models, progress)
        chosen = name or found.stem
    else:
        found = Path(source).expanduser().absolute()
        chosen = name or found.stem
    if chosen == STARTER:
        raise UsageError(f"{STARTER!r} is the name of the model in the box.", "Give another name.")
    header = read_header(found)
    if header.type != "model":
        raise ModelError(f"{found} is an {header.type}, not a base model.", "Add a base model.")
    if copy:
        found = _copy(found, home.models / f"{chosen}.gguf", progress)
    path = str(found)
    if found.is_relative_to(home.disk):  # so that a home on a stick can move
        path = found.relative_to(home.disk).as_posix()
    info = _info(store, chosen, found, licence=licence, progress=progress)
    with store.transaction():
        added = state.get(store, _ADDED, {})
        added[chosen] = {"path": path, "source": source, "licence": licence}
        state.put(store, _ADDED, added)
    return info


def remove(home: Home, store: Store, name: str) -> None:
    """Forget a model; a file that was copied or downloaded into the home is deleted too."""
    with store.transaction():
        added = state.get(store, _ADDED, {})
        if name not in added:
            raise NotFound(f"There is no added model called {name!r}.", "See `model list`.")
        path = Path(added.pop(name)["path"])
        state.put(store, _ADDED, added)
        if state.get(store, _CHOSEN, STARTER) == name:
            state.put(store, _CHOSEN, STARTER)
    if not path.is_absolute():
        (home.disk / path).unlink(missing_ok=True)


def ollama_blob(name: str) -> tuple[Path, str]:
    """The GGUF blob and licence line of a model that Ollama has on this disk."""
    root = Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")
    repository, _, tag = name.partition(":")
    parts = repository.split("/")
    if not repository or any(part in ("", ".", "..") for part in [*parts, tag or "latest"]):
        raise UsageError(f"{name!r} is not an Ollama name.", "Write it as in `ollama list`.")
    if len(parts) == 1:
        parts = ["library", *parts]
    if len(parts) == 2:
        parts = ["registry.ollama.ai", *parts]
    manifest = root.joinpath("manifests", *parts, tag or "latest")
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        blobs = {layer["mediaType"]: str(layer["digest"]) for layer in layers}
        digest = blobs["application/vnd.ollama.image.model"]
    except FileNotFoundError as error:
        raise NotFound(
            f"Ollama has no model {name!r} in {root}.", f"Run `ollama pull {name}` first."
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"Ollama's manifest {manifest} is damaged: {error!r}.", f"Run `ollama pull {name}`."
        ) from error
    licence = ""
    if terms := blobs.get("application/vnd.ollama.image.license"):
        with contextlib.suppress(OSError):
            text = (root / "blobs" / terms.replace(":", "-")).read_text("utf-8", "replace")
            licence = next((line.strip() for line in text.splitlines() if line.strip()), "")[:80]
    return root / "blobs" / digest.replace(":", "-"), licence


def _as_named(store: Store, blob: Path, progress: Progress) -> None:
    """Ollama names a blob by its hash: one that has another hash is damaged."""
    named = blob.name.removeprefix("sha256-")
    if not blob.is_file() or file_sha256(store, blob, progress) != named:
        raise ModelError(f"Ollama's blob {blob.name[:19]}… is damaged.", "Pull the model again.")


def check_box(path: Path) -> None:
    """Compare a file in the box with its published SHA-256. Raises ModelError when it differs."""
    try:
        if _hash(path) != box_sha256(path):
            raise ModelError(
                f"{path} is damaged: its SHA-256 is not the published one.", _BOX_REMEDY
            )
    except OSError as error:
        raise _no_box(error) from error


def box_sha256(path: Path) -> str:
    """The published SHA-256 of a file in the box. Raises ModelError when the list is unreadable."""
    try:
        lines = (path.parent / "SHA256SUMS").read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _no_box(error) from error
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    return sums.get(path.name, "")


def _no_box(error: Exception) -> ModelError:
    return ModelError(f"A file in the box is missing or unreadable: {error}.", _BOX_REMEDY)


def file_sha256(store: Store, path: Path, progress: Progress = silent) -> str:
    """SHA-256 of a file's bytes; remembered by path, size and time, since models are large."""
    stat = path.stat()
    key = [stat.st_size, stat.st_mtime_ns]
    known: dict[str, Any] = state.get(store, _HASHES, {})
    entry = known.get(str(path))
    if entry and entry[:2] == key:
        return str(entry[2])
    digest = _hash(path, progress)
    with store.transaction():
        known = state.get(store, _HASHES, {})
        known = {name: value for name, value in known.items() if Path(name).exists()}
        state.put(store, _HASHES, known | {str(path): [*key, digest]})
    return digest


def _hash(path: Path, progress: Progress = silent) -> str:
    found = hashlib.sha256()
    for piece in _pieces(path, "checking the file (MB)", progress):
        found.update(piece)
    return found.hexdigest()


def _pieces(path: Path, stage: str, progress: Progress) -> Iterator[memoryview]:
    """The bytes of a file, each piece valid until the next; of a `LARGE` one it is told how far."""
    buffer, done, told = memoryview(bytearray(PIECE)), 0, 0
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while count := file.readinto(buffer):
            yield buffer[:count]
            done += count
            if size >= LARGE and (done // 10**7 > told or done == size):
                told = done // 10**7
                progress(stage, done // 10**6, size // 10**6)


def _copy(source: Path, target: Path, progress: Progress) -> Path:
    """Copy next to the target, then rename, so that a half copy is never taken for a model."""
    part = target.with_suffix(".part")
    try:
        with part.open("wb") as file:
            for piece in _pieces(source, "copying the file (MB)", progress):
                file.write(piece)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise ModelError(
            f"{source} could not be copied: {error}.", "Free some space, or use it in place."
        ) from error
    return target


def _info(
    store: Store, name: str, path: Path, *, licence: str = "", progress: Progress = silent
) -> ModelInfo:
    header = read_header(path)
    estimate = memory(header)
    cannot_serve = _against_serving(header, estimate)
    cannot_learn = cannot_serve or _against_learning(header, estimate)
    return ModelInfo(
        name=name,
        path=path,
        sha256=file_sha256(store, path, progress),
        architecture=header.architecture,
        parameters=header.parameters,
        context=header.number("context_length"),
        size=header.size,
        can_serve=not cannot_serve,
        can_learn=not cannot_learn,
        why_not=cannot_serve or cannot_learn,
        licence=licence or str(header.metadata.get("general.license", "")),
        title=str(header.metadata.get("general.name", "")),
        file_type=_FILE_TYPES.get(header.integer("general.file_type", -1), ""),
        layers=header.number("block_count"),
        width=header.number("embedding_length"),
        chat_template="tokenizer.chat_template" in header.metadata,
        serve_bytes=estimate.serve,
        learn_bytes=estimate.learn,
    )


def _against_serving(header: Header, estimate: Memory) -> str:
    if header.type != "model" or not header.architecture:
        return f"It is not a base model but {header.type or 'unknown'}."
    if any(part in header.architecture for part in ENCODERS):
        return f"It is an encoder ({header.architecture}), which cannot write."
    if header.integer("split.count") > 1:
        return "It is one part of a split model; join the parts with llama-gguf-split first."
    if not header.tensors or "tokenizer.ggml.model" not in header.metadata:
        return "It has no weights or no vocabulary."
    if estimate.serve > estimate.free:
        return f"Serving needs {_gib(estimate.serve)}; {_gib(estimate.free)} of memory are free."
    return ""


def _against_learning(header: Header, estimate: Memory) -> str:
    if header.architecture not in LEARNABLE:
        return f"Its architecture ({header.architecture}) can be served but not learn here."
    if header.number("expert_count"):
        return "It is a mixture of experts, which can be served but not learn here."
    if estimate.learn > estimate.free:
        return f"Learning needs {_gib(estimate.learn)}; {_gib(estimate.free)} of memory are free."
    return ""


def _gib(count: int) -> str:
    return f"{count / 1024**3:.1f} GiB"
