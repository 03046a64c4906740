"""An initialisation that already copies: the first two layers start as an induction circuit.

From plain noise a small model needs millions of tokens to find this circuit (Olsson et al. 2022,
2209.11895), and reading notes is hardly more than using it well. Layer 0 looks at the previous
token and writes it into a subspace of the stream; layer 1 looks for places whose previous token is
the present one and writes what stands there. All of it stays trainable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

SPREAD = 0.06
"""Standard deviation of an embedding's entries."""
CONSTANT = 0.7
"""Entry 0 of every embedding: what position-only attention reads."""
LOOK = 8.0
"""Sharpness of looking at the previous token."""
MATCH = 14.0
"""Score of a match in layer 1."""
WRITE, COPY = 1.2, 3.5
"""How loudly layer 0 and layer 1 write, in units of an embedding."""
FAST = 10
"""Rotary frequencies used to tell neighbours apart: the fastest ones."""
SLOW = 0.004
"""Rotary frequencies (radians a token) below which position hardly turns a vector."""


@dataclass(frozen=True, slots=True)
class _Sizes:
    hidden: int
    heads: int
    shared: int
    head: int
    turns: Tensor
    """Rotary frequency of each pair of a head, [head / 2]."""

    @property
    def group(self) -> int:
        return self.heads // self.shared


def wire(model: Any, seed: int) -> None:
    """Overwrite the embedding and parts of the first two attention layers, in place."""
    config = model.config
    pairs = config.head_dim // 2
    theta = float(config.rope_parameters["rope_theta"])
    turns = theta ** (-torch.arange(pairs).float() / pairs)
    size = _Sizes(config.hidden_size, config.num_attention_heads, config.num_key_value_heads,
                  config.head_dim, turns)  # fmt: skip
    draw = torch.Generator().manual_seed(seed)
    first, second = (model.model.layers[i].self_attn for i in range(2))
    with torch.no_grad():
        embedding = model.model.embed_tokens.weight
        embedding.copy_(torch.randn(embedding.shape, generator=draw) * SPREAD)
        embedding[:, 0] = CONSTANT
        norm = float(embedding.pow(2).mean().sqrt())
        code = _orthogonal(size.head, size.hidden, draw)
        code[:, 0] = 0
        places = _orthogonal(2 * size.head, size.hidden, draw)
        places[:, 0] = 0
        _look_back(first, size, norm)
        first.v_proj.weight[: size.head] = code
        for head, loud in zip(range(min(2, size.group)), (1.0, 0.7), strict=False):
            place = places[head * size.head : (head + 1) * size.head]
            columns = slice(head * size.head, (head + 1) * size.head)
            first.o_proj.weight[:, columns] = place.T * WRITE * norm * loud
        _match_and_copy(second, size, norm, code, places[: size.head], draw)


def _orthogonal(rows: int, width: int, draw: torch.Generator) -> Tensor:
    """[rows, width] with orthonormal rows."""
    square = torch.randn(width, width, generator=draw)
    return torch.linalg.qr(square)[0][:rows].clone()


def _look_back(layer: Any, size: _Sizes, norm: float) -> None:
    """Heads of the first group look 1 and 2 back: score = Σ cos(turn · (distance − back))."""
    gain = LOOK * norm / CONSTANT
    half = size.head // 2
    layer.k_proj.weight[: size.head] = 0
    layer.k_proj.weight[:FAST, 0] = gain
    for head in range(min(2, size.group)):
        angle = size.turns[:FAST] * (head + 1)
        rows = layer.q_proj.weight[head * size.head : (head + 1) * size.head]
        rows.zero_()
        rows[:FAST, 0] = gain * torch.cos(angle)
        rows[half : half + FAST, 0] = -gain * torch.sin(angle)


def _match_and_copy(
    layer: Any, size: _Sizes, norm: float, code: Tensor, place: Tensor, draw: torch.Generator
) -> None:
    """Query: the present token's code. Key: the previous token's, as layer 0 wrote it."""
    slow = [pair for pair in range(size.head // 2) if size.turns[pair] < SLOW]
    rows = slow + [pair + size.head // 2 for pair in slow]
    own = SPREAD / norm  # spread of an embedding after the first norm
    written = WRITE * norm * own
    loud = 1 + 0.49 * (size.group > 1)
    after = (norm**2 + written**2 * size.head / size.hidden * loud) ** 0.5
    sharp = (MATCH * size.head**0.5 / len(rows)) ** 0.5
    for shared in range(size.shared):
        mix = _orthogonal(len(rows), size.head, draw)
        key = torch.zeros(size.head, size.hidden)
        key[rows] = mix @ place * sharp * after / written
        query = torch.zeros(size.head, size.hidden)
        query[rows] = mix @ code * sharp * after / SPREAD
        layer.k_proj.weight[shared * size.head : (shared + 1) * size.head] = key
        value = _orthogonal(size.head, size.hidden, draw)
        value[:, 0] = 0
        layer.v_proj.weight[shared * size.head : (shared + 1) * size.head] = value
        for number in range(size.group):
            head = shared * size.group + number
            span = slice(head * size.head, (head + 1) * size.head)
            noise = torch.randn(query.shape, generator=draw) * 0.02 * (number > 0)
            layer.q_proj.weight[span] = query * (1.0 if number == 0 else 0.8) + noise
            layer.o_proj.weight[:, span] = value.T * COPY * after / size.group
