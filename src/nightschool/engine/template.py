"""Render a chat the way its model was trained: the jinja template inside the GGUF, sandboxed.

llama.cpp's own `llama_chat_apply_template` is not used: it guesses the format from marker words and
takes the starter's template for Phi-3's, which has line breaks where the starter has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.nodes import Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from nightschool.errors import ModelError, UsageError

PLAIN = (
    "{% for m in messages %}{{ m.role | capitalize }}: {{ m.content }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For models without a template (base models): roles as words."""


class _Generation(Extension):
    """`{% generation %}` marks the trained part for the trainer; rendering ignores it."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it so

    def parse(self, parser: Parser) -> list[Node]:
        parser.stream.skip(1)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """One compiled template. `source` may come from a foreign file: it runs in jinja2's sandbox."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        self._tokens = {"bos_token": bos, "eos_token": eos}
        self.tool_style = _tool_style(source)
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = _strftime_now
        try:
            self._template = environment.from_string(source or PLAIN)
        except TemplateError as error:
            raise ModelError(
                f"The model's chat template is damaged: {error}.", "Download the model again."
            ) from error

    def render(
        self,
        messages: Sequence[tuple[str, str]],
        *,
        add_generation_prompt: bool = True,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> str:
        """The prompt text of `(role, content)` messages.

        Raises UsageError when the template refuses the conversation (roles that do not alternate)
        and ModelError when it fails in another way.
        """
        try:
            return self._template.render(
                messages=[{"role": role, "content": content} for role, content in messages],
                add_generation_prompt=add_generation_prompt,
                tools=[dict(tool) for tool in tools] or None,
                enable_thinking=False,  # answers are short: models that can think do not
                **self._tokens,
            )
        except _RefusedError as error:
            raise UsageError(
                f"The model refuses this conversation: {error}.",
                "Let user and assistant take turns.",
            ) from error
        except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
            raise ModelError(
                f"The model's chat template failed: {error}.", "Choose another model."
            ) from error

    def parts(
        self,
        messages: Sequence[tuple[str, str]],
        sentinel: Callable[[int], str],
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> list[tuple[str, bool]]:
        """The rendered text cut into `(text, trusted)`: the template's own text is trusted.

        `sentinel(i)` must be a text that no message contains; it stands for message i's content.
        """
        shown = [(role, sentinel(i)) for i, (role, _) in enumerate(messages)]
        text = self.render(shown, tools=tools)
        found: list[tuple[str, bool]] = []
        for i, (_, content) in enumerate(messages):
            before, mark, rest = text.partition(sentinel(i))
            if mark:  # a template may leave a message out
                found += [(before, True), (content, False)]
                text = rest
        return [*found, (text, True)]


HERMES, JSON = "hermes", "json"
"""Tool calls as `<tool_call>{"name", "arguments"}</tool_call>` (Qwen, Hermes, SmolLM), or as one
bare object `{"name", "parameters"}` (Llama 3)."""


def _tool_style(source: str) -> str:
    """How a template teaches its model to call tools; empty when it does not, or in a way that is
    not known here."""
    if "tools" not in source:
        return ""
    if "<tool_call>" in source:
        return HERMES
    return JSON if '"parameters":' in source and '"name":' in source else ""


class _RefusedError(Exception):
    """The template called `raise_exception`."""


def _raise(message: str) -> None:
    raise _RefusedError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    """As transformers renders it: readable, not escaped for HTML."""
    return json.dumps(value, ensure_ascii=False, indent=indent, **options)
