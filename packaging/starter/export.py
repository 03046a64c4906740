"""Write a network and its tokenizer as one GGUF that llama.cpp and transformers both load.

Names and the row order of q and k as in llama.cpp's `convert_hf_to_gguf.py` (architecture llama,
rotary pairs interleaved); tokenizer model `gpt2`, pre-tokenizer `gpt-2`, no start token.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from starter.tokens import Tokens

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
KINDS = {
    "f32": (gguf.LlamaFileType.ALL_F32, gguf.GGMLQuantizationType.F32),
    "f16": (gguf.LlamaFileType.MOSTLY_F16, gguf.GGMLQuantizationType.F16),
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, gguf.GGMLQuantizationType.Q8_0),
}

Array = npt.NDArray[Any]


def export(model: Any, tokens: Tokens, path: Path, kind: str = "f16") -> None:
    """Write `path` (replaced atomically) in float32, float16 or Q8_0."""
    file_type, tensor_type = KINDS[kind]
    temporary = path.with_suffix(".part")
    writer = gguf.GGUFWriter(temporary, "llama")
    config = model.config
    writer.add_name("starter")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_vocab_size(config.vocab_size)
    writer.add_file_type(file_type)
    _add_tokens(writer, tokens, config.vocab_size)
    for name, parameter in model.named_parameters():
        array = parameter.detach().float().cpu().numpy()
        wanted = tensor_type if array.ndim == 2 else gguf.GGMLQuantizationType.F32
        target = gguf_name(name)
        if ".q_proj." in name:
            array = rotary_rows(array, config.num_attention_heads)
        elif ".k_proj." in name:
            array = rotary_rows(array, config.num_key_value_heads)
        data = gguf.quants.quantize(np.ascontiguousarray(array), wanted)
        writer.add_tensor(target, data, raw_dtype=wanted)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    temporary.replace(path)


def gguf_name(name: str) -> str:
    """`model.layers.3.mlp.up_proj.weight` → `blk.3.ffn_up.weight`."""
    if name == "model.embed_tokens.weight":
        return "token_embd.weight"
    if name == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"


def rotary_rows(array: Array, heads: int) -> Array:
    """transformers rotates halves, llama.cpp's llama neighbours: reorder the rows of each head."""
    split = array.reshape(heads, 2, array.shape[0] // heads // 2, *array.shape[1:])
    return split.swapaxes(1, 2).reshape(array.shape)


def _add_tokens(writer: gguf.GGUFWriter, tokens: Tokens, size: int) -> None:
    facts = json.loads(tokens.inner.to_str())
    words = {number: word for word, number in facts["model"]["vocab"].items()}
    special = {entry["id"]: entry["content"] for entry in facts["added_tokens"]}
    names = [special.get(n) or words.get(n) or f"<unused{n}>" for n in range(size)]
    control, normal = int(gguf.TokenType.CONTROL), int(gguf.TokenType.NORMAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(names)
    writer.add_token_types([control if n in special else normal for n in range(size)])
    merges = facts["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(tokens["endoftext"])
    writer.add_eos_token_id(tokens["end"])
    writer.add_pad_token_id(tokens["endoftext"])
    writer.add_add_bos_token(False)
    writer.add_chat_template(tokens.template)
