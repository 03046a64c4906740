"""VeRA: frozen random A and B shared by all layers, only two vectors a layer learn (2310.11454).

The smallest adapter that still teaches anything (a few thousand numbers). Exact as plain LoRA of
its own rank: A′ = diag(d) A, B′ = diag(b) B; the file is then as large as that rank, because
GGUF has no way to share matrices between layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, wrap
from nightschool.train.export import Matrices

RATE = 10.0
"""The authors train the vectors ten times as fast as LoRA's matrices."""
TIMES = 4
"""Rank in multiples of the plan's: random directions need more of them."""


def build(model: Any, plan: Plan) -> Any:
    """VeRA of `TIMES` the plan's rank; b starts at zero, so it changes nothing."""
    import peft

    config = peft.VeraConfig(
        r=TIMES * plan.rank,
        target_modules=list(MLP),
        projection_prng_key=plan.seed,
        d_initial=0.1,
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


def matrices(model: Any) -> Matrices:
    """A [r, in] and B [out, r], the layer's slice of the shared ones times its vectors."""
    found: Matrices = {}
    for place, module in adapted(model):
        d = module.vera_lambda_d["default"].detach()
        b = module.vera_lambda_b["default"].detach()
        a = module.vera_A["default"][:, : module.in_features] * d[:, None]
        c = module.vera_B["default"][: module.out_features] * b[:, None]
        found[place] = (a.numpy().astype(np.float32), c.numpy().astype(np.float32))
    return found
