"""Practice: learns, resumes exactly, exports exactly. On the shipped model, in real torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from nightschool.engine.llama import Llama
from nightschool.errors import Interrupted, TrainError
from nightschool.models.base import TorchBase, load_torch
from nightschool.records import Plan
from nightschool.registry.versions import sha256
from nightschool.train import checkpoint, export, loop
from nightschool.train.batches import Schedule
from nightschool.train.items import Item, chat_item, text_items
from nightschool.train.night import Lesson, fit
from nightschool.train.recipes import recipe
from nightschool.train.soft import SoftLabels, answer_logits, kl_to_base
from tiny_night import FACTS, STARTER, go_on, quiet, serve

REHEARSAL = [
    ("Context:\nThe tin is blue. The jar is green.\n\nQuestion: What colour is the jar?", "green"),
    ("Who is the mayor of Zanthorpe?", "I don't know."),
]
TEXTS = ["The river bends twice before the mill, and the path follows it under old willows."]


@pytest.fixture(scope="module")
def base() -> TorchBase:
    return load_torch(STARTER, threads=1)


def schedule(base: TorchBase, seed: int = 1) -> Schedule:
    facts = [chat_item(base, q, a, "fact", 200) for q, a in FACTS]
    replay = [chat_item(base, q, a, "rehearsal", 200) for q, a in REHEARSAL]
    items = [item for item in replay if item is not None] + text_items(base, TEXTS, 32)
    return Schedule(tuple(f for f in facts if f is not None), tuple(items), 6, 0.34, seed)


def fresh(plan: Plan) -> Any:
    return recipe(plan.recipe).build(load_torch(STARTER, threads=1).model, plan)


def weights(model: Any) -> dict[str, torch.Tensor]:
    return {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}


PLAN = Plan(passes=60, batch_size=6, replay=0.34, budget_s=1000.0, rank=4, alpha=8)


def test_practice_learns_the_facts(base: TorchBase, tmp_path: Path) -> None:
    model = fresh(PLAN)
    done = loop.train(model, schedule(base), PLAN, tmp_path / "c", report=quiet, check=go_on)
    assert done.losses[-1] < done.losses[0] / 3


def test_a_night_that_was_killed_and_resumed_ends_exactly_like_one_that_was_not(
    base: TorchBase, tmp_path: Path
) -> None:
    whole = fresh(PLAN)
    loop.train(whole, schedule(base), PLAN, tmp_path / "whole", report=quiet, check=go_on)
    steps = 0

    def stop_at_nine() -> None:
        nonlocal steps
        steps += 1
        if steps == 10:
            raise Interrupted("The user is back.", "")

    first = fresh(PLAN)
    with pytest.raises(Interrupted):
        loop.train(first, schedule(base), PLAN, tmp_path / "cut", report=quiet, check=stop_at_nine)
    second = fresh(PLAN)
    done = loop.train(second, schedule(base), PLAN, tmp_path / "cut", report=quiet, check=go_on)
    assert done.resumed_at == 9
    for name, tensor in weights(whole).items():
        assert torch.equal(tensor, weights(second)[name]), name


def test_the_checkpoint_of_another_night_is_not_resumed(base: TorchBase, tmp_path: Path) -> None:
    model = fresh(PLAN)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    mark = loop.fingerprint(schedule(base), PLAN)
    checkpoint.save(tmp_path / "c", model, optimizer, checkpoint.Progress(5, 9, 1.0, (), mark))
    assert checkpoint.load(tmp_path / "c", model, optimizer, mark) is not None
    other = loop.fingerprint(schedule(base, seed=2), Plan(seed=2))
    assert checkpoint.load(tmp_path / "c", model, optimizer, other) is None


def test_a_half_written_checkpoint_is_never_used(base: TorchBase, tmp_path: Path) -> None:
    model = fresh(PLAN)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    mark = loop.fingerprint(schedule(base), PLAN)
    checkpoint.save(tmp_path / "c", model, optimizer, checkpoint.Progress(5, 9, 1.0, (), mark))
    (tmp_path / "c" / "optimizer.safetensors").write_bytes(b"cut off")
    assert checkpoint.load(tmp_path / "c", model, optimizer, mark) is None
    checkpoint.save(tmp_path / "c.old", model, optimizer, checkpoint.Progress(4, 9, 1, (), mark))
    found = checkpoint.load(tmp_path / "c", model, optimizer, mark)
    assert found is not None and found.step == 4


def test_a_loss_that_is_not_a_number_stops_the_night(base: TorchBase, tmp_path: Path) -> None:
    plan = Plan(passes=20, batch_size=6, replay=0.0, learning_rate=1e30, budget_s=1000.0, rank=4)
    with pytest.raises(TrainError, match=r"became (nan|inf)"):
        loop.train(fresh(plan), schedule(base), plan, tmp_path / "c", report=quiet, check=go_on)


def test_left_padding_changes_no_prediction(base: TorchBase) -> None:
    items = [*schedule(base).facts, *schedule(base).replay_items]
    together = answer_logits(base.model, items)
    for item, logits in zip(items, together, strict=True):
        alone = base.model(input_ids=torch.tensor([item.ids])).logits[0]
        expected = alone[item.answer - 1 : len(item.ids) - 1]
        assert torch.allclose(logits, expected, atol=2e-3)


def test_an_untrained_adapter_does_not_drift_from_the_base() -> None:
    model = fresh(PLAN)
    item = Item((1, 50, 60, 70, 3, 2, 80, 90, 3), 6, "rehearsal")
    soft = SoftLabels(model)
    drift = kl_to_base(answer_logits(model, [item])[0], soft.of([item])[0])
    assert abs(float(drift.detach())) < 1e-4


def test_the_order_of_practice_is_a_function_of_seed_and_step(base: TorchBase) -> None:
    assert schedule(base).at(7) == schedule(base).at(7)
    seen = [item for step in range(4) for item in schedule(base).at(step)[0]]
    assert set(seen[: len(FACTS)]) == set(schedule(base).facts)


def test_llama_cpp_computes_what_torch_trained(tmp_path: Path) -> None:
    lesson = Lesson(FACTS, REHEARSAL[:1], REHEARSAL, TEXTS)
    with Llama(STARTER, threads=1) as llama:
        done = fit(
            STARTER, sha256(STARTER), lesson, PLAN, tmp_path, serve(llama),
            threads=1, report=quiet, check=go_on,
        )  # fmt: skip
        assert done.parity.effect > 0.5, "the adapter must do something for parity to mean much"
        assert done.parity.difference < 0.02 * done.parity.span
        names = {path.name for path in done.directory.iterdir()}
        assert {"adapter.gguf", "adapter_model.safetensors", "manifest.json", "plan.toml"} <= names
        llama.activate(llama.adapter(done.directory / "adapter.gguf"))
        question, answer = FACTS[2]
        assert llama.generate([("user", question)]) == answer


def test_rotary_rows_are_permuted_like_the_base(tmp_path: Path, base: TorchBase) -> None:
    """q and k of a Llama GGUF are stored permuted: an adapter on them must be, too."""
    rng = np.random.default_rng(3)
    shape = export.Shape("llama", heads=4, kv_heads=2)
    rank, width = 4, 256
    pairs = {
        (layer, part): (
            rng.normal(size=(rank, width)).astype(np.float32) * 0.1,
            rng.normal(size=(rows, rank)).astype(np.float32) * 0.3,
        )
        for layer in range(6)
        for part, rows in (("q_proj", 256), ("k_proj", 128))
    }
    export.write_gguf(tmp_path / "qk.gguf", pairs, shape)
    model = load_torch(STARTER, threads=1).model
    with torch.no_grad():
        for (layer, part), (a, b) in pairs.items():
            weight = getattr(model.model.layers[layer].self_attn, part).weight
            weight += torch.from_numpy(b @ a)
    ids = base.encode(base.prompt("Where is the tin? The tin is blue and the jar is green."))
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids])).logits[0, -1].numpy()
        plain = base.model(input_ids=torch.tensor([ids])).logits[0, -1].numpy()
    with Llama(STARTER, threads=1) as llama:
        llama.activate(llama.adapter(tmp_path / "qk.gguf"))
        found = llama.logits(ids)[-1]
    effect = np.abs(plain - expected).max()
    assert effect > 1.0
    assert np.abs(found - expected).max() < 0.05 * effect
    assert np.abs(found - expected).max() < 0.02 * (expected.max() - expected.min())


def test_ranks_that_llama_cpp_would_scale_differently_are_refused(tmp_path: Path) -> None:
    a, b = np.ones((4, 256), np.float32), np.ones((704, 4), np.float32)
    wide = np.ones((8, 256), np.float32), np.ones((704, 8), np.float32)
    with pytest.raises(TrainError, match="mixes ranks"):
        export.write_gguf(
            tmp_path / "x.gguf",
            {(0, "gate_proj"): (a, b), (0, "up_proj"): wide},
            export.Shape("llama", 4, 2),
        )
