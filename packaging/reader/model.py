"""The reader in torch: MiniLM (6 layers, width 384) + LoRA + span head, as llama.cpp serves it.

Written out instead of taken from transformers/peft for two reasons: it is twice as fast on one
CPU core (the low-rank product is folded into the weight once per step, so every layer stays one
bf16 matrix product), and it does exactly what llama.cpp's `bert` graph does: token type 0 for
every token, no pooler, exact GELU. `export.py` proves the equality on real inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

LAYERS, WIDTH, HEADS = 6, 384, 12
EPSILON = 1e-12

#: name in reader.safetensors -> (name in the checkpoint, rows out, columns in)
LINEAR = {
    "query": ("attention.self.query", WIDTH, WIDTH),
    "key": ("attention.self.key", WIDTH, WIDTH),
    "value": ("attention.self.value", WIDTH, WIDTH),
    "attn_out": ("attention.output.dense", WIDTH, WIDTH),
    "up": ("intermediate.dense", 4 * WIDTH, WIDTH),
    "down": ("output.dense", WIDTH, 4 * WIDTH),
}


@dataclass(frozen=True)
class Shape:
    """LoRA's rank and scale: W + (alpha / rank) · B·A."""

    rank: int = 32
    alpha: float = 64.0


class Reader(nn.Module):
    """Frozen encoder, trainable `lora_a`, `lora_b` (fp32 masters) and `head` [2, 384] + bias.

    `forward(ids, mask)` takes int64 ids [batch, n] and a bool mask [batch, n] and gives start and
    end logits, float32 [batch, 2, n], minus infinity at masked places.
    """

    def __init__(self, checkpoint: Path, shape: Shape, dtype: torch.dtype = torch.bfloat16) -> None:
        super().__init__()
        self.shape, self.dtype = shape, dtype
        weights = load_file(str(checkpoint))
        embed = weights["embeddings.word_embeddings.weight"]
        position = weights["embeddings.position_embeddings.weight"]
        position = position + weights["embeddings.token_type_embeddings.weight"][0]
        self.register_buffer("word", embed)
        self.register_buffer("position", position)
        self.frozen: dict[str, Tensor] = {
            name: tensor.to(dtype) if tensor.dim() == 2 else tensor
            for name, tensor in weights.items()
            if name.startswith("encoder.") or "LayerNorm" in name
        }
        self.lora_a, self.lora_b = nn.ParameterDict(), nn.ParameterDict()
        for layer in range(LAYERS):
            for short, (_, rows, columns) in LINEAR.items():
                a = torch.randn(shape.rank, columns) / columns**0.5
                self.lora_a[f"{layer}_{short}"] = nn.Parameter(a)
                self.lora_b[f"{layer}_{short}"] = nn.Parameter(torch.zeros(rows, shape.rank))
        self.head = nn.Linear(WIDTH, 2)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)

    def _linear(self, x: Tensor, layer: int, short: str) -> Tensor:
        name = f"encoder.layer.{layer}.{LINEAR[short][0]}"
        a, b = self.lora_a[f"{layer}_{short}"], self.lora_b[f"{layer}_{short}"]
        delta = (b.to(self.dtype) @ a.to(self.dtype)) * (self.shape.alpha / self.shape.rank)
        weight = self.frozen[f"{name}.weight"] + delta
        return F.linear(x, weight, self.frozen[f"{name}.bias"].to(self.dtype))

    def _norm(self, x: Tensor, name: str) -> Tensor:
        weight, bias = self.frozen[f"{name}.weight"], self.frozen[f"{name}.bias"]
        return F.layer_norm(x, (WIDTH,), weight.to(x.dtype), bias.to(x.dtype), EPSILON)

    def forward(self, ids: Tensor, mask: Tensor, dropout: float = 0.0) -> Tensor:
        batch, n = ids.shape
        x = F.embedding(ids, self.word) + self.position[:n]
        x = self._norm(x, "embeddings.LayerNorm").to(self.dtype)
        bias = torch.zeros(batch, 1, 1, n, dtype=self.dtype)
        bias.masked_fill_(~mask[:, None, None], float("-inf"))
        for layer in range(LAYERS):
            prefix = f"encoder.layer.{layer}"
            q, k, v = (
                self._linear(x, layer, short).view(batch, n, HEADS, -1).transpose(1, 2)
                for short in ("query", "key", "value")
            )
            mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=bias)
            mixed = mixed.transpose(1, 2).reshape(batch, n, WIDTH)
            out = F.dropout(self._linear(mixed, layer, "attn_out"), dropout, self.training)
            x = self._norm(x + out, f"{prefix}.attention.output.LayerNorm")
            out = self._linear(F.gelu(self._linear(x, layer, "up")), layer, "down")
            out = F.dropout(out, dropout, self.training)
            x = self._norm(x + out, f"{prefix}.output.LayerNorm")
        logits: Tensor = self.head(x.float()).transpose(1, 2)
        return logits.masked_fill(~mask[:, None], float("-inf"))
