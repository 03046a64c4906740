"""Reading a sentence into clauses.

The grammar is narrow on purpose: what it does not recognise is left to the cloze rule, because a
wrong question costs more than a missing one.
"""

from __future__ import annotations

import re
from dataclasses import replace

from nightschool.pairs.rules import lexicon, spans, verbs
from nightschool.pairs.rules.grammar import Clause, lower_wh
from nightschool.pairs.text import bag

_TOKEN = re.compile(r"(?:[^\s,;:()\"“”]|(?<=\w)[,:](?=\w))+|[,;:()\"“”]")
_VAGUE = bag(
    "half one some most both another others everyone everything nobody nothing somebody all"
)
_LEAD = bag("on in at since by during after before from until for every last next this")
_BREAK = bag(
    "and but so because although though while which who where when if unless since as until"
)


def clauses(sentence: str) -> list[Clause]:
    """The main clause and what is joined to it: "… and goes up on birthdays", ", which sails …"."""
    main = parse(sentence)
    if main is None:
        said = re.match(
            r"(?:\S+ ){1,5}(?:said|says|told me|reported|noted|mentioned)(?: that)? (.+)", sentence
        )
        reported = parse(_upper(said.group(1))) if said else None
        return [reported] if reported is not None and not reported.imperative else []
    found = [main]
    text = sentence.strip().rstrip(".!…").strip()
    at = text.find(main.rest)
    tail = text[at + len(main.rest) :] if at >= 0 else ""
    inner = (
        re.match(r"(?:\w+ )?that (.+)", text[len(text) - len(tail) :].strip()) if at >= 0 else None
    )
    if inner is None:
        inner = re.search(
            r"\b(?:said|says|told me|reported|thinks|noted|mentioned) that (.+)", text
        )
    if inner:
        reported = parse(_upper(inner.group(1)))
        if reported is not None and not reported.imperative:
            found.append(reported)
    joined = re.match(r"[,;]?\s*(?:and|but|so|–|—|;)\s+(?:then\s+|later\s+)?(\S.*)", tail)
    if joined:
        second = joined.group(1)
        own = parse(second)
        if (
            own is not None
            and not own.imperative
            and (own.subject != "I" or second.startswith("I "))
        ):
            found.append(own)
        else:
            verb = second.split(" ", 1)[0]
            if main.imperative and "base" in lexicon.verb_forms(verb):
                found.append(replace(main, rest=main_part(second), lead=""))
            elif (
                lexicon.verb_forms(verb) & {"past", "third", "participle"}
                or verb in lexicon.AUXILIARIES
            ):
                passive = main.base == "be" and "participle" in lexicon.verb_forms(verb)
                passive = passive and not main.rest.startswith("born")
                after = ([*second.split(), "", ""])[1]
                if passive and after.lower() in lexicon.PREPOSITIONS:
                    second = f"{main.verb} {second}"  # "are written … and kept for 30 days"
                shared = parse(f"{_upper(main.subject)} {second}")
                if shared is not None:
                    found.append(replace(shared, subject=main.subject))
    relative = re.match(r",?\s*which\s+((?:\S+\s+){2,}\S+)", tail)
    noun = re.search(r"\b((?:the|my|our|a|an) [^,]{2,40}|(?:[A-Z][\w’'-]+ ?){1,4})$", main.rest)
    if relative and noun and not re.match(r"(?:means?|is why|was why)\b", relative.group(1)):
        name = noun.group(1).strip()
        name = re.sub(r"^(a|an) ", "the ", name)
        shared = parse(f"{name[:1].upper()}{name[1:]} {relative.group(1)}")
        if shared is not None and not shared.imperative:
            found.append(replace(shared, subject=name))
    return found


def parse(sentence: str) -> Clause | None:
    """The main clause of a sentence, or None when the narrow grammar does not fit."""
    text = sentence.strip().rstrip(".!…").strip()
    text = re.sub(r"^[Pp]lease,? ", "", text)
    if not text or text.endswith("?") or (not text[0].isalnum() and text[0] not in "£$€"):
        return None
    lead, text = _take_lead(text)
    tokens = list(_TOKEN.finditer(text))
    if len(tokens) < 3:
        return None
    first = tokens[0].group().lower()
    if first in _BREAK | {"there", "here", "this", "these", "those", "that", "what", "how", "why"}:
        return None
    own = _subjectless(tokens, text, lead)
    if own is not None:
        return own
    at = verbs.finite(tokens)
    if at is None:
        return _imperative(tokens, text, lead) or _bare(tokens, text, lead)
    subject = text[: tokens[at].start()].strip().rstrip(",")
    verb = tokens[at].group()
    rest = text[tokens[at].end() :].strip()
    low = verb.lower()
    if subject.lower() in _VAGUE:
        return None
    auxiliary = low in lexicon.BE or low in lexicon.MODALS
    following = tokens[at + 1].group() if at + 1 < len(tokens) else ""
    if following.lower() in ("not", "n't") and not auxiliary and low not in lexicon.AUXILIARIES:
        return None
    if low in ("has", "have", "had"):
        step = 2 if following.lower() in lexicon.ADVERBS | {"been"} else 1
        later = tokens[at + step].group() if at + step < len(tokens) else ""
        auxiliary = following.lower() == "been" or verbs.participle(later)
    if low in ("do", "does", "did"):
        auxiliary = following.lower() == "not"
    plain = low in lexicon.MODALS or "base" in lexicon.verb_forms(low)
    rest = main_part(rest, plain=plain)
    if not rest:
        return None
    base = (
        "have"
        if low in ("has", "have", "had")
        else "be"
        if low in lexicon.BE
        else lexicon.lemma(verb)
    )
    return Clause(_decapitalise(subject), verb, base or low, auxiliary, rest, lead)


def _take_lead(text: str) -> tuple[str, str]:
    """Split "On 3 May, Anna …" into the adverbial and the clause."""
    first = text.split(" ", 1)[0].lower()
    if first not in _LEAD:
        hit = [span for span in spans.find(text[:60]) if span.start == 0]
        if hit and hit[0].type is spans.Type.DATE and text[hit[0].end : hit[0].end + 1] == ",":
            return text[: hit[0].end], text[hit[0].end + 1 :].strip()
        return "", text
    comma = text.find(",")
    if 0 < comma < 60 and not _has_verb(text[:comma]):
        return lower_wh(text[:comma].strip()), text[comma + 1 :].strip()
    for span in spans.find(text):
        if span.type in (spans.Type.DATE, spans.Type.TIME) and span.start == len(first) + 1:
            return lower_wh(text[: span.end]), text[span.end :].strip()
    return "", text


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _has_verb(text: str) -> bool:
    return any(
        word.lower() in lexicon.AUXILIARIES or word.lower() in lexicon.PRONOUNS
        for word in re.findall(r"[\w'’]+", text)
    )


def _imperative(tokens: list[re.Match[str]], text: str, lead: str) -> Clause | None:
    """ "Bake the cake at 180 °C" → I should bake the cake at 180 °C."""
    word = tokens[0].group()
    following = tokens[1].group().lower()
    if "base" not in lexicon.verb_forms(word) or word.lower() in lexicon.FUNCTION:
        return None
    if word.lower().endswith("s") and not word.lower().endswith("ss"):
        return None
    fits = (
        following in lexicon.DETERMINERS | lexicon.PREPOSITIONS
        or following[0].isdigit()
        or following in ("it", "them", "everything")
    )
    if not fits and "NOUN" in lexicon.kinds(word):
        return None
    rest = f"{word[:1].lower()}{text[1:]}"
    return Clause("I", "should", "should", True, main_part(rest, plain=True), lead, True)


def _subjectless(tokens: list[re.Match[str]], text: str, lead: str) -> Clause | None:
    """ "Freezes well", "Comes on Tuesdays": the note's own subject is meant (left empty here)."""
    words = [token.group() for token in tokens]
    word, second = words[0].lower(), words[1].lower()
    if "third" not in lexicon.verb_forms(word) or not words[0][0].isupper():
        return None
    if second not in lexicon.PREPOSITIONS | lexicon.ADVERBS | lexicon.DETERMINERS | {"well"}:
        return None
    later = [w.lower() for w in words[2:9]]
    if "NOUN" in lexicon.kinds(word) and any(
        w in lexicon.AUXILIARIES or lexicon.verb_forms(w) & {"past"} for w in later
    ):
        return None
    rest = main_part(text[tokens[0].end() :].strip())
    return Clause("", word, lexicon.lemma(word), False, rest, lead) if rest else None


def _bare(tokens: list[re.Match[str]], text: str, lead: str) -> Clause | None:
    """Diary style, "Walked to the lighthouse": the writer is the subject."""
    word = tokens[0].group()
    words = [token.group() for token in tokens]
    forms = lexicon.verb_forms(word)
    if "past" not in forms or "ADJ" in lexicon.kinds(word) or not verbs.opens(words, 1):
        return None
    if words[1].lower() in ("by", "of"):
        return None
    rest = main_part(text[tokens[0].end() :].strip())
    verb = word.lower()
    return Clause("I", verb, lexicon.lemma(verb) or verb, False, rest, lead) if rest else None


def main_part(rest: str, *, plain: bool = False) -> str:
    """The rest of the main clause: what follows another clause is cut off.

    With `plain`, a base form may begin the next predicate ("will start in May and last a week").
    """
    tokens = list(_TOKEN.finditer(rest))
    for i, token in enumerate(tokens):
        word = token.group().lower()
        if word in (";", "("):
            return rest[: token.start()].strip()
        if word == "that" and i + 2 < len(tokens):
            return rest[: token.start()].strip()
        if word == "," and i + 3 < len(tokens):
            after = 2 if tokens[i + 1].group().lower() in ("and", "but", "so") else 1
            if after == 2 and parse(_upper(rest[tokens[i + after].start() :])) is not None:
                return rest[: token.start()].strip()
        following = tokens[i + 1].group().lower() if i + 1 < len(tokens) else ""
        if word == ":" and i:
            return rest[: token.start()].strip()
        joins = following != "and" or _new_clause(tokens, i + 2)
        if word == "," and following in _BREAK and joins:
            return rest[: token.start()].strip()
        if (
            word
            in (
                "because",
                "although",
                "though",
                "while",
                "which",
                "but",
                "so",
                "if",
                "unless",
                "when",
                "where",
                "who",
            )
            and i
        ):
            return rest[: token.start()].strip().rstrip(",")
        if (
            word == "and"
            and i
            and (_new_clause(tokens, i + 1) or (plain and _base_next(tokens, i + 1)))
        ):
            return rest[: token.start()].strip().rstrip(",")
        if word in ("–", "—", "-"):
            return rest[: token.start()].strip()
    return rest.strip()


def _base_next(tokens: list[re.Match[str]], at: int) -> bool:
    words = [token.group() for token in tokens[at : at + 2]]
    return len(words) == 2 and "base" in lexicon.verb_forms(words[0]) and verbs.opens(words, 1)


def _new_clause(tokens: list[re.Match[str]], at: int) -> bool:
    """Whether "and" joins another predicate here, and not another thing."""
    words = [token.group() for token in tokens[at : at + 5]]
    low = [word.lower() for word in words]
    if not low:
        return False
    if (
        low[0] in lexicon.PRONOUNS
        or low[0] in lexicon.AUXILIARIES
        or low[0] in ("then", "later", "not")
    ):
        return True
    forms, kinds = lexicon.verb_forms(low[0]), lexicon.kinds(low[0])
    sure = "NOUN" not in kinds or (len(low) > 1 and verbs.opens(words, 1))
    if words[0][0].islower() and forms & {"past", "third"} and sure:
        return True
    return any(
        word in lexicon.AUXILIARIES
        or (
            i
            and words[i][0].islower()
            and "past" in lexicon.verb_forms(word)
            and "NOUN" not in lexicon.kinds(word)
        )
        for i, word in enumerate(low[:4])
    )


_KIN = bag("Dad Mum Mom Mummy Daddy Grandma Grandpa Granny Grandad Nan Uncle Aunt Auntie Cousin")


def _decapitalise(subject: str) -> str:
    first, space, rest = subject.partition(" ")
    bare = first.removesuffix("'s").removesuffix("’s")
    if (
        first in _KIN
        or first == "I"
        or (bare.isupper() and len(bare) > 1)
        or not lexicon.known(bare)
    ):
        return subject
    if (
        rest
        and rest[0].isupper()
        and bare.lower() not in lexicon.FUNCTION
        and not lexicon.known(rest.split()[0])
    ):
        return subject
    return first[:1].lower() + first[1:] + space + rest
