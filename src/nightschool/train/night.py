"""One training: items → adapter directory, resumable, with the manifest written last.

The directory holds `adapter.gguf` (what llama.cpp serves), PEFT's safetensors, `plan.toml` and
`manifest.json` with the base's hash: an adapter fits the very weights it was trained on.
"""

from __future__ import annotations

import gc
import hashlib
import json
import random
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nightschool.errors import TrainError, of_memory
from nightschool.models.base import TorchBase, load_torch
from nightschool.ports import Progress
from nightschool.records import Plan
from nightschool.train import loop
from nightschool.train.batches import Schedule
from nightschool.train.export import Matrices, Shape, warm, write_gguf
from nightschool.train.items import LIMIT, Item, Tokens, chat_item, text_items
from nightschool.train.parity import Logits, Parity, parity
from nightschool.train.preference import DISLIKED, LIKED
from nightschool.train.recipes import servable
from nightschool.train.threads import Threads

TEXT_PIECE = 64
PARITY_PROMPTS = 20


@dataclass(frozen=True, slots=True)
class Lesson:
    """What to practise, in words: `(prompt, answer)` by heart, from context, and rehearsal; texts.

    `closed` are facts to recall, `context` items to read or to abstain from.
    """

    closed: Sequence[tuple[str, str]]
    context: Sequence[tuple[str, str]]
    rehearsal: Sequence[tuple[str, str]]
    texts: Sequence[str]
    judged: Sequence[tuple[str, str, bool]] = ()
    """`(prompt, answer, liked)`: what the user said of answers."""
    with_passage: Sequence[tuple[str, str, str]] = ()
    """`(prompt, answer, the same prompt with its passage)` of facts, for prompt distillation."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """A trained adapter: its directory, steps, seconds, loss curve, and the parity check."""

    directory: Path
    steps: int
    seconds: float
    losses: tuple[float, ...]
    resumed_at: int
    parity: Parity
    left_out: int


Served = Callable[[Path | None], Callable[[Sequence[int]], Logits]]
"""`served(adapter)` gives llama.cpp's logits function with that adapter, or without any."""


def fit(
    base_path: Path,
    base_sha: str,
    lesson: Lesson,
    plan: Plan,
    folder: Path,
    served: Served,
    *,
    start: Callable[[Shape], Matrices] | None = None,
    tokens: Tokens | None = None,
    threads: int,
    report: Progress,
    check: Callable[[], None],
    stopping: threading.Event | None = None,
) -> Fitted:
    """Train, export and check parity. Raises TrainError (Interrupted when `check` says so).
    `stopping` is for `loop.train`. `tokens` cuts the texts as they are served; without it the
    base's own tokenizer does.

    `start` gives the matrices that practice goes on from; with `plan.passes` 0 they are the
    candidate as they are (a merge).
    """
    page = servable(plan.recipe)
    report("load the base for learning", 0, 1)
    base = load_torch(base_path, 1)
    pace = Threads(threads)
    schedule, left_out = _schedule(tokens or base, lesson, plan)
    model = page.build(base.model, plan)
    if start is not None:
        warm(model, start(_shape(base, base_path)))
    try:
        done = (
            loop.Trained(0, 0.0, (), 0)
            if plan.passes <= 0
            else loop.train(
                model,
                schedule,
                plan,
                folder / "checkpoint",
                report=report,
                check=check,
                before_step=pace.adapt,
                stopping=stopping,
            )
        )
    except (MemoryError, RuntimeError) as error:
        if not of_memory(error):
            raise
        raise TrainError(
            "Out of memory while learning.", "The next plan uses smaller batches."
        ) from error
    report("export", 0, 1)
    directory = folder / "candidate"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.json").unlink(missing_ok=True)
    write_gguf(directory / "adapter.gguf", page.matrices(model), _shape(base, base_path))
    with warnings.catch_warnings():
        # The base is one GGUF, so there is no config.json beside it for PEFT to look at.
        warnings.filterwarnings("ignore", message="Could not find a config file")
        model.save_pretrained(str(directory))
    (directory / "plan.toml").write_text(_toml(asdict(plan)), encoding="utf-8")
    report("check parity", 0, 1)
    same = parity(
        model,
        [item.ids[: item.answer] for item in schedule.facts[:PARITY_PROMPTS]],
        served(directory / "adapter.gguf"),
        served(None),
    )
    manifest = {
        "base_sha": base_sha,
        "adapter_sha": _sha(directory / "adapter.gguf"),
        "steps": done.steps,
        "seconds": round(done.seconds, 1),
        "loss": done.losses[-1] if done.losses else None,
        "parity": asdict(same),
    }
    (directory / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    del model, base
    gc.collect()
    return Fitted(directory, done.steps, done.seconds, done.losses, done.resumed_at, same, left_out)


def _schedule(base: Tokens, lesson: Lesson, plan: Plan) -> tuple[Schedule, int]:
    closed = [chat_item(base, q, a, "fact", LIMIT) for q, a in lesson.closed]
    context = [chat_item(base, q, a, "fact", LIMIT) for q, a in lesson.context]
    kept = [item for item in closed if item is not None]
    read = [item for item in context if item is not None]
    random.Random(plan.seed).shuffle(read)
    room = plan.context_share / (1 - plan.context_share) * sum(len(item.ids) for item in kept)
    for item in read:
        if room > 0 or not kept:
            kept.append(item)
            room -= len(item.ids)
    if not kept:
        raise TrainError("No practice item fits into the model's context.", "Use shorter notes.")
    rehearsal = [chat_item(base, q, a, "rehearsal", LIMIT) for q, a in lesson.rehearsal]
    replay: list[Item] = [item for item in rehearsal if item is not None]
    pieces = text_items(base, lesson.texts, TEXT_PIECE)
    random.Random(plan.seed).shuffle(pieces)
    replay += pieces[: max(1, len(replay))] if replay else pieces
    return (
        Schedule(
            tuple(kept),
            tuple(replay),
            plan.batch_size,
            plan.replay,
            plan.seed,
            _judged(base, lesson) if plan.preference > 0 else (),
            _taught(base, lesson) if plan.distil > 0 else {},
        ),
        sum(item is None for item in (*closed, *context)),
    )


def _judged(base: Tokens, lesson: Lesson) -> tuple[Item, ...]:
    found = [
        chat_item(base, prompt, answer, LIKED if liked else DISLIKED, LIMIT)
        for prompt, answer, liked in lesson.judged
    ]
    return tuple(item for item in found if item is not None)


def _taught(base: Tokens, lesson: Lesson) -> dict[Item, Item]:
    """Facts as they are practised → the same answers with the passage before the question."""
    found = {}
    for prompt, answer, shown in lesson.with_passage:
        plain = chat_item(base, prompt, answer, "fact", LIMIT)
        teacher = chat_item(base, shown, answer, "teacher", LIMIT)
        if plain is not None and teacher is not None:
            found[plain] = teacher
    return found


def _shape(base: TorchBase, path: Path) -> Shape:
    config = base.model.config
    heads = int(config.num_attention_heads)
    return Shape(
        architecture=_architecture(path),
        heads=heads,
        kv_heads=int(getattr(config, "num_key_value_heads", heads)),
    )


def _architecture(path: Path) -> str:
    import gguf

    field = gguf.GGUFReader(str(path)).get_field(gguf.Keys.General.ARCHITECTURE)
    if field is None:
        raise TrainError(f"{path.name} does not name its architecture.", "Use another model file.")
    return str(field.contents())


def _toml(values: dict[str, Any]) -> str:
    import tomlkit

    return tomlkit.dumps({k: list(v) if isinstance(v, tuple) else v for k, v in values.items()})


def _sha(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
