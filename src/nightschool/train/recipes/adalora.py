"""AdaLoRA: the rank goes where it helps (Zhang et al., 2303.10512).

Each adapter is B·diag(E)·A; during the middle of the night the least important singular values,
by smoothed sensitivity, are set to zero until the mean rank is the plan's. A and B are kept near
orthogonal by a penalty. The export folds E into A; the ranks that were cut are rows of zeros, so
the file keeps one rank and is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, wrap
from nightschool.train.export import Matrices

RATE = 2.0
STEPS = 1000
"""PEFT's rank schedule counts steps; a night counts its share, in thousandths."""
BEGIN, END = 100, 600
ORTHOGONAL = 0.1


def build(model: Any, plan: Plan) -> Any:
    """Start at 1.5 times the rank, end at the plan's on average."""
    import peft

    config = peft.AdaLoraConfig(
        init_r=plan.rank + plan.rank // 2,
        target_r=plan.rank,
        lora_alpha=plan.alpha,
        target_modules=list(MLP),
        tinit=BEGIN,
        tfinal=STEPS - END,
        deltaT=1,
        total_step=STEPS,
        orth_reg_weight=ORTHOGONAL,
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


def penalty(model: Any) -> torch.Tensor:
    """Mean ‖PPᵀ − I‖ over A and Bᵀ; PEFT adds it only to a loss that it computes itself."""
    total, count = torch.zeros(()), 0
    for _, module in adapted(model):
        for p in (module.lora_A["default"], module.lora_B["default"].T):
            total = total + torch.linalg.norm(p @ p.T - torch.eye(len(p)))
            count += 1
    return ORTHOGONAL * total / max(count, 1)


def after_step(model: Any, share: float) -> None:
    """Cut ranks by the schedule; the last cut is made exactly once and then kept."""
    step = round(share * STEPS)
    done = model.base_model.peft_config["default"].rank_pattern
    if step < END or model.base_model.rankallocator.ipt:
        step = min(step, END)
    elif done:
        step = max(step, END + 1)
    model.base_model.update_and_allocate(step)


def matrices(model: Any) -> Matrices:
    """A [r, in] with E and the scale folded in, B [out, r]."""
    found: Matrices = {}
    for place, module in adapted(model):
        scale = module.scaling["default"] / (float(module.ranknum["default"]) + 1e-5)
        a = module.lora_A["default"] * module.lora_E["default"] * scale
        found[place] = (
            a.detach().numpy().astype(np.float32),
            module.lora_B["default"].detach().numpy().astype(np.float32),
        )
    return found


def state(model: Any) -> dict[str, torch.Tensor]:
    """The smoothed importance of every weight, and which ranks are kept."""
    allocator = model.base_model.rankallocator
    kept = model.base_model.peft_config["default"].rank_pattern or {}
    found = {f"kept/{name}": torch.tensor(mask) for name, mask in kept.items()}
    for field in ("ipt", "exp_avg_ipt", "exp_avg_unc"):
        found |= {f"{field}/{name}": t.clone() for name, t in getattr(allocator, field).items()}
    return found


def restore(model: Any, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put importance and kept ranks back."""
    allocator = model.base_model.rankallocator
    kept: dict[str, list[bool]] = {}
    for key, tensor in tensors.items():
        field, name = key.split("/", 1)
        if field == "kept":
            kept[name] = tensor.tolist()
        else:
            getattr(allocator, field)[name] = tensor.clone()
    model.base_model.peft_config["default"].rank_pattern = kept or {}
