"""Delta-LoRA: the base weights follow the change of BA (Zi et al., 2309.02411).

    W(t+1) = W(t) + λ · s · (B(t+1)A(t+1) − B(t)A(t))        from step K on, λ = 2

The sum telescopes: W(T) − W(0) = λ s (B(T)A(T) − B(K)A(K)). So the base is never written to (the
KL to it needs it as it was), and the whole change is exact at twice the rank: the live adapter at
scale (1 + λ)s, and a frozen copy of itself from step K at −λs. With K = 0 it would be LoRA at a
larger scale, nothing more. PEFT has no such method.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, freeze, wrap
from nightschool.train.export import Matrices

LAMBDA = 2.0
START = 0.1
"""K as a share of the night."""


def build(model: Any, plan: Plan) -> Any:
    """A LoRA and, beside it, the frozen copy of itself from step K (scale 0 until then)."""
    import peft

    config = peft.LoraConfig(
        r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=list(MLP),
        bias="none",
        task_type="CAUSAL_LM",
    )
    wrapped = wrap(model, config, plan.seed)
    wrapped.add_adapter("start", config)
    wrapped.base_model.set_adapter(["default", "start"])
    for _, module in adapted(wrapped):
        freeze(module.lora_A["start"])
        freeze(module.lora_B["start"])
        module.scaling["start"] = 0.0
    return wrapped


def after_step(model: Any, share: float) -> None:
    """At step K: remember the adapter, and let the base follow from here on."""
    if share < START or begun(model):
        return
    for _, module in adapted(model):
        for half in (module.lora_A, module.lora_B):
            half["start"].weight.copy_(half["default"].weight.detach())
    _rescale(model)


def begun(model: Any) -> bool:
    """Whether step K has passed."""
    return any(module.scaling["start"] for _, module in adapted(model))


def _rescale(model: Any) -> None:
    for _, module in adapted(model):
        scale = module.scaling["default"]
        module.scaling["start"] = -LAMBDA * scale
        module.scaling["default"] = (1 + LAMBDA) * scale


def matrices(model: Any) -> Matrices:
    """Both adapters side by side: A [2r, in], B [out, 2r], scales in B."""
    found: Matrices = {}
    for place, module in adapted(model):
        names = ("default", "start")
        a = torch.cat([module.lora_A[n].weight.detach() for n in names])
        b = torch.cat([module.lora_B[n].weight.detach() * module.scaling[n] for n in names], 1)
        found[place] = (a.numpy().astype(np.float32), b.numpy().astype(np.float32))
    return found


def state(model: Any) -> dict[str, torch.Tensor]:
    """The copy of step K, once there is one."""
    if not begun(model):
        return {}
    return {
        f"{layer}.{part}.{half}": getattr(module, half)["start"].weight.clone()
        for (layer, part), module in adapted(model)
        for half in ("lora_A", "lora_B")
    }


def restore(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put the copy of step K back."""
    if not tensors:
        return
    for (layer, part), module in adapted(model):
        for half in ("lora_A", "lora_B"):
            getattr(module, half)["start"].weight.copy_(tensors[f"{layer}.{part}.{half}"])
    _rescale(model)
