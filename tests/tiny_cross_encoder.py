"""A real cross-encoder of 20,000 weights, made on the spot: random, or taught one obvious thing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

METALS = ["iron", "copper", "zinc", "tin", "lead", "nickel", "silver"]
OTHERS = [
    "metal",
    "and",
    "river",
    "meadow",
    "stone",
    "bridge",
    "garden",
    "window",
    "letter",
    "market",
    "kettle",
    "ladder",
]


def made(folder: Path, *, steps: int = 0, outputs: int = 1) -> Path:
    """Save one in `folder`. After `steps` (150 are enough, 2 s) it scores passages with `gold`."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(1)
    folder.mkdir(parents=True, exist_ok=True)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "gold", *METALS, *OTHERS]
    tokenizer: Any = BertTokenizer({word: number for number, word in enumerate(words)})
    settings = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64, num_labels=outputs,
    )  # fmt: skip
    model: Any = BertForSequenceClassification(settings)
    seed = random.Random(1)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(steps):
        golden = [seed.random() < 0.5 for _ in range(32)]
        texts = [_text(seed, one) for one in golden]
        given = tokenizer(["metal"] * 32, texts, padding=True, return_tensors="pt")
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            model(**given).logits[:, 0], torch.tensor(golden, dtype=torch.float32)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.eval()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _text(seed: random.Random, golden: bool) -> str:
    words = seed.choices([*METALS, *OTHERS], k=seed.randint(4, 12))
    return " ".join(seed.sample([*words, "gold"] if golden else words, len(words) + golden))
