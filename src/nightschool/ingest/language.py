"""Which language a text is in: by its script, or by the small words it is full of.

Enough to tell what is English from what is not; a text of names and numbers has no language.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter

_SAMPLE = 20_000
_MIN_WORDS = 12
_MIN_HITS = 4
_SMALL = {
    "en": "the and of to is was that for it with as on be at by this are from have not you which",
    "de": "der die und das ist nicht ein eine den mit zu auf für von im dem sich auch wir ich sie",
    "fr": "le la les et des est une un dans que pour qui pas sur au avec ce il nous vous du sont",
    "es": "el los las y una que en es por con para del se no un su al lo como más pero está",
    "it": "il di che è la per un una non con sono del della gli nel si anche come alla dei",
    "pt": "o os que não uma em um para com é do da se por mais como dos ao na foi está",
    "nl": "de het een en van is dat niet op te zijn voor met die aan er maar ook naar bij",
    "sv": "och att det som är en på för av med den inte ett har jag vi till om var",
    "da": "og at det er en til på for af med den ikke der som jeg vi har et fra blev",
    "nb": "og det er på en til som for av med ikke den jeg vi har et å fra ble seg",
    "fi": "ja on ei se että oli hän mutta myös ovat kun joka sekä niin tai kuin sen olla",
    "pl": "i w na z nie się jest do że to jak po ale za od przez dla są tego był",
    "cs": "a je se na v že to s z do ne jsem by ale jako pro jsou byl po tak",
    "hu": "a az és hogy nem egy is van ez meg volt de ha csak már el mint vagy",
    "ro": "și în de la cu este nu un pe care din o se pentru mai sunt au ce fost",
    "tr": "ve bir bu da de için ile çok ne gibi daha var olarak ama en mi kadar değil",
    "id": "yang dan di dengan untuk dari ini itu tidak pada dalam akan ke adalah saya juga ada",
}
_SETS = {code: frozenset(words.split()) for code, words in _SMALL.items()}
_SCRIPTS = {
    "CYRILLIC": "ru", "GREEK": "el", "HEBREW": "he", "ARABIC": "ar", "DEVANAGARI": "hi",
    "CJK": "zh", "HIRAGANA": "ja", "KATAKANA": "ja", "HANGUL": "ko", "THAI": "th",
    "GEORGIAN": "ka", "ARMENIAN": "hy", "BENGALI": "bn", "TAMIL": "ta",
}  # fmt: skip
_NAMES = {
    "en": "English", "de": "German", "fr": "French", "es": "Spanish", "it": "Italian",
    "pt": "Portuguese", "nl": "Dutch", "sv": "Swedish", "da": "Danish", "nb": "Norwegian",
    "fi": "Finnish", "pl": "Polish", "cs": "Czech", "hu": "Hungarian", "ro": "Romanian",
    "tr": "Turkish", "id": "Indonesian", "ru": "Russian", "uk": "Ukrainian", "el": "Greek",
    "he": "Hebrew", "ar": "Arabic", "fa": "Persian", "hi": "Hindi", "zh": "Chinese",
    "ja": "Japanese", "ko": "Korean", "th": "Thai", "ka": "Georgian", "hy": "Armenian",
    "bn": "Bengali", "ta": "Tamil",
}  # fmt: skip
_FOREIGN = 0.3
"""From this share of letters in another script the text counts as of that script."""
_WORD = re.compile(r"[^\W\d_]+")


def detect(text: str) -> str:
    """The ISO 639-1 code, or empty when there is too little to tell."""
    sample = text[:_SAMPLE]
    letters = [char for char in sample if char.isalpha()]
    foreign = Counter(
        script for char in letters if ord(char) >= 0x370 and (script := _script(char)) is not None
    )
    if letters and foreign.total() >= max(4, _FOREIGN * len(letters)):
        return _of_script(foreign, sample)
    words = [word.lower() for word in _WORD.findall(sample)]
    if len(words) < _MIN_WORDS:
        return ""
    counts = Counter(words)
    hits = sorted(
        ((sum(counts[word] for word in small), code) for code, small in _SETS.items()),
        reverse=True,
    )
    (most, best), (second, _) = hits[0], hits[1]
    clear = most >= max(_MIN_HITS, 0.08 * len(words)) and most > second
    return best if clear else ""


def name_of(code: str) -> str:
    """A language by its English name; an unknown code stays as it is."""
    return _NAMES.get(code, code)


def _script(char: str) -> str | None:
    return _SCRIPTS.get(unicodedata.name(char, "").partition(" ")[0].partition("-")[0])


def _of_script(foreign: Counter[str], sample: str) -> str:
    if foreign["ja"]:  # Japanese mixes Chinese signs with its own
        return "ja"
    best = foreign.most_common(1)[0][0]
    if best == "ru" and re.search("[іїєґІЇЄҐ]", sample):
        return "uk"
    if best == "ar" and re.search("[پچژگ]", sample):
        return "fa"
    return best
