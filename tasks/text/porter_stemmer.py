"""English words to stems, so that runs, running and run are one: Porter 1980, "An algorithm for suffix stripping",
https://tartarus.org/martin/PorterStemmer/, with the two departures that its author made there (-bli, -logi).
"""

import re
from functools import lru_cache

CONSONANT, VOWEL = "[^aeiou]", "[aeiouy]"
RUN_OF_CONSONANTS, RUN_OF_VOWELS = f"{CONSONANT}[^aeiouy]*", f"{VOWEL}[aeiou]*"
MEASURED = re.compile(f"({RUN_OF_VOWELS}{RUN_OF_CONSONANTS})")
BEGIN = re.compile(f"^({RUN_OF_CONSONANTS})?")
HAS_VOWEL = re.compile(f"^({RUN_OF_CONSONANTS})?{VOWEL}")
SHORT = re.compile(f"^{RUN_OF_CONSONANTS}{VOWEL}[^aeiouwxy]$")
DOUBLED = re.compile(r"([^aeiouylsz])\1$")
STEP_2 = {
    **{"ational": "ate", "tional": "tion", "enci": "ence", "anci": "ance", "izer": "ize", "bli": "ble", "alli": "al"},
    **{"entli": "ent", "eli": "e", "ousli": "ous", "ization": "ize", "ation": "ate", "ator": "ate", "alism": "al"},
    **{"iveness": "ive", "fulness": "ful", "ousness": "ous", "aliti": "al", "iviti": "ive", "biliti": "ble"},
    "logi": "log",
}
STEP_3 = {"icate": "ic", "ative": "", "alize": "al", "iciti": "ic", "ical": "ic", "ful": "", "ness": ""}
STEP_4 = (
    *("al", "ance", "ence", "er", "ic", "able", "ible", "ant", "ement", "ment", "ent", "ou", "ism", "ate", "iti"),
    *("ous", "ive", "ize"),
)


@lru_cache(1 << 16)
def stem_word(word: str) -> str:
    """The stem of a word in lower case; other scripts, numbers and words of two letters are their own stems."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    first_y = word.startswith("y")
    if first_y:
        word = f"Y{word[1:]}"  # a consonant there
    stem = _without_e(_step_4(_replaced(_replaced(_step_1(word), STEP_2), STEP_3)))
    return f"y{stem[1:]}" if first_y else stem


def _measure(stem: str) -> int:
    """How often vowels are followed by consonants."""
    return len(MEASURED.findall(stem[BEGIN.match(stem).end() :]))  # type: ignore[union-attr]  (it matches nothing, too)


def _step_1(word: str) -> str:
    """Plurals, -ed, -ing, and y."""
    if word.endswith(("sses", "ies")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith("ss"):
        word = word[:-1]
    if word.endswith("eed"):
        word = word[:-1] if _measure(word[:-3]) > 0 else word
    elif (found := re.search(r"(ed|ing)$", word)) and HAS_VOWEL.match(word[: found.start()]):
        word = _mended(word[: found.start()])
    return f"{word[:-1]}i" if word.endswith("y") and HAS_VOWEL.match(word[:-1]) else word


def _mended(stem: str) -> str:
    """What -ed or -ing was taken from."""
    if stem.endswith(("at", "bl", "iz")):
        return f"{stem}e"
    if DOUBLED.search(stem):
        return stem[:-1]
    return f"{stem}e" if _measure(stem) == 1 and SHORT.match(stem) else stem


def _replaced(word: str, suffixes: dict[str, str]) -> str:
    """The longest of these suffixes by what stands for it, where enough is before it."""
    suffix = max((suffix for suffix in suffixes if word.endswith(suffix)), key=len, default="")
    stem = word[: len(word) - len(suffix)]
    return stem + suffixes[suffix] if suffix and _measure(stem) > 0 else word


def _step_4(word: str) -> str:
    suffix = max((suffix for suffix in (*STEP_4, "ion") if word.endswith(suffix)), key=len, default="")
    stem = word[: len(word) - len(suffix)]
    if not suffix or _measure(stem) < 2 or (suffix == "ion" and not stem.endswith(("s", "t"))):
        return word
    return stem


def _without_e(word: str) -> str:
    if word.endswith("e"):
        measure = _measure(word[:-1])
        word = word[:-1] if measure > 1 or (measure == 1 and not SHORT.match(word[:-1])) else word
    return word[:-1] if word.endswith("ll") and _measure(word) > 1 else word
