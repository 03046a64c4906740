"""How much context fits into memory, and in which precision its cache is kept."""

from __future__ import annotations

from dataclasses import dataclass

from nightschool.errors import ModelError
from nightschool.models.catalogue import SERVE_EXTRA
from nightschool.models.header import Header

MOST = 4096
"""Tokens of context that are taken unasked, where memory allows: a prompt of this length costs a
two-core machine a minute with a model of 0.6 billion parameters."""
LEAST = 512
"""Below this, no passage fits beside its question."""
SHARE = 0.5
"""Share of the memory that is free beside the weights which the cache may take."""
Q8_SHARE = 34 / 64
"""Bytes of a Q8_0 block of 32 values (34) against float16 (64)."""


@dataclass(frozen=True, slots=True)
class Room:
    """`context` in tokens; `cache` is f16 or q8_0; `bytes` is what the cache takes."""

    context: int
    cache: str
    bytes: int


def token_bytes(header: Header) -> int:
    """Bytes of key and value cache for one token in float16."""
    heads = header.number("attention.head_count") or 1
    shared = header.number("attention.head_count_kv") or heads
    width = header.number("embedding_length") // heads
    key = header.number("attention.key_length") or width
    value = header.number("attention.value_length") or width
    return 2 * header.number("block_count") * shared * (key + value)


def plan(header: Header, *, wanted: int, trained: int, free: int) -> Room:
    """The context and cache for a model with `free` bytes of memory now.

    `wanted` 0 takes what fits, up to `MOST`. A cache that does not fit in float16 is kept in
    Q8_0, and only then the context shrinks. Raises ModelError when not even `LEAST` tokens fit.
    """
    each = token_bytes(header)
    limit = min(wanted or MOST, trained or wanted or MOST)
    spare = int((free - header.size - SERVE_EXTRA) * SHARE)
    if each * limit <= spare or not each:
        return Room(limit, "f16", each * limit)
    small = int(each * Q8_SHARE)
    fits = min(limit, max(spare, 0) // max(small, 1))
    if wanted and fits < limit:
        raise ModelError(
            f"{limit} tokens of context need {small * limit >> 20} MiB even in Q8_0; "
            f"{max(spare, 0) >> 20} MiB are free for them.",
            "Lower engine.context, choose a smaller model, or close programs.",
        )
    if fits < min(LEAST, limit):
        raise ModelError(
            f"{header.size >> 20} MiB of weights and {LEAST} tokens of context do not fit into the "
            f"{free >> 20} MiB that are free.",
            "Choose a smaller model (`nightschool model list`), or close programs.",
        )
    return Room(fits, "q8_0", small * fits)
