"""The base model in torch, dequantised from the very GGUF that llama.cpp serves (QLoRA's idea).

Training against the dequantised weights fits the adapter to exactly what will be served. Nothing
is downloaded: transformers reads the local file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightschool.errors import ModelError


@dataclass(frozen=True, slots=True)
class TorchBase:
    """`model`: a float32 `PreTrainedModel` in eval mode; `tokenizer`: the GGUF's own."""

    model: Any
    tokenizer: Any
    path: Path

    def prompt(self, question: str) -> str:
        """One user turn in the model's own chat template, up to where the assistant speaks."""
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True
        )
        return str(text)

    def prompt_ids(self, question: str) -> list[int]:
        """The tokens of `prompt`."""
        return self.encode(self.prompt(question))

    def encode(self, text: str) -> list[int]:
        """Token ids without automatically added special tokens."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    @property
    def end(self) -> int:
        """The token that ends an assistant turn."""
        return int(self.tokenizer.eos_token_id)

    @property
    def start(self) -> int:
        """The token that a text without prompt starts with."""
        bos = self.tokenizer.bos_token_id
        return int(self.tokenizer.eos_token_id if bos is None else bos)


def load_torch(path: Path, threads: int = 0) -> TorchBase:
    """Dequantise `path` into torch.

    Raises ModelError when transformers cannot read the architecture or the file, or when the
    dequantised copy (4 bytes a parameter) does not fit into memory.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    if threads:
        torch.set_num_threads(threads)
    try:
        model = transformers.AutoModelForCausalLM.from_pretrained(
            str(path.parent), gguf_file=path.name, dtype=torch.float32, local_files_only=True
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(path.parent), gguf_file=path.name, local_files_only=True
        )
    except MemoryError as error:
        raise ModelError(
            f"Not enough memory to dequantise {path.name} for learning.",
            "Close programs, or learn with a smaller model.",
        ) from error
    except Exception as error:  # transformers raises many kinds for a file it cannot read
        raise ModelError(
            f"{path.name} cannot be read for learning: {type(error).__name__}: {error}.",
            "It can still be served; choose a model that `nightschool model list` marks as "
            "able to learn.",
        ) from error
    # The weights are plain float32 now; PEFT must not look for a quantised layer class.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return TorchBase(model, tokenizer, path)
