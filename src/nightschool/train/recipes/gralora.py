"""GraLoRA: k × k blocks, each with its own small LoRA (Jung et al., 2505.20355).

As many parameters as LoRA of the same rank, but the whole has up to k times the rank, and a spike
in some inputs stays in its own blocks. Laid out as one plain LoRA of rank k·r it is exact: row
(n, j, s) of A reads block n of the input, column (n, j, s) of B writes block j of the output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nightschool.errors import UsageError
from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, wrap
from nightschool.train.export import Matrices

BLOCKS = 2
"""k; 2 is the authors' advice up to rank 32."""


def build(model: Any, plan: Plan) -> Any:
    """Rank `plan.rank` in `BLOCKS` × `BLOCKS` blocks. Raises UsageError for an odd rank."""
    import peft

    if plan.rank % BLOCKS:
        raise UsageError(
            f"GraLoRA needs a rank that {BLOCKS} divides, not {plan.rank}.", "Choose an even rank."
        )
    config = peft.GraloraConfig(
        r=plan.rank,
        alpha=plan.alpha,
        gralora_k=BLOCKS,
        target_modules=list(MLP),
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


def matrices(model: Any) -> Matrices:
    """A [k·r, in] and B [out, k·r], with the blocks where they belong and zeros elsewhere."""
    found: Matrices = {}
    for place, module in adapted(model):
        k, r = module.gralora_k["default"], module.r["default"]
        small = module.gralora_A["default"].detach()  # [k, in/k, r]
        large = module.gralora_B["default"].detach() * module.scaling["default"]  # [k, r, out/k]
        wide, tall, part = small.shape[1], large.shape[2], r // k
        a = torch.zeros(k, k, part, k, wide)
        b = torch.zeros(k, tall, k, k, part)
        for n in range(k):
            for j in range(k):
                a[n, j, :, n] = small[n, :, j * part : (j + 1) * part].T
                b[j, :, n, j] = large[j, n * part : (n + 1) * part].T
        found[place] = (
            a.reshape(k * r, k * wide).numpy().astype(np.float32),
            b.reshape(k * tall, k * r).numpy().astype(np.float32),
        )
    return found
