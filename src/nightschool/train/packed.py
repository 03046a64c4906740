"""Items of any length in one forward pass, without padding to the longest and without a mask.

The items stand one behind the other in a single row, and every layer but attention computes over
the row as it is. Attention runs over *blocks*: items of nearly the same length, padded on the right
to the longest of the block, where causality alone keeps real tokens from seeing the padding. Which
lengths share a block is chosen so that padding and the price of a block together cost least.

In the last layer nothing but the places that predict trained tokens is looked at any more, so its
MLP computes those alone.

`prepare` puts this under a transformers model through its attention interface, after it has seen
that items give the same scores packed as alone; a model with other than plain causal attention
stays as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import torch

from nightschool.train.items import LIMIT, Item

NAME = "nightschool_blocks"
BLOCK = 12
"""What one more block costs, in tokens: short calls in every layer, there and back."""
TOLERANCE = 1e-3
"""Largest difference of two logits, as a share of their range, that is rounding."""

PROBE = tuple(Item(tuple(range(3, 3 + n)), 1 + n // 3) for n in (7, 5, 12))
"""Items of different lengths, of tokens that every vocabulary has."""

Blocks = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Row:
    """`ids` and `positions` [1, tokens]; `blocks` are (items, length); `keep` [n] the places that
    predict trained tokens, item by item in the order of `order` (indices of the batch)."""

    ids: torch.Tensor
    positions: torch.Tensor
    blocks: Blocks
    keep: torch.Tensor
    order: tuple[int, ...]


_ROW: ContextVar[Row | None] = ContextVar("row", default=None)
"""What is computed right now, for the hooks in the last layer."""


def row(batch: Sequence[Item]) -> Row:
    """Lay a batch out in blocks, shortest first."""
    order = sorted(range(len(batch)), key=lambda i: len(batch[i].ids))
    sizes = blocks([len(batch[i].ids) for i in order])
    ids: list[int] = []
    positions: list[int] = []
    keep: list[int] = []
    waiting = iter(order)
    for count, length in sizes:
        for _ in range(count):
            item = batch[next(waiting)]
            keep += range(len(ids) + item.answer - 1, len(ids) + len(item.ids) - 1)
            ids += [*item.ids, *[0] * (length - len(item.ids))]
            positions += range(length)
    return Row(
        torch.tensor([ids]), torch.tensor([positions]), sizes, torch.tensor(keep), tuple(order)
    )


def blocks(lengths: Sequence[int]) -> Blocks:
    """Cut ascending lengths into blocks so that tokens + `BLOCK` a block are fewest (exact)."""
    best = [0]
    cuts = [0]
    for end in range(1, len(lengths) + 1):
        cost, cut = min(
            (best[start] + (end - start) * lengths[end - 1] + BLOCK, start) for start in range(end)
        )
        best.append(cost)
        cuts.append(cut)
    found = []
    end = len(lengths)
    while end:
        found.append((end - cuts[end], lengths[end - 1]))
        end = cuts[end]
    return tuple(reversed(found))


def predictions(model: Any, batch: Sequence[Item]) -> list[torch.Tensor]:
    """Logits [n, vocab] that predict the n trained tokens of each item, in one forward pass."""
    laid = row(batch)
    mark = _ROW.set(laid)
    try:
        logits = model(
            input_ids=laid.ids,
            position_ids=laid.positions,
            logits_to_keep=laid.keep,
            blocks=laid.blocks,
            use_cache=False,
        ).logits[0]
    finally:
        _ROW.reset(mark)
    parts = logits.float().split([len(batch[i].ids) - batch[i].answer for i in laid.order])
    found = dict(zip(laid.order, parts, strict=True))
    return [found[i] for i in range(len(batch))]


def packs(model: Any) -> bool:
    """Whether `predictions` may be used with this model."""
    return getattr(model.config, "_attn_implementation", "") == NAME


def prepare(model: Any) -> bool:
    """Let `model` (a causal language model, without adapter) take blocks; whether it can."""
    if not (getattr(model, "_supports_attention_backend", False) and _plain(model.config)):
        return False
    from transformers import AttentionInterface

    before = model.config._attn_implementation
    training = model.training
    model.eval()
    with torch.no_grad():
        alone = [
            model(input_ids=torch.tensor([item.ids])).logits[0, item.answer - 1 : -1]
            for item in PROBE
        ]
        AttentionInterface.register(NAME, attention)
        model.config._attn_implementation = NAME
        hooks = _narrow_the_end(model)
        fits = _off(model, alone) <= TOLERANCE
        if not fits:
            for hook in hooks:
                hook.remove()
            fits = bool(hooks) and _off(model, alone) <= TOLERANCE
    model.train(training)
    if not fits:
        model.config._attn_implementation = before
    return fits


def _off(model: Any, alone: Sequence[torch.Tensor]) -> float:
    try:
        return difference(alone, predictions(model, PROBE))
    except (TypeError, ValueError, RuntimeError, LookupError, AttributeError):
        return float("inf")  # it takes no blocks, or hands them to none of its layers


def difference(known: Sequence[torch.Tensor], found: Sequence[torch.Tensor]) -> float:
    """How far the scores of the probe are from what they should be, as a share of their range."""
    span = max(float(scores.max() - scores.min()) for scores in known)
    off = max(float((a - b).abs().max()) for a, b in zip(known, found, strict=True))
    return off / max(span, 1e-9)


def _narrow_the_end(model: Any) -> list[Any]:
    """Hooks that let the MLP of the last layer compute the wanted places alone: what it adds at
    others is never read again, so it adds nothing there."""
    layers = getattr(model.get_decoder(), "layers", None)
    last = getattr(layers[-1], "mlp", None) if layers else None
    if last is None or any(hook is _choose for hook in last._forward_pre_hooks.values()):
        return []  # it has none, or has them already
    return [last.register_forward_pre_hook(_choose), last.register_forward_hook(_put_back)]


def _choose(module: Any, given: tuple[Any, ...]) -> tuple[Any, ...] | None:
    laid = _ROW.get()
    return None if laid is None else (given[0].index_select(1, laid.keep), *given[1:])


def _put_back(module: Any, given: tuple[Any, ...], made: torch.Tensor) -> torch.Tensor:
    laid = _ROW.get()
    if laid is None:
        return made
    whole = made.new_zeros(1, laid.ids.shape[1], made.shape[-1])
    return whole.index_copy(1, laid.keep, made)


def _plain(config: Any) -> bool:
    """What two short items could not show: a window shorter than an item, or capped scores."""
    window = getattr(config, "sliding_window", None)
    capped = getattr(config, "attn_logit_softcapping", None)
    return not capped and (window is None or window >= LIMIT)


def attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    blocks: Blocks = (),
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each item. Shapes are transformers': `query` [1, heads, tokens, d]
    (keys and values may have fewer heads) → [1, tokens, heads, d]. Without `blocks` every row of
    the batch is one item."""
    if not blocks:
        blocks = ((query.shape[0], query.shape[2]),)
        query, key, value = (t.transpose(0, 1).flatten(1, 2)[None] for t in (query, key, value))
    sizes = [count * length for count, length in blocks]
    streams = [torch.split(t[0], sizes, 1) for t in (query, key, value)]
    found = []
    for (count, length), *parts in zip(blocks, *streams, strict=True):
        q, k, v = (t.unflatten(1, (count, length)).transpose(0, 1) for t in parts)
        said = torch.nn.functional.scaled_dot_product_attention(
            q,
            k,
            v,
            dropout_p=dropout,
            is_causal=True,
            scale=scaling,
            enable_gqa=q.shape[1] != k.shape[1],
        )
        found.append(said.transpose(1, 2).flatten(0, 1))
    return torch.cat(found)[None], None
