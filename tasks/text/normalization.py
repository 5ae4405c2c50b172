"""Text normalization: how a transcript becomes what a model learns to write. Its config travels with the tokenizer.

Where punctuation is dropped, what stood apart stays apart: "wait…what", "either/or", "10:30" and "3.5" become two words
each. Inside a word a single mark goes without a trace, as Unicode's word boundaries have it (UAX #29, MidLetter):
"U.S.A", "EU:s", "col·lecció".

NFKC leaves numbers alone that are no decimal digits (½, ², ①): as digits beside others they would be other numbers.

Format characters (soft hyphens, marks of direction, byte order marks and what else has no width) go, unless the text
stays as written. ZERO WIDTH NON-JOINER and JOINER stay where a script needs them: the former between the letters of a
cursive script, as in Persian "می\u200cخواهم", both beside a virama (UAX #31, 2.3), and the latter between symbols.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

SPLITS, JOINS = "\x00", "\x01"  # in the place of a mark that is dropped: between two words, or inside one
# MidLetter and MidNumLet of UAX #29, marks that Armenian and Hebrew have inside a word, and what is typed for "'"
INSIDE_WORDS = frozenset(".:·\u0387\u2018\u2019\u2024\u2027\u2032\ufe13\ufe52\ufe55\uff07\uff0e\uff1a'`´՚՛՜՞՟׳״")
GERSHAYIM = re.compile('(?<=[\u05d0-\u05ea])"(?=[\u05d0-\u05ea])')  # as it is typed
WORD = r"[^\s\x00\x01\d]"
INSIDE = re.compile(f"(?<={WORD}){JOINS}(?={WORD})")
BETWEEN = re.compile(rf"(?<=[^\s\x00\x01])[{SPLITS}{JOINS}]+(?=[^\s\x00\x01])")
GONE = re.compile(f"[{SPLITS}{JOINS}]")
NON_JOINER, JOINER = "\u200c", "\u200d"
JOINERS = re.compile(f"[{NON_JOINER}{JOINER}]+")
CURSIVE = frozenset({"ARABIC", "SYRIAC", "MANDAIC", "MONGOLIAN", "NKO", "ADLAM"})  # their characters' names begin so
VARIATION = frozenset({*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0), 0x034F})  # selectors, and the joiner of marks
DOTTED = {"az", "tr"}  # languages that have a dotless i


@dataclass(frozen=True, kw_only=True)
class NormalizationConfig:
    """unicode: the Unicode form, "as written" for none. case, punctuation, spaces: what becomes of them (runs of white
    space are one space, or stay). kept: punctuation marks that stay where the others are dropped.
    language: of the text (ISO 639), where its letters change case in a way of their own: I and ı, İ and i in Turkish
    and Azerbaijani. replace: pairs "ab" that turn character a into b, first of all (Arabic to Persian kaf, say).
    alphabet: the letters of the language, empty for whatever the training text has; a training transcript with others
    is rejected.
    """

    unicode: Literal["NFC", "NFKC", "as written"] = "NFC"
    case: Literal["lower", "upper", "keep"] = "lower"
    language: Literal["und", "az", "tr"] = "und"
    punctuation: Literal["drop", "keep"] = "drop"
    kept: str = "'"
    spaces: Literal["single", "keep"] = "single"
    replace: tuple[str, ...] = ()
    alphabet: str = ""

    def __post_init__(self) -> None:
        if wrong := [pair for pair in self.replace if len(pair) != 2]:
            raise ValueError(f"text.replace takes pairs of two characters, not {wrong[0]!r}")


AS_WRITTEN = NormalizationConfig(unicode="as written", case="keep", punctuation="keep", spaces="keep")


def normalize_text(text: str, rules: NormalizationConfig) -> str:
    """The text under the rules."""
    if rules.replace:
        text = text.translate({ord(pair[0]): pair[1] for pair in rules.replace})
    if rules.punctuation == "drop":
        text = text.replace("\u2019", "'")  # the apostrophe as typographers write it
    text = _composed(text, rules)
    if rules.case != "keep":
        text = _cased(text, rules)  # which may compose or decompose, as does what goes now
    if rules.punctuation == "drop" and '"' not in rules.kept:
        text = GERSHAYIM.sub("״", text)
    if rules.punctuation == "drop" or (rules.unicode != "as written" and not text.isascii()):
        text = _parted(text.translate(_characters(rules.kept, rules.punctuation, rules.unicode)), rules)
        text = _composed(_joined(text, rules), rules)
    return " ".join(text.split()) if rules.spaces == "single" else text


def characters_outside(text: str, rules: NormalizationConfig) -> str:
    """The characters of a normalized text that the alphabet does not have, sorted; empty without an alphabet."""
    return "".join(sorted(set(text) - set(rules.alphabet) - {" "})) if rules.alphabet else ""


def _composed(text: str, rules: NormalizationConfig) -> str:
    if rules.unicode == "as written" or text.isascii():
        return text
    return unicodedata.normalize("NFC", text if rules.unicode == "NFC" else text.translate(_COMPATIBLE))


def _cased(text: str, rules: NormalizationConfig) -> str:
    if rules.case == "lower":
        dotted = text.replace("I\u0307", "i").replace("İ", "i").replace("I", "ı")
        return (dotted if rules.language in DOTTED else text).lower()
    return (text.replace("i", "İ") if rules.language in DOTTED else text).upper()


def _parted(marked: str, rules: NormalizationConfig) -> str:
    """What stands for marks between two words becomes a space, all else of it goes."""
    if rules.punctuation == "keep" or (SPLITS not in marked and JOINS not in marked):
        return marked
    return GONE.sub("", BETWEEN.sub(" ", INSIDE.sub("", marked)))


def _joined(text: str, rules: NormalizationConfig) -> str:
    """Without the joiners that do nothing."""
    if rules.unicode == "as written" or (NON_JOINER not in text and JOINER not in text):
        return text

    def first(found: re.Match[str]) -> str:
        joiner, begin, end = found[0][0], *found.span()
        stays = joiner in rules.kept or _does_something(joiner, text[max(0, begin - 1) : begin], text[end : end + 1])
        return joiner if stays else ""

    return JOINERS.sub(first, text)


@lru_cache(maxsize=4096)
def _does_something(joiner: str, before: str, after: str) -> bool:
    """Of a joiner between two characters, "" at the text's ends."""
    of_letters = {_category(before), _category(after)} <= {"L", "M"}
    if of_letters and 9 in map(_combining, (before, after)):
        return True
    if joiner == NON_JOINER:
        return of_letters and _script(before) == _script(after) in CURSIVE
    at_end = _combining(before) == 9 and _category(after) not in {"L", "M", "N"}  # a chillu, a khanda ta
    return at_end or (_category(after) == "S" and (_category(before) == "S" or ord(before or " ") in VARIATION))


def _category(character: str) -> str:
    return unicodedata.category(character)[0] if character else ""


def _combining(character: str) -> int:
    return unicodedata.combining(character) if character else 0


def _script(character: str) -> str:
    return unicodedata.name(character, "").partition(" ")[0]


class _Characters(dict[int, str]):
    """For `str.translate`: what each character becomes, looked up in the Unicode tables once. Joiners stay for now."""

    def __init__(self, kept: str, punctuation: str, unicode: str) -> None:
        super().__init__((ord(character), character) for character in kept)
        self.dropped, self.visible = punctuation == "drop", unicode != "as written"

    def __missing__(self, code: int) -> str:
        self[code] = self._becomes(chr(code), unicodedata.category(chr(code)))
        return self[code]

    def _becomes(self, character: str, category: str) -> str:
        if category == "Cf" and self.visible and character not in {NON_JOINER, JOINER}:
            return ""
        if not self.dropped:
            return character
        if category in {"Cc", "Zl", "Zp"}:
            return " "
        if category[0] in "PS" or category == "Me":  # "Me": the frame of a keycap
            return JOINS if character in INSIDE_WORDS else SPLITS
        return "" if ord(character) in VARIATION else character  # of a symbol that is gone


class _Compatible(dict[int, str]):
    """The same for NFKC, which leaves numbers alone that are no digits."""

    def __missing__(self, code: int) -> str:
        character, (tag, *parts) = chr(code), unicodedata.decomposition(chr(code)).split() or [""]
        if tag and not tag.startswith("<"):  # canonical: it matters where its parts are compatible with others
            parts = [tag, *parts]
        if unicodedata.category(character) == "No" or not parts:
            self[code] = character
            return character
        written = "".join(chr(int(part, 16)) for part in parts)
        expanded = written.translate(self)
        self[code] = expanded if tag.startswith("<") or expanded != written else character
        return self[code]


_characters, _COMPATIBLE = cache(_Characters), _Compatible()
