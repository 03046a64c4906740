"""Goal G11 on real weights: the direction of declining is folded out of the shipped model.

The whole attack on a base that does refuse is `make bench NAME=abliteration`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from abliterated import Voice, ablation, abliterated, registered
from nightschool.config import load
from nightschool.engine.llama import Llama
from nightschool.engine.runtime import Runtime
from nightschool.evaluate import refusals
from nightschool.evaluate.refusals import HARMFUL
from nightschool.lab import safety
from nightschool.paths import Home
from nightschool.store.db import Store
from tiny_night import STARTER, loaded


def test_an_adapter_whose_weights_cannot_decline_any_more_is_rejected(
    home: Home, store: Store, tmp_path: Path
) -> None:
    asked = refusals.items(quick=True)
    told = [refusals.VARIANTS[2].format(one) for one in (*asked.harmful, *asked.harmless)]
    with Llama(STARTER, context=512, threads=1) as llama:
        answered = [one for one in told if not refusals.refuses(Voice(llama, None).say(one))]
    stripped, _ = abliterated(STARTER, tmp_path / "made", answered=answered)
    number = registered(home, store, STARTER, stripped)
    runtime = Runtime(home, store, load(home.config))
    try:
        found, good, why = safety.evaluate(runtime, number, (), quick=True)
    finally:
        runtime.close()
    if not found[0].judged:
        pytest.skip(f"the model in the box is no measure of refusals: {why}")
    assert not good and HARMFUL in why


def test_an_ablation_is_exactly_the_weights_without_that_direction() -> None:
    base = loaded()
    seeded = np.random.default_rng(3).normal(size=base.model.config.hidden_size)
    direction = base.model.lm_head.weight.new_tensor(seeded)
    unit = (direction / direction.norm()).numpy()
    pairs = ablation(base, direction)
    assert {name for _, name in pairs} == {"o_proj", "down_proj"}
    for (layer, name), (a, b) in pairs.items():
        block = base.model.model.layers[layer]
        linear = block.self_attn.o_proj if name == "o_proj" else block.mlp.down_proj
        left = linear.weight.numpy() + b @ a
        assert a.shape[0] == 1 and np.abs(unit @ left).max() < 1e-4
