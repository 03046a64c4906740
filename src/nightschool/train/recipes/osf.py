"""OSF: learn only in the directions that the base uses least (Nayak et al., 2504.07097).

Each matrix is split by SVD; the large singular directions are frozen and the gradients of the
others are projected off them, so that what the base relies on is not overwritten. The change
U S V − U₀ S₀ V₀ has at most twice the trained rank, and is exported exactly at that.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from nightschool.records import Plan
from nightschool.train.adapt import MLP, adapted, wrap
from nightschool.train.export import Matrices


def build(model: Any, plan: Plan) -> Any:
    """Train the `plan.rank` smallest singular directions of every MLP matrix."""
    import peft

    config = peft.OSFConfig(
        effective_rank=int(model.config.hidden_size) - plan.rank,
        target_modules=list(MLP),
        task_type="CAUSAL_LM",
    )
    return wrap(model, config, plan.seed)


def matrices(model: Any) -> Matrices:
    """A [2r, in] = now and then of V, B [out, 2r] = now and then of U·S."""
    found: Matrices = {}
    for place, module in adapted(model):
        now = module.osf_svd_params["default"]
        u0 = module._osf_U_low_init["default"] * module._osf_S_low_init["default"]
        a = torch.cat([now["V_low"], module._osf_V_low_init["default"]])
        b = torch.cat([now["U_low"] * now["S_low"], -u0], 1)
        found[place] = (
            a.detach().numpy().astype(np.float32),
            b.detach().numpy().astype(np.float32),
        )
    return found
