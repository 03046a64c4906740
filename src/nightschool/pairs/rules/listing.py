"""Questions from list items that are amounts: `200 g flour`, `2 towels`."""

from __future__ import annotations

import re

from nightschool.pairs import phrasing
from nightschool.pairs.facts import Fact
from nightschool.pairs.rules import lexicon, spans
from nightschool.pairs.rules.note import Sentence
from nightschool.pairs.rules.subject import Subject
from nightschool.pairs.text import bag

_AMOUNT = re.compile(
    r"^(?P<amount>(?:\d[\d.,/–-]*\s?[½¼¾⅓⅔]?|[½¼¾⅓⅔])(?:\s?(?:x\s)?(?P<unit>[A-Za-zµ°%]+)\b)?)\s+(?:of\s+)?(?P<thing>[^\d,(;:]{2,50})"
)
_UNITS = bag(
    "g kg mg ml l cl dl oz lb lbs tsp tbsp cup cups litre litres liter liters teaspoon teaspoons "
    "tablespoon tablespoons gram grams pinch handful tin tins can cans packet packets clove cloves "
    "slice slices bunch bunches sprig sprigs bag bags box boxes bottle bottles jar jars m cm mm "
    "metre metres pair pairs sheet sheets roll rolls piece pieces"
)


def facts(item: Sentence, subject: Subject, chunk_id: int) -> list[Fact]:
    """The amount of one thing in a list, if the item starts with a figure."""
    found = _AMOUNT.match(item.text)
    if not found or not item.item or found.start():
        return []
    amount, unit, thing = found["amount"], found["unit"], found["thing"].strip(" .-–—")
    if unit and unit.lower() not in _UNITS:
        thing, amount, unit = f"{unit} {thing}", amount[: -len(unit)].strip(), None
    thing = re.split(r"\s(?:from|for|in|at|to|with|on|by|until|per|and|or|if|then)\s", f"{thing} ")[
        0
    ].strip()
    words = thing.split()
    if not words or len(words) > 5 or any(w.lower() in lexicon.AUXILIARIES for w in words):
        return []
    if amount not in item.raw or spans.whole(f"{amount} {words[0]}") in (
        spans.Type.DATE,
        spans.Type.TIME,
    ):
        return []
    many = unit is None and any(lexicon.plural(word) for word in words)
    wh = "How many" if many else "How much" if unit else ""
    if not wh:
        return []
    forms = phrasing.clause(
        f"{wh} {thing} do I need for {subject.phrase}?",
        f"{wh.lower()} {thing} I need for {subject.phrase}",
        which=f"What amount of {thing} do my notes give for {subject.phrase}?",
    )
    return [Fact(amount, item.raw, chunk_id, tuple(forms), 0.9, "list")]
