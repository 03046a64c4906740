"""The tokenizer: byte-level BPE with GPT-2's pre-tokenizer, trained here or taken from a GGUF."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SPECIAL = ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>", "<|system|>")
TEMPLATE = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


@dataclass(frozen=True)
class Tokens:
    """A tokenizer and its special tokens, as ids. `template` goes into the GGUF."""

    inner: Tokenizer
    template: str = TEMPLATE

    @cached_property
    def special(self) -> dict[str, int]:
        found = {name: self.inner.token_to_id(name) for name in SPECIAL}
        return {name: token for name, token in found.items() if token is not None}

    def __getitem__(self, name: str) -> int:
        return self.special[f"<|{name}|>"]

    @property
    def size(self) -> int:
        return int(self.inner.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        return list(self.inner.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        return str(self.inner.decode(list(ids), skip_special_tokens=True))

    def save(self, path: Path) -> None:
        facts = {"tokenizer": json.loads(self.inner.to_str()), "template": self.template}
        path.write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def load(path: Path) -> Tokens:
    """What `Tokens.save` wrote."""
    facts = json.loads(path.read_text(encoding="utf-8"))
    return Tokens(Tokenizer.from_str(json.dumps(facts["tokenizer"])), facts["template"])


def train(texts: Iterable[str], size: int) -> Tokens:
    """Learn `size` tokens from `texts`; every byte is a token of its own."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    inner.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, special_tokens=list(SPECIAL), show_progress=False, min_frequency=2,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    inner.train_from_iterator(texts, trainer)
    return Tokens(inner)


def from_gguf(path: Path) -> Tokens:
    """The tokenizer inside a starter GGUF, through transformers."""
    from nightschool.models.base import load_torch

    fast = load_torch(path).tokenizer
    inner = Tokenizer.from_str(fast.backend_tokenizer.to_str())
    inner.post_processor = None
    return Tokens(inner, str(fast.chat_template))
