"""Attention and norms of a frozen model, there and back, with few passes over memory.

What transformers computes in a dozen small steps a layer is one function each here: queries, keys
and values are one product; the rotation by position (RoPE, Su et al., 2104.09864, in the
half-split form of Llama) touches each number three times, and its gradient is the rotation back;
RMSNorm (Zhang and Sennrich, 1910.07467) keeps its normalised input and nothing else. It is used
where attention is plain (four projections without adapters, no norm of its own), for packed rows
alone, and only after the model's scores were seen to stay what they were.
"""

from __future__ import annotations

import types
from typing import Any

import torch

from nightschool.train import packed

PARTS = ("q_proj", "k_proj", "v_proj", "o_proj")
TOLERANCE = 1e-5


class Turn(torch.autograd.Function):
    """`both` [tokens, (queries + 2 · keys) · d] → queries, keys (both turned) and values, each
    [tokens, heads, d]; `cos` and `sin` [tokens, d]."""

    @staticmethod
    def forward(
        ctx: Any, both: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, queries: int, keys: int
    ) -> tuple[torch.Tensor, ...]:
        cos, sin = cos[:, None], sin[:, None]
        ctx.save_for_backward(cos, sin)
        ctx.heads = [queries, keys, keys]
        q, k, v = torch.split(both.view(len(both), -1, cos.shape[-1]), ctx.heads, 1)
        return _turned(q, cos, sin), _turned(k, cos, sin), v.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        found = grads[0].new_empty(len(cos), sum(ctx.heads), cos.shape[-1])
        q, k, v = torch.split(found, ctx.heads, 1)
        half = cos.shape[-1] // 2
        back = torch.cat((-sin[..., half:], -sin[..., :half]), -1)
        q.copy_(_turned(grads[0], cos, back))
        k.copy_(_turned(grads[1], cos, back))
        v.copy_(grads[2])
        return found.view(len(cos), -1), None, None, None, None


def _turned(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-1)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:])
    return out


class Norm(torch.autograd.Function):
    """RMSNorm over the last dimension; `weight` [d] is frozen."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, eps: float) -> torch.Tensor:
        rate = torch.rsqrt(x.square().mean(-1, keepdim=True) + eps)
        even = x * rate
        ctx.save_for_backward(even, rate, weight)
        return even * weight

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        even, rate, weight = ctx.saved_tensors
        grad = grads[0] * weight
        along = (grad * even).mean(-1, keepdim=True)
        return grad.addcmul_(even, along, value=-1).mul_(rate), None, None


def prepare(model: Any) -> int:
    """Use the above in every layer of a PeftModel that it fits; how many attentions there are."""
    if not packed.packs(model):
        return 0
    count = 0
    for module in model.modules():
        if _is_norm(module):
            module.forward = types.MethodType(_norm, module)
    attentions = [module for module in model.modules() if _is_plain(module)]
    with torch.no_grad():
        before = packed.predictions(model, packed.PROBE)
        for module in attentions:
            _join(module)
            count += 1
        after = packed.predictions(model, packed.PROBE)
    if packed.difference(before, after) <= packed.TOLERANCE:
        return count
    for module in attentions:
        del module.forward, module.__dict__["wide"]
    return 0


def _is_plain(module: Any) -> bool:
    """Four projections without adapter or bias and nothing else, heads of one size."""
    children = dict(module.named_children())
    return (
        set(children) == set(PARTS)
        and all(map(_is_bare, children.values()))
        and hasattr(module, "scaling")
        and hasattr(module, "head_dim")
    )


def _is_bare(layer: Any) -> bool:
    frozen = type(layer) is torch.nn.Linear and not layer.weight.requires_grad
    return frozen and layer.bias is None


def _join(attention: Any) -> None:
    """Let queries, keys and values share one matrix, of which their weights are views."""
    parts = [getattr(attention, part) for part in PARTS[:3]]
    sizes = [len(part.weight) for part in parts]
    wide = torch.cat([part.weight for part in parts])
    for part, rows in zip(parts, torch.split(wide, sizes), strict=True):
        part.weight.data = rows
    attention.__dict__["wide"] = wide
    attention.forward = types.MethodType(_attend, attention)


def _attend(
    module: Any,
    hidden_states: torch.Tensor,
    position_embeddings: tuple[torch.Tensor, torch.Tensor] | None = None,
    attention_mask: torch.Tensor | None = None,
    past_key_values: Any = None,
    blocks: packed.Blocks = (),
    **named: Any,
) -> Any:
    size = module.head_dim
    if position_embeddings is None or position_embeddings[0].shape[-1] != size or not blocks:
        return type(module).forward(
            module, hidden_states, position_embeddings=position_embeddings,
            attention_mask=attention_mask, past_key_values=past_key_values,
            **({"blocks": blocks} if blocks else {}), **named,
        )  # fmt: skip
    cos, sin = position_embeddings
    queries, keys = (len(getattr(module, part).weight) // size for part in PARTS[:2])
    both = hidden_states[0] @ module.wide.T
    turned: Any = Turn.apply(both, cos[0], sin[0], queries, keys)  # type: ignore[no-untyped-call]
    q, k, v = (part.transpose(0, 1)[None] for part in turned)
    dropout = float(getattr(module, "attention_dropout", 0.0)) if module.training else 0.0
    made, _ = packed.attention(module, q, k, v, None, dropout, module.scaling, blocks)
    return module.o_proj(made.flatten(2)), None


def _is_norm(module: Any) -> bool:
    """An RMSNorm with a frozen weight, by what it computes and not by its name alone."""
    weight = getattr(module, "weight", None)
    if not type(module).__name__.endswith("RMSNorm") or not hasattr(module, "variance_epsilon"):
        return False
    if not isinstance(weight, torch.Tensor) or weight.requires_grad:
        return False
    probe = torch.linspace(-2, 3, 2 * len(weight), dtype=weight.dtype).view(1, 2, -1)
    with torch.no_grad():
        ours = Norm.apply(probe, weight, module.variance_epsilon)  # type: ignore[no-untyped-call]
        return bool(torch.allclose(module(probe), ours, rtol=TOLERANCE, atol=TOLERANCE))


def _norm(module: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    made: torch.Tensor = Norm.apply(  # type: ignore[no-untyped-call]
        hidden_states, module.weight, module.variance_epsilon
    )
    return made
