"""The starter with another chat template: a model that knows tools, as far as its head says."""

from __future__ import annotations

from pathlib import Path

import gguf
from gguf.scripts.gguf_new_metadata import MetadataDetails, copy_with_new_metadata

from nightschool.models.catalogue import BOX

HERMES = (
    "{% if tools %}<|user|>Tools: {% for t in tools %}{{ t | tojson }}\n{% endfor %}"
    'Call one as <tool_call>{"name": …, "arguments": …}</tool_call>.<|end|>{% endif %}'
    "{% for m in messages %}<|{{ 'assistant' if m.role == 'assistant' else 'user' }}|>"
    "{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def with_template(path: Path, template: str = HERMES) -> Path:
    """A copy of the starter at `path` whose chat template is `template`."""
    reader = gguf.GGUFReader(str(BOX / "starter.gguf"))
    writer = gguf.GGUFWriter(str(path), "llama", endianess=reader.endianess)
    key = gguf.Keys.Tokenizer.CHAT_TEMPLATE
    changed = {key: MetadataDetails(gguf.GGUFValueType.STRING, template)}
    copy_with_new_metadata(reader, writer, changed, [])
    return path
