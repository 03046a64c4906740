"""GGUF files with random weights in the shape of real models: right for speed, not for sense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from nightschool.models.catalogue import BOX

Q8 = gguf.GGMLQuantizationType.Q8_0


def write_06b(path: Path, *, layers: int = 28, vocabulary: int = 151_936, seed: int = 1) -> Path:
    """The shape of Qwen3-0.6B in Q8_0 (596 million weights), with the starter's vocabulary filled
    up to its size. `layers` and `vocabulary` make it smaller for a quick try."""
    width, heads, shared, head, inner = 1024, 16, 8, 128, 3072
    reader = gguf.GGUFReader(str(BOX / "starter.gguf"))
    rng = np.random.default_rng(seed)
    out = gguf.GGUFWriter(str(path), "qwen3")
    out.add_name("random weights in the shape of Qwen3-0.6B")
    out.add_context_length(8192)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(shared)
    out.add_key_length(head)
    out.add_value_length(head)
    out.add_layer_norm_rms_eps(1e-6)
    out.add_rope_freq_base(1e6)
    out.add_file_type(gguf.LlamaFileType.MOSTLY_Q8_0)
    _vocabulary(out, reader, vocabulary)

    def weight(name: str, tall: int, wide: int) -> None:
        blocks = tall * wide // 32
        raw = rng.integers(-127, 128, size=(blocks, 34), dtype=np.int8).view(np.uint8)
        raw[:, :2] = np.frombuffer(np.float16(0.02 / 73).tobytes(), dtype=np.uint8)
        out.add_tensor(name, raw.reshape(tall, wide // 32 * 34), raw_dtype=Q8)

    def ones(name: str, count: int) -> None:
        out.add_tensor(name, np.ones(count, dtype=np.float32))

    weight("token_embd.weight", vocabulary, width)
    ones("output_norm.weight", width)
    for layer in range(layers):
        at = f"blk.{layer}."
        ones(f"{at}attn_norm.weight", width)
        ones(f"{at}ffn_norm.weight", width)
        ones(f"{at}attn_q_norm.weight", head)
        ones(f"{at}attn_k_norm.weight", head)
        _matrices(weight, at, width, heads * head, shared * head, inner)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


BRIEFED = (
    "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|system|>You are brief."
    "<|end|>\n{% endif %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% if enable_thinking is defined and not "
    "enable_thinking %}(no thoughts)\n{% endif %}{% endif %}"
)
"""A template as foreign models have them: it puts in a system message of its own, ends turns with
another token than texts, and knows of thinking."""


def write_llama(
    path: Path, *, layers: int = 2, context: int = 512, seed: int = 1, experts: int = 0
) -> Path:
    """A small Llama in the proportions of SmolLM2-135M (nine heads on three, tied embeddings), with
    the starter's words, SmolLM2's way of cutting numbers, and the template `BRIEFED`."""
    heads, shared, head, inner = 9, 3, 16, 256
    width = heads * head
    reader = gguf.GGUFReader(str(BOX / "starter.gguf"))
    rng = np.random.default_rng(seed)
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_name("random weights in the proportions of SmolLM2")
    out.add_context_length(context)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(inner)
    out.add_head_count(heads)
    out.add_head_count_kv(shared)
    out.add_rope_dimension_count(head)
    if experts:
        out.add_expert_count(experts)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_freq_base(1e5)
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    _vocabulary(out, reader, 4096, pre="smollm", template=BRIEFED, eos=0)

    def weight(name: str, tall: int, wide: int) -> None:
        out.add_tensor(name, rng.normal(0, wide**-0.5, size=(tall, wide)).astype(np.float32))

    def ones(name: str) -> None:
        out.add_tensor(name, np.ones(width, dtype=np.float32))

    weight("token_embd.weight", 4096, width)
    ones("output_norm.weight")
    for layer in range(layers):
        at = f"blk.{layer}."
        ones(f"{at}attn_norm.weight")
        ones(f"{at}ffn_norm.weight")
        _matrices(weight, at, width, heads * head, shared * head, inner)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def _matrices(
    weight: Callable[[str, int, int], None],
    at: str, width: int, queries: int, keys: int, inner: int,
) -> None:  # fmt: skip
    """The seven matrices of a block, rows first."""
    weight(f"{at}attn_q.weight", queries, width)
    weight(f"{at}attn_k.weight", keys, width)
    weight(f"{at}attn_v.weight", keys, width)
    weight(f"{at}attn_output.weight", width, queries)
    weight(f"{at}ffn_gate.weight", inner, width)
    weight(f"{at}ffn_up.weight", inner, width)
    weight(f"{at}ffn_down.weight", width, inner)


def _vocabulary(
    out: gguf.GGUFWriter, reader: gguf.GGUFReader, size: int, *,
    pre: str = "", template: str = "", eos: int | None = None,
) -> None:  # fmt: skip
    def value(name: str) -> object:
        return reader.fields[f"tokenizer.{name}"].contents()

    tokens, kinds = list(value("ggml.tokens")), list(value("ggml.token_type"))  # type: ignore[call-overload]
    tokens += [f"[unused{number}]" for number in range(size - len(tokens))]
    kinds += [gguf.TokenType.NORMAL] * (size - len(kinds))  # their text shows in a stream
    out.add_tokenizer_model(str(value("ggml.model")))
    out.add_tokenizer_pre(pre or str(value("ggml.pre")))
    out.add_token_list(tokens)
    out.add_token_types(kinds)
    out.add_token_merges(value("ggml.merges"))  # type: ignore[arg-type]
    out.add_bos_token_id(int(value("ggml.bos_token_id")))  # type: ignore[call-overload]
    ends = int(value("ggml.eos_token_id")) if eos is None else eos  # type: ignore[call-overload]
    out.add_eos_token_id(ends)
    out.add_add_bos_token(False)
    out.add_chat_template(template or str(value("chat_template")))
