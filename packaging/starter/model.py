"""The network: Llama family through transformers, new (plainly or wired) or from a starter GGUF."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from nightschool.errors import ModelError
from nightschool.models.base import load_torch
from nightschool.models.header import read_header


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network; heads are 64 wide, embeddings tied."""

    vocabulary: int
    hidden: int
    layers: int
    heads: int
    shared: int
    """Key and value heads."""
    inner: int
    context: int = 1024
    theta: float = 100_000.0

    def config(self) -> LlamaConfig:
        return LlamaConfig(
            vocab_size=self.vocabulary, hidden_size=self.hidden, num_hidden_layers=self.layers,
            num_attention_heads=self.heads, num_key_value_heads=self.shared, head_dim=64,
            intermediate_size=self.inner, tie_word_embeddings=True, rms_norm_eps=1e-5,
            max_position_embeddings=self.context, bos_token_id=0, eos_token_id=3, pad_token_id=0,
            rope_parameters={"rope_type": "default", "rope_theta": self.theta},
        )  # fmt: skip

    def facts(self) -> dict[str, Any]:
        return asdict(self)


def shape_of(config: Any) -> Shape:
    return Shape(
        config.vocab_size, config.hidden_size, config.num_hidden_layers,
        config.num_attention_heads, config.num_key_value_heads, config.intermediate_size,
        config.max_position_embeddings, float(config.rope_parameters["rope_theta"]),
    )  # fmt: skip


def fresh(shape: Shape, seed: int, *, wired: bool) -> Any:
    """A new network; residual outputs start small, and `wired` adds the circuit of `wiring.py`."""
    torch.manual_seed(seed)
    model = LlamaForCausalLM(shape.config())
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("o_proj.weight", "down_proj.weight")):
                parameter.mul_((2 * shape.layers) ** -0.5)
    if wired:
        from starter.wiring import wire

        wire(model, seed)
    return model


def from_gguf(path: Path) -> Any:
    """The network of a starter GGUF in float32, ready to train. Raises ModelError."""
    header = read_header(path)
    if header.architecture != "llama" or header.metadata.get("tokenizer.ggml.model") != "gpt2":
        raise ModelError(
            f"{path} is no starter: the recipe continues Llama models with byte-level BPE.",
            "Give a GGUF that this recipe exported.",
        )
    model = load_torch(path).model
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model.train()


def count(model: Any) -> int:
    """Parameters, the tied embedding once."""
    return sum(p.numel() for p in {id(p): p for p in model.parameters()}.values())
