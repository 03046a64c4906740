"""The first passages of a search, read together with the query and put into the order that gives.

A reranker is one file here and one line in `order.Reranking`, which holds the one in use:
`by_reader` asks the span reader in the box, `cross_encoder` a model of the user's own.
"""

from __future__ import annotations

from dataclasses import dataclass

from nightschool.errors import UsageError

OFF = "off"
READER = "reader"


@dataclass(frozen=True, slots=True)
class Wish:
    """`by` is `off`, `reader`, the absolute path of a cross-encoder's folder, or its OWNER/NAME.

    The first `depth` passages are read, in their order, until `budget_ms` are over.
    """

    by: str = OFF
    depth: int = 20
    budget_ms: int = 1000

    def __post_init__(self) -> None:
        if self.depth < 2 or self.budget_ms < 1:
            raise UsageError("Nothing can be reranked in that.", "Give it 2 passages and 1 ms.")
