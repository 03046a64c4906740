"""What counts as supported by a passage: sentences, agreement, abstention and confidence."""

from __future__ import annotations

from nightschool.engine.evidence import confidence
from nightschool.engine.support import abstains, agree, find_support, sentence_at, sentences


def test_sentences_are_literal_and_do_not_break_at_abbreviations_or_figures() -> None:
    text = "# Tea\n\n- Dr. Brix drinks 2.5 cups. She likes it hot!\n- [ ] buy e.g. Assam\n| a | b |"
    found = sentences(text)
    assert [sentence.text for sentence in found] == [
        "Tea",
        "Dr. Brix drinks 2.5 cups.",
        "She likes it hot!",
        "buy e.g. Assam",
        "| a | b |",
    ]
    assert all(text[s.start : s.end] == s.text for s in found)
    at = text.index("hot")
    assert sentence_at(text, at, at + 3).text == "She likes it hot!"


def test_support_needs_the_same_figures_and_names_in_one_place() -> None:
    note = "Anna Brandt serviced the boiler on 3 May 2024. The roof cost 800 euros."
    assert find_support("It was serviced by Anna Brandt", [note], "Who serviced the boiler?")
    assert find_support("on May 3, 2024", ["nothing", note])
    assert find_support("800 Euros", [note])
    for wrong in ("Anna Berger", "4 May 2024", "900 euros", "yes", "", "the roof leaked badly"):
        assert find_support(wrong, [note], "Who serviced the boiler?") is None, wrong
    far = note + " The cat sleeps. The dog eats. Gustav called."
    assert find_support("Anna Brandt and Gustav", [far]) is None


def test_agreement_ignores_wording_but_never_figures() -> None:
    assert agree("3 May 2024", "on May 3")
    assert agree("the garage of Brockmann", "Brockmann")
    for one, two in (("31 kg", "22 kg"), ("Anna", "Berta"), ("", "x"), ("19:30", "19:45")):
        assert not agree(one, two), (one, two)


def test_many_ways_of_not_knowing_are_understood() -> None:
    for text in ("I don't know.", "I do not know", "", "Unknown", "The text does not say.", "N/A"):
        assert abstains(text), text
    for text in ("Unknown Pleasures was the album? Yes, by Joy Division"[8:], "Anna", "No. 7"):
        assert not abstains(text), text


def test_confidence_rises_with_each_kind_of_evidence() -> None:
    middle = confidence(0.6, 0.4, 0.5)
    assert confidence(0.9, 0.4, 0.5) > middle < confidence(0.6, 0.6, 0.5)
    assert middle < confidence(0.6, 0.4, 1.0)
    assert 0 < confidence(0.0, None, 0.0) < confidence(1.0, 1.0, 1.0) < 1
