"""Plain LoRA with the fewest passes over memory that its arithmetic needs.

    y = x Wᵀ + s (x Aᵀ) Bᵀ

PEFT computes the two terms apart, scales one and adds them: three passes over an output as large as
the layer's, and as many backwards. Here the second product is accumulated into the first, forwards
and backwards; W gets no gradient, and x only where something below learns. Where gate, up and down
of an MLP all carry such an adapter, the three are one function: gate and up are one product. The
numbers are the same but for the order of rounding; `prepare` looks at them before it stays.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.nn.functional import silu

TOLERANCE = 1e-4
"""Largest difference of an MLP's output, as a share of its range, that is rounding."""
PARTS = ("gate_proj", "up_proj", "down_proj")


class Product(torch.autograd.Function):
    """`x` [..., in], `weight` [out, in], `bias` [out] or None, `a` [r, in], `b` [out, r]."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        low = flat @ a.T
        out = flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)
        out.addmm_(low, b.T, alpha=scale)
        ctx.save_for_backward(flat, weight, a, b, low)
        ctx.scale, ctx.shape = scale, x.shape
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, weight, a, b, low = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        of_x = of_a = of_b = None
        narrow = (grad @ b).mul_(ctx.scale)
        if ctx.needs_input_grad[0]:
            of_x = (grad @ weight).addmm_(narrow, a).view(ctx.shape)
        if ctx.needs_input_grad[3]:
            of_a = narrow.T @ flat
        if ctx.needs_input_grad[4]:
            of_b = (grad.T @ low).mul_(ctx.scale)
        return of_x, None, None, of_a, of_b, None


class Gated(torch.autograd.Function):
    """down(silu(gate(x)) · up(x)). `x` [..., d], `wide` [2m, d] are gate's rows and then up's,
    `down` [d, m]; each `a` [r, in], `b` [out, r], `scales` for gate, up and down."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        wide: torch.Tensor,
        down: torch.Tensor,
        scales: tuple[float, float, float],
        a_gate: torch.Tensor,
        b_gate: torch.Tensor,
        a_up: torch.Tensor,
        b_up: torch.Tensor,
        a_down: torch.Tensor,
        b_down: torch.Tensor,
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        half, rank = len(wide) // 2, len(a_gate)
        narrow = torch.cat((a_gate, a_up))
        low = flat @ narrow.T
        both = flat @ wide.T
        gate, up = both[:, :half], both[:, half:]
        gate.addmm_(low[:, :rank], b_gate.T, alpha=scales[0])
        up.addmm_(low[:, rank:], b_up.T, alpha=scales[1])
        open_ = silu(gate)
        inner = open_ * up
        low_down = inner @ a_down.T
        out = (inner @ down.T).addmm_(low_down, b_down.T, alpha=scales[2])
        ctx.save_for_backward(
            flat, wide, down, narrow, b_gate, b_up, a_down, b_down,
            low, both, open_, inner, low_down,
        )  # fmt: skip
        ctx.scales, ctx.shape, ctx.rank = scales, x.shape, rank
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (flat, wide, down, narrow, b_gate, b_up, a_down, b_down,
         low, both, open_, inner, low_down) = ctx.saved_tensors  # fmt: skip
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        half, rank = len(wide) // 2, ctx.rank
        gate, up = both[:, :half], both[:, half:]
        back = (grad @ b_down).mul_(ctx.scales[2])
        of_inner = (grad @ down).addmm_(back, a_down)
        of_both = torch.empty_like(both)
        of_gate, of_up = of_both[:, :half], of_both[:, half:]
        torch.mul(of_inner, open_, out=of_up)
        of_gate.copy_(torch.ops.aten.silu_backward(of_inner.mul_(up), gate))
        back_wide = torch.cat(
            ((of_gate @ b_gate).mul_(ctx.scales[0]), (of_up @ b_up).mul_(ctx.scales[1])), 1
        )
        of_x = None
        if ctx.needs_input_grad[0]:
            of_x = (of_both @ wide).addmm_(back_wide, narrow).view(ctx.shape)
        of_narrow = back_wide.T @ flat
        return (
            of_x,
            None,
            None,
            None,
            of_narrow[:rank],
            (of_gate.T @ low[:, :rank]).mul_(ctx.scales[0]),
            of_narrow[rank:],
            (of_up.T @ low[:, rank:]).mul_(ctx.scales[1]),
            back.T @ inner,
            (grad.T @ low_down).mul_(ctx.scales[2]),
        )


def prepare(model: Any) -> int:
    """Use the above for every layer of a PeftModel that it fits; how many there are."""
    from peft.tuners.lora import Linear

    count = 0
    for module in model.modules():
        if type(module) is Linear and type(module.base_layer) is torch.nn.Linear:
            module.forward = types.MethodType(_linear, module)
            count += 1
    for module in list(model.modules()):
        parts: list[Any] = [getattr(module, part, None) for part in PARTS]
        if all(type(part) is Linear and _simple(part.base_layer) for part in parts):
            _join(module)
    return count


def _simple(layer: Any) -> bool:
    return type(layer) is torch.nn.Linear and layer.bias is None


def _join(mlp: Any) -> None:
    """Let gate and up share one matrix, and the MLP be one function, if that gives the same."""
    gate, up = (getattr(mlp, part).base_layer for part in PARTS[:2])
    if gate.weight.shape != up.weight.shape or gate.weight.requires_grad:
        return
    probe = torch.linspace(-1, 1, 2 * gate.in_features, dtype=gate.weight.dtype)
    probe = probe.view(1, 2, -1).sin()
    with torch.no_grad():
        before = mlp(probe)
        wide = torch.cat((gate.weight, up.weight))
        # Views of it, so that nothing is held twice.
        gate.weight.data, up.weight.data = wide.chunk(2)
        mlp.forward = types.MethodType(_mlp, mlp)
        mlp.__dict__["wide"] = wide
        off = (mlp(probe) - before).abs().max() / (before.max() - before.min()).clamp(min=1e-9)
    if not off <= TOLERANCE:
        del mlp.forward, mlp.__dict__["wide"]


def _adapter(module: Any, x: torch.Tensor) -> str:
    """The name of the one plain LoRA that is active on a layer; empty where there is more to it:
    two adapters or none, dropout, a variant, a merge, a bias, another type."""
    names = [name for name in module.active_adapters if name in module.lora_A]
    if len(names) != 1 or module.disable_adapters or module.merged:
        return ""
    (name,) = names
    plain = (
        name not in module.lora_variant
        and isinstance(module.lora_dropout[name], torch.nn.Identity)
        and module.lora_B[name].bias is None
        and x.dtype == module.lora_A[name].weight.dtype == module.base_layer.weight.dtype
    )
    return name if plain else ""


def _linear(module: Any, x: torch.Tensor, *given: Any, **named: Any) -> torch.Tensor:
    name = "" if given or named else _adapter(module, x)
    if not name:
        found: torch.Tensor = type(module).forward(module, x, *given, **named)
        return found
    made: torch.Tensor = Product.apply(  # type: ignore[no-untyped-call]
        x,
        module.base_layer.weight,
        module.base_layer.bias,
        module.lora_A[name].weight,
        module.lora_B[name].weight,
        module.scaling[name],
    )
    return made


def _mlp(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    parts = [getattr(mlp, part) for part in PARTS]
    names = [_adapter(part, x) for part in parts]
    held = [part.lora_A[name].weight for part, name in zip(parts, names, strict=True) if name]
    if len(held) < len(parts) or not all(a.requires_grad for a in held):
        found: torch.Tensor = type(mlp).forward(mlp, x)
        return found
    adapters = [
        half[name].weight
        for part, name in zip(parts, names, strict=True)
        for half in (part.lora_A, part.lora_B)
    ]
    scales = tuple(part.scaling[name] for part, name in zip(parts, names, strict=True))
    made: torch.Tensor = Gated.apply(  # type: ignore[no-untyped-call]
        x, mlp.wide, parts[2].base_layer.weight, scales, *adapters
    )
    return made
