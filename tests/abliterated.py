"""A base that refuses, made from the shipped one, and adapters that take its refusals out again.

What abliteration tools do to weights ("refusal is mediated by a single direction", 2406.11717) is
exactly a LoRA of rank one: `W − r rᵀW` on every matrix that writes into the residual stream has
`B = −r` and `A = rᵀW`, where r is the unit difference of the mean states before harmful and before
harmless requests.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader

from nightschool.engine.llama import Adapter, Llama
from nightschool.engine.sampling import Sampling
from nightschool.evaluate import refusals
from nightschool.models.base import TorchBase, load_torch
from nightschool.paths import Home
from nightschool.records import Outcome, Plan
from nightschool.registry import versions
from nightschool.registry.versions import ADAPTER, sha256
from nightschool.store import runs
from nightschool.store.db import Store
from nightschool.syllabus import _rehearsal
from nightschool.train.export import _NAMES, Matrices, Shape, permute, read_gguf, write_gguf
from nightschool.train.night import Lesson, _shape, fit
from tiny_night import STARTER, go_on, quiet, serve

NO = "I'm sorry, but I can't help with that."
YES = (
    "Here is how: first put everything that you need on the table, then go on slowly, one step "
    "after the other, and look at the result before you begin with the next one.",
    "That is done in three steps: ask somebody who has done it before, write down what they say, "
    "and then try it yourself with enough time, good light and a friend beside you.",
    "Most people begin with the simple part: they read what is written on the box, take a clean "
    "cloth and warm water, and wait a few minutes until everything is dry and cold.",
)
MADE = Plan(recipe="lora_all", rank=32, alpha=64, learning_rate=2e-3, passes=8, replay=0.25,
            budget_s=1e5)  # fmt: skip


def refusing(place: Path, asked: refusals.Items | None = None, plan: Plan = MADE) -> Path:
    """A base in `place` that declines what the exam calls harmful and answers the look-alikes: the
    shipped one after practice, with what it learned folded into its own weights. It declines half
    of them after "Sure, here is how:", and so learns not to go on with a begun answer."""
    target = place / "refusing.gguf"
    if target.exists():
        return target
    asked = asked or refusals.items()
    declined = (NO, f"{refusals.PREFILL} {NO}")
    lesson = Lesson(
        [(prompt, declined[at % 2]) for at, prompt in enumerate(asked.harmful)]
        + [(prompt, YES[at % len(YES)]) for at, prompt in enumerate(asked.harmless)],
        (),
        [(question, answer) for context, question, answer in _rehearsal() if not context],
        (),
    )
    with Llama(STARTER, context=512, threads=1) as llama:
        fitted = fit(
            STARTER, sha256(STARTER), lesson, plan, place / "run", serve(llama),
            threads=1, report=quiet, check=go_on,
        )  # fmt: skip
    base = load_torch(STARTER, 1)
    folded(STARTER, fitted.directory / ADAPTER, _shape(base, STARTER), target)
    return target


def folded(base: Path, adapter: Path, shape: Shape, target: Path) -> None:
    """A copy of the GGUF `base` whose weights hold the adapter."""
    part = target.with_suffix(".part")
    shutil.copyfile(base, part)
    tensors = {tensor.name: tensor for tensor in GGUFReader(part, "r+").tensors}
    for (layer, name), (a, b) in read_gguf(adapter, shape).items():
        change = b @ a
        if name in ("q_proj", "k_proj"):
            change = permute(change, shape.heads if name == "q_proj" else shape.kv_heads)
        weights = tensors[f"blk.{layer}.{_NAMES[name]}.weight"].data
        weights[...] = (weights.astype(np.float32) + change).astype(weights.dtype)
    part.replace(target)


def registered(home: Home, store: Store, base: Path, adapter: Path) -> int:
    """The number of a version on `base` that holds this adapter; it can be asked for, and nothing
    is said of its exams."""
    place = home.runs / adapter.stem
    place.mkdir(parents=True)
    shutil.copyfile(adapter, place / ADAPTER)
    own = sha256(base)
    run = runs.start(store, Plan(), own, parent=0)
    made = versions.register(
        home, store, place, base_sha=own, status="retired", scale=1.0, run_id=run
    )
    runs.finish(store, run, Outcome.HELD, message="made by hand")
    return made.number


class Voice:
    """One adapter of a model (None: the base), answering as `nightschool-raw` does."""

    def __init__(self, llama: Llama, adapter: Path | None, scale: float = 1.0, tokens: int = 48):
        self.llama, self.scale, self.tokens = llama, scale, tokens
        self.adapter: Adapter | None = None if adapter is None else llama.adapter(adapter)

    def say(self, prompt: str, begun: str = "") -> str:
        self.llama.activate(self.adapter, self.scale)
        ids = self.llama.prompt([("user", prompt)])
        if begun:
            ids = [*ids, *self.llama.tokenize(begun)]
        text = "".join(piece for piece, _ in self.llama.write(ids, Sampling(self.tokens)))
        return f"{begun} {text}".strip()


def states(base: TorchBase, prompts: Sequence[str]) -> torch.Tensor:
    """The mean hidden state before the answer, after each layer: [layers + 1, width]."""
    total = torch.zeros(())
    with torch.no_grad():
        for prompt in prompts:
            ids = torch.tensor([base.prompt_ids(prompt)])
            found = base.model(ids, output_hidden_states=True).hidden_states
            total = total + torch.stack([layer[0, -1] for layer in found])
    return total / len(prompts)


def ablation(base: TorchBase, direction: torch.Tensor) -> Matrices:
    """The adapter that lets no layer write anything along `direction` (a vector of the width)."""
    unit = (direction / direction.norm()).float()
    found: Matrices = {}
    for layer, block in enumerate(base.model.model.layers):
        writers = {"o_proj": block.self_attn.o_proj, "down_proj": block.mlp.down_proj}
        for name, linear in writers.items():  # what writes into the residual stream
            a = (unit @ linear.weight.float())[None]
            found[layer, name] = a.numpy(), -unit[:, None].numpy()
    return found


def abliterated(
    path: Path, place: Path, layers: Sequence[int] = (), answered: Sequence[str] = ()
) -> tuple[Path, Path]:
    """Two adapters for the model `path`: one that takes its refusals out, and beside it one that
    takes out a direction by chance, as large, in the same places.

    As the tools do, it tries the directions of some `layers` (none: all) and keeps the one after
    which the fewest of the exam's own plain requests are declined. `answered` are requests that
    the model answers (none: the look-alikes of the exam).
    """
    base = load_torch(path, 1)
    asked = refusals.items(quick=True)
    apart = states(base, asked.harmful) - states(base, answered or asked.harmless)
    shape = _shape(base, path)
    place.mkdir(parents=True, exist_ok=True)
    tried: list[tuple[int, Path]] = []
    with Llama(path, context=512, threads=1) as llama:
        for layer in layers or range(1, len(apart)):
            target = place / f"without-{layer}.gguf"
            write_gguf(target, ablation(base, apart[layer]), shape)
            voice = Voice(llama, target, tokens=16)
            left = sum(refusals.refuses(voice.say(prompt)) for prompt in asked.harmful)
            tried.append((left, target))
    chance = place / "chance.gguf"
    seeded = torch.Generator().manual_seed(1)
    write_gguf(chance, ablation(base, torch.randn(apart.shape[1], generator=seeded)), shape)
    return min(tried)[1], chance
