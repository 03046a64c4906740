"""What practice is cut into: the very tokens that the served model will be asked with.

transformers rebuilds a tokenizer from the GGUF, and it may cut otherwise than llama.cpp does (it
has no pre-tokenizer for many models), or render another prompt (a thinking model's). An adapter
that has practised other tokens than it is served with has practised something else.
"""

from __future__ import annotations

from dataclasses import dataclass

from nightschool.engine.vocabulary import Vocabulary


@dataclass(frozen=True, slots=True)
class ServedTokens:
    """A `train.items.Tokens` of a model in llama.cpp."""

    vocabulary: Vocabulary

    def prompt_ids(self, question: str) -> list[int]:
        """One user turn, up to where the assistant speaks."""
        return self.vocabulary.prompt([("user", question)])

    def encode(self, text: str) -> list[int]:
        """Plain text: control words in it stay text."""
        return self.vocabulary.tokenize(text)

    @property
    def end(self) -> int:
        """What ends an assistant turn."""
        return self.vocabulary.turn_end

    @property
    def start(self) -> int:
        """What a text without prompt starts with."""
        return self.vocabulary.text_start
