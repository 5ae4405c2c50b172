"""Text normalisation: how a transcript becomes what a model learns to write. Its config travels with the tokenizer."""

import unicodedata
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """unicode: the Unicode form. case, punctuation: what becomes of them; `kept` are punctuation marks that stay.
    replace: pairs "ab" that turn character a into b, first of all (Arabic to Persian kaf, say). alphabet: the letters
    of the language, empty for whatever the training text has; a training transcript with others is rejected.
    """

    unicode: Literal["NFC", "NFKC"] = "NFC"
    case: Literal["lower", "upper", "keep"] = "lower"
    punctuation: Literal["drop", "keep"] = "drop"
    kept: str = "'"
    replace: tuple[str, ...] = ()
    alphabet: str = ""

    def __post_init__(self) -> None:
        if wrong := [pair for pair in self.replace if len(pair) != 2]:
            raise ValueError(f"text.replace takes pairs of two characters, not {wrong[0]!r}")


def normalise(text: str, rules: Normalisation) -> str:
    """The text under the rules, words separated by single spaces."""
    text = text.translate({ord(pair[0]): pair[1] for pair in rules.replace})
    text = unicodedata.normalize(rules.unicode, text.replace("\u2019", "'"))
    text = {"lower": text.lower(), "upper": text.upper(), "keep": text}[rules.case]
    text = unicodedata.normalize(rules.unicode, text)  # a change of case may compose or decompose
    if rules.punctuation == "drop":
        text = "".join(_without_punctuation(c, rules.kept) for c in text)
    return " ".join(text.split())


def outside(text: str, rules: Normalisation) -> str:
    """The characters of a normalised text that the alphabet does not have, sorted; empty without an alphabet."""
    return "".join(sorted(set(text) - set(rules.alphabet) - {" "})) if rules.alphabet else ""


def _without_punctuation(character: str, kept: str) -> str:
    if character in kept:
        return character
    category = unicodedata.category(character)
    if category in {"Pd", "Cc", "Zl", "Zp"} or character in "/\\_":
        return " "  # twenty-one is two words
    return "" if category[0] in "PS" else character
