"""Text normalization: how a transcript becomes what a model learns to write. Its config travels with the tokenizer."""

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class NormalizationConfig:
    """unicode: the Unicode form, "as written" for none. case, punctuation, spaces: what becomes of them (runs of white
    space are one space, or stay); `kept` are punctuation marks that stay where the others are dropped.
    replace: pairs "ab" that turn character a into b, first of all (Arabic to Persian kaf, say). alphabet: the letters
    of the language, empty for whatever the training text has; a training transcript with others is rejected.
    """

    unicode: Literal["NFC", "NFKC", "as written"] = "NFC"
    case: Literal["lower", "upper", "keep"] = "lower"
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
        text = text.lower() if rules.case == "lower" else text.upper()
        text = _composed(text, rules)  # a change of case may compose or decompose
    if rules.punctuation == "drop":
        text = text.translate(_unpunctuated(rules.kept))
    return " ".join(text.split()) if rules.spaces == "single" else text


def _composed(text: str, rules: NormalizationConfig) -> str:
    return text if rules.unicode == "as written" else unicodedata.normalize(rules.unicode, text)


def characters_outside(text: str, rules: NormalizationConfig) -> str:
    """The characters of a normalized text that the alphabet does not have, sorted; empty without an alphabet."""
    return "".join(sorted(set(text) - set(rules.alphabet) - {" "})) if rules.alphabet else ""


class _Unpunctuated(dict[int, str]):
    """For `str.translate`: what each character becomes, looked up in the Unicode tables once."""

    def __init__(self, kept: str) -> None:
        super().__init__((ord(character), character) for character in kept)

    def __missing__(self, code: int) -> str:
        character, category = chr(code), unicodedata.category(chr(code))
        apart = category in {"Pd", "Cc", "Zl", "Zp"} or character in "/\\_"  # twenty-one is two words
        self[code] = " " if apart else "" if category[0] in "PS" else character
        return self[code]


_unpunctuated = cache(_Unpunctuated)
