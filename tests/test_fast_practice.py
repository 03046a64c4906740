"""Practice in one packed pass: the same losses and gradients as item by item, only sooner."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from nightschool.models.base import TorchBase
from nightschool.records import Plan
from nightschool.train import lean, loop, packed, rotary
from nightschool.train.batches import Schedule
from nightschool.train.distil import Distillation
from nightschool.train.items import Item, chat_item, text_items
from nightschool.train.preference import Preferences
from nightschool.train.recipes import recipe
from nightschool.train.soft import SoftLabels, answer_logits
from tiny_night import FACTS, loaded

LONG = (
    "Context:\n" + "The willow by the mill was cut in spring. " * 9 + "\n\nQuestion: What was cut?"
)
PROSE = ["The river bends twice before the mill, and the path follows it under old willows." * 3]


@pytest.fixture(scope="module")
def base() -> TorchBase:
    return loaded()


def batch(base: TorchBase) -> list[Item]:
    asked = [*FACTS, (LONG, "the willow"), ("Who?", "I don't know.")]
    found = [chat_item(base, q, a, "fact", 300) for q, a in asked]
    return [item for item in found if item is not None]


def alone(model: Any, item: Item) -> torch.Tensor:
    """What the model says by transformers' own attention, one item at a time."""
    packs = model.config._attn_implementation
    model.config._attn_implementation = "eager"
    try:
        logits = model(input_ids=torch.tensor([item.ids])).logits[0]
    finally:
        model.config._attn_implementation = packs
    found: torch.Tensor = logits[item.answer - 1 : len(item.ids) - 1]
    return found


def trained(base: TorchBase, name: str = "lora") -> Any:
    """A model whose adapter is far from zero, so that its part of every sum is seen."""
    model = recipe(name).build(copy.deepcopy(base.model), Plan(recipe=name, rank=4, alpha=8))
    torch.manual_seed(5)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data += 0.05 * torch.randn_like(parameter)
    return model.train()


@pytest.mark.parametrize("name", ["lora", "lora_all", "lora_fa", "delta_lora", "gralora"])
def test_packed_items_are_predicted_as_each_one_alone(base: TorchBase, name: str) -> None:
    model, items = trained(base, name), batch(base)
    assert packed.packs(model)
    for item, logits in zip(items, answer_logits(model, items), strict=True):
        assert torch.allclose(logits, alone(model, item), atol=2e-3)
    with model.disable_adapter():
        for item, logits in zip(items, answer_logits(model, items), strict=True):
            assert torch.allclose(logits, alone(base.model, item), atol=2e-3)


def test_a_step_in_one_pass_has_the_loss_and_the_gradients_of_its_definition(
    base: TorchBase,
) -> None:
    model, facts = trained(base), batch(base)
    rehearsal = chat_item(base, "Who is the mayor of Zanthorpe?", "I don't know.", "rehearsal", 99)
    assert rehearsal is not None
    replay = [rehearsal, *text_items(base, PROSE, 32)]
    plan = Plan(kl=2.0, kl_text=4.0)
    schedule = Schedule(tuple(facts), tuple(replay), len(facts) + len(replay), 0.4, 1)
    facts, replay = schedule.at(0)
    assert {item.group for item in replay} == {"rehearsal", "text"}

    soft = SoftLabels(model)
    besides = loop.Besides(Preferences(model), Distillation(model, {}, soft))
    ours = loop._loss(model, schedule, plan, soft, besides, 0)
    ours.backward()  # type: ignore[no-untyped-call]
    found = gradients(model)

    theirs = definition(model, base.model, facts, replay, plan)
    theirs.backward()  # type: ignore[no-untyped-call]
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-4)
    for name, gradient in gradients(model).items():
        size = float(gradient.norm())
        assert size > 0
        assert float((gradient - found[name]).norm()) < 2e-3 * size, name


def definition(
    model: Any, base: Any, facts: list[Item], replay: list[Item], plan: Plan
) -> torch.Tensor:
    """The loss as `train.loop` states it, item by item, by PEFT's and transformers' own code."""
    for module in model.modules():
        module.__dict__.pop("forward", None)
    losses = [
        torch.nn.functional.cross_entropy(
            alone(model, item), torch.tensor(item.ids[item.answer :]), reduction="sum"
        )
        for item in facts
    ]
    total = sum(losses) / sum(len(item.ids) - item.answer for item in facts)
    soft = SoftLabels(model)
    texts = [item for item in replay if item.group == "text"]
    for item in replay:
        label = soft.of([item])[0]
        with torch.no_grad():
            top = alone(base, item).log_softmax(-1).topk(64, -1)
        assert torch.equal(top.indices, label[0])
        student = alone(model, item).log_softmax(-1).gather(-1, top.indices)
        rest = [(1 - p.exp().sum(-1)).clamp(min=1e-6).log() for p in (top.values, student)]
        drift = (top.values.exp() * (top.values - student)).sum() + (
            rest[0].exp() * (rest[0] - rest[1])
        ).sum()
        if item.group == "text":
            total = total + plan.kl_text * drift / sum(len(t.ids) - t.answer for t in texts)
        else:
            total = total + plan.kl * drift / (len(replay) - len(texts))
    found: torch.Tensor = total
    return found


def gradients(model: Any) -> dict[str, torch.Tensor]:
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def drawn(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def exact(function: Any, *given: Any) -> bool:
    """Whether its gradients are those of finite differences, in double precision."""
    return bool(torch.autograd.gradcheck(function.apply, given))


def test_the_short_functions_are_used_and_their_gradients_are_exact(base: TorchBase) -> None:
    layers = trained(base).get_base_model().model.layers
    assert all("wide" in part.__dict__ for layer in layers for part in (layer.mlp, layer.self_attn))
    assert all("forward" in layer.input_layernorm.__dict__ for layer in layers)
    torch.manual_seed(0)
    halves = [drawn(*s).requires_grad_() for s in ((2, 5), (4, 2), (2, 5), (4, 2), (2, 4), (5, 2))]
    x = drawn(2, 3, 5).requires_grad_()
    assert exact(lean.Gated, x, drawn(8, 5), drawn(5, 4), (1.3, 0.7, 2.0), *halves)
    assert exact(lean.Product, x, drawn(4, 5), None, *halves[:2], 1.7)
    assert exact(rotary.Norm, x, drawn(5), 1e-5)
    assert exact(rotary.Turn, drawn(3, 16).requires_grad_(), drawn(3, 4), drawn(3, 4), 2, 1)


def test_attention_with_more_to_it_keeps_its_own_way() -> None:
    """Qwen3 has norms on queries and keys: packed it is right, and it is not taken for Llama's."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(1)
    config = Qwen3Config(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=8, vocab_size=64,
    )  # fmt: skip
    plain = Qwen3ForCausalLM(config).eval().requires_grad_(False)
    model = recipe("lora").build(copy.deepcopy(plain), Plan(rank=4, alpha=8))
    assert packed.packs(model)
    assert not any("wide" in m.__dict__ for m in model.modules() if hasattr(m, "q_norm"))
    items = [Item(tuple(range(3, 3 + n)), 3) for n in (9, 17)]
    for item, logits in zip(items, answer_logits(model, items), strict=True):
        assert torch.allclose(logits, alone(plain, item), atol=1e-4)


def test_blocks_cost_less_than_one_padded_batch_and_hold_every_item() -> None:
    lengths = sorted([20, 21, 22, 25, 26, 180, 190, 64, 64, 64])
    found = packed.blocks(lengths)
    assert sum(count for count, _ in found) == len(lengths)
    assert sum(count * length for count, length in found) < 1.1 * sum(lengths)
    assert len(found) <= 5
    assert packed.blocks([7]) == ((1, 7),)


def test_a_model_that_the_packing_does_not_fit_is_left_as_it_is(
    base: TorchBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Attention that sees past its block is noticed by its numbers."""
    model = copy.deepcopy(base.model)
    before = model.config._attn_implementation

    def leaky(*given: Any, blocks: Any = (), **named: Any) -> Any:
        return honest(*given, **named)

    honest = packed.attention
    monkeypatch.setattr(packed, "attention", leaky)
    assert not packed.prepare(model)
    assert model.config._attn_implementation == before
    items = batch(base)
    for item, logits in zip(items, answer_logits(model, items), strict=True):
        assert torch.allclose(logits, alone(base.model, item), atol=2e-3)


def test_layers_with_more_than_plain_lora_keep_their_own_way(base: TorchBase) -> None:
    model = recipe("dora").build(copy.deepcopy(base.model), Plan(recipe="dora", rank=4, alpha=8))
    assert lean.prepare(model) > 0
    items = batch(base)
    for item, logits in zip(items, answer_logits(model, items), strict=True):
        assert torch.allclose(logits, alone(model, item), atol=2e-3)
