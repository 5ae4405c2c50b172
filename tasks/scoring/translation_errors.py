"""What goes wrong in translations: words left as they were in the source, phrases said again, texts too short or long.

A word is what stands between blanks, without the punctuation around it. Case counts: German writes as nouns what
English does not.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import Any

Row = dict[str, Any]
REPEATED = 3  # words of a phrase that a text says again
COMMON = 30  # words that are listed
LETTERS = 3  # of a word that counts as untranslated: shorter ones are the same in many languages by chance


def analyze_translations(rows: Sequence[Row]) -> Row:
    """copied: words of the source that a text keeps as its reference does, such as names. untranslated: those that it
    keeps and its reference does not. repeated: texts that say REPEATED words in a row more often than their reference
    does. Each with `sentences`, `words` (their number) and `common` [(word or phrase, times)]; empty: texts without a
    word, whose reference has some; identical: texts that are their source, and not their reference.
    """
    copied, untranslated, repeated = Counter[str](), Counter[str](), Counter[str]()
    sentences = Counter[str]()
    for row in rows:
        kept, wrong = kept_words(row["source_text"], row["text"], row["reference"])
        again = repeated_phrases(row["text"], row["reference"])
        for name, found, all_found in (
            ("copied", kept, copied),
            ("untranslated", wrong, untranslated),
            ("repeated", again, repeated),
        ):
            sentences[name] += bool(found)
            all_found.update(found)
    told = {"copied": copied, "untranslated": untranslated, "repeated": repeated}
    found: Row = {
        name: {"sentences": sentences[name], "words": counts.total(), "common": _common(counts)}
        for name, counts in told.items()
    }
    empty = sum(not row["text"] and bool(row["reference"]) for row in rows)
    same = sum(row["text"] == row["source_text"] != row["reference"] for row in rows if row["text"])
    return found | {"empty": empty, "identical": same}


def kept_words(source: str, text: str, reference: str) -> tuple[Counter[str], Counter[str]]:
    """Of the source's words that the text has too, those that the reference has as well, and those that it has not."""
    read, said, expected = (Counter(bare_words(one)) for one in (source, text, reference))
    kept = Counter({word: n for word, n in (read & said).items() if _is_translatable(word)})
    return kept & expected, kept - expected


def repeated_phrases(text: str, reference: str) -> Counter[str]:
    """Phrases of REPEATED words, or all but the first time that one is said, as far as the reference says it less."""
    said, expected = (Counter(_phrases(bare_words(one))) for one in (text, reference))
    again = Counter({phrase: n - max(1, expected[phrase]) for phrase, n in said.items()})
    return +again


def bare_words(text: str) -> list[str]:
    """Without the punctuation around them; what is nothing else is left out."""
    found = (_bare(word) for word in text.split())
    return [word for word in found if word]


def _bare(word: str) -> str:
    begin, end = 0, len(word)
    while begin < end and unicodedata.category(word[begin])[0] == "P":
        begin += 1
    while end > begin and unicodedata.category(word[end - 1])[0] == "P":
        end -= 1
    return word[begin:end]


def _is_translatable(word: str) -> bool:
    return sum(letter.isalpha() for letter in word) >= LETTERS


def _phrases(words: list[str]) -> list[str]:
    return [" ".join(words[i : i + REPEATED]) for i in range(len(words) - REPEATED + 1)]


def _common(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))[:COMMON]
