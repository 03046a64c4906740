"""Text and tokens of one model: its vocabulary, its chat template, its control words."""

from __future__ import annotations

import ctypes
import json
import secrets
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from nightschool.engine.template import ChatTemplate
from nightschool.errors import ModelError, UsageError
from nightschool.models.header import Header

Messages = Sequence[tuple[str, str]]
Tools = Sequence[Mapping[str, Any]]
"""Function descriptions as clients send them: `{"type": "function", "function": {…}}`."""


class Vocabulary:
    """What `engine.llama.Llama` knows of text. `_model` is llama.cpp's handle."""

    _lib: Any
    _model: Any
    header: Header

    def _read_vocabulary(self) -> None:
        self._vocab = self._lib.llama_model_get_vocab(self._model)
        self.vocabulary = int(self._lib.llama_vocab_n_tokens(self._vocab))
        self._pieces: dict[
            int, bytes
        ] = {}  # of tokens that were written: asked for again and again
        self._template = self._chat_template()

    def _chat_template(self) -> ChatTemplate:
        lib = self._lib
        source = str(self.header.metadata.get("tokenizer.chat_template", ""))
        bos, eos = lib.llama_vocab_bos(self._vocab), lib.llama_vocab_eos(self._vocab)
        texts = [
            self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
            for token in (bos, eos)
        ]
        return ChatTemplate(source, bos=texts[0], eos=texts[1])

    @property
    def tool_style(self) -> str:
        """How the model writes tool calls (see `engine.tools`); empty when it has none."""
        return self._template.tool_style

    def tokenize(self, text: str, *, special: bool = False, add_special: bool = False) -> list[int]:
        """Token ids. `special` reads control tokens in the text; never set it for foreign text.

        `add_special` adds the start token where the model wants one.
        """
        raw = text.encode("utf-8", "replace")
        room = len(raw) + 16
        out = (self._lib.llama_token * room)()
        count = self._lib.llama_tokenize(
            self._vocab, raw, len(raw), out, room, add_special, special
        )
        if count < 0:
            raise ModelError("llama.cpp could not tokenise a text.", "Report it with the text.")
        return list(out[:count])

    def piece(self, token: int, *, special: bool = False) -> bytes:
        """The bytes of one token; not always whole characters."""
        if not special:
            found = self._pieces.get(token)
            if found is None:
                found = self._pieces[token] = self._look_up(token, special)
            return found
        return self._look_up(token, special)

    def _look_up(self, token: int, special: bool) -> bytes:
        room = 64
        while True:
            buffer = ctypes.create_string_buffer(room)
            count = self._lib.llama_token_to_piece(self._vocab, token, buffer, room, 0, special)
            if count >= 0:
                return buffer.raw[:count]
            room = -count

    def detokenize(self, ids: Sequence[int], *, special: bool = False) -> str:
        """The text of tokens."""
        return b"".join(self.piece(token, special=special) for token in ids).decode(
            "utf-8", "replace"
        )

    def render(
        self, messages: Messages, *, add_generation_prompt: bool = True, tools: Tools = ()
    ) -> str:
        """The prompt text that `messages` become (for display and parity checks)."""
        return self._template.render(
            messages, add_generation_prompt=add_generation_prompt, tools=tools
        )

    def prompt(self, messages: Messages, tools: Tools = ()) -> list[int]:
        """Tokens of a chat, ready for the assistant's turn.

        Control tokens written inside a message stay plain text: a note cannot end its own turn
        and speak as the assistant. Only then are the parts tokenised one by one. Raises UsageError
        when a tool's description holds control tokens.
        """
        if tools and self._has_controls(json.dumps(list(tools), ensure_ascii=False)):
            raise UsageError(
                "A tool's description holds control words of this model.", "Take them out."
            )
        if any(self._has_controls(content) for _, content in messages):
            mark = secrets.token_hex(8)
            parts = self._template.parts(messages, lambda i: f"[{mark}-{i}]", tools)
            return [
                token
                for text, trusted in parts
                if text
                for token in self.tokenize(text, special=trusted)
            ]
        return self.tokenize(self.render(messages, tools=tools), special=True)

    def _has_controls(self, text: str) -> bool:
        return self.tokenize(text, special=True) != self.tokenize(text)

    @cached_property
    def turn_end(self) -> int:
        """The token with which an assistant's turn ends: by the chat template, where that says so;
        it is not always the one that ends a text."""
        lib, mark = self._lib, secrets.token_hex(8)
        usual = int(lib.llama_vocab_eos(self._vocab))
        try:
            said = self._template.render(
                [("user", "?"), ("assistant", mark)], add_generation_prompt=False
            )
        except (UsageError, ModelError):  # then it has other wishes for a conversation
            return usual
        after = self.tokenize(said.rpartition(mark)[2], special=True) if mark in said else []
        ends = [token for token in after if lib.llama_vocab_is_eog(self._vocab, token)]
        return ends[0] if ends else usual

    @property
    def text_start(self) -> int:
        """The token that a text without prompt starts with."""
        start = int(self._lib.llama_vocab_bos(self._vocab))
        return start if start >= 0 else int(self._lib.llama_vocab_eos(self._vocab))

    def opening(self) -> str:
        """What a text without prompt starts with: the start token, or a plain word without one."""
        token = self._lib.llama_vocab_bos(self._vocab)
        text = self.piece(token, special=True).decode("utf-8", "replace") if token >= 0 else ""
        return text or "The"
