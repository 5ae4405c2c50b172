"""Texts as SentencePiece learns from all of them."""

from collections.abc import Iterable, Iterator

SENTENCE_CHARACTERS = 1000  # SentencePiece skips sentences of more than 4,192 bytes without a word,
RESERVED = "\u2585"  # and those in which this stands


def short_sentences(texts: Iterable[str]) -> Iterator[str]:
    """The texts, cut between words, or where a word is longer still anywhere, so that SentencePiece skips none."""
    for text in texts:
        text, begin = text.replace(RESERVED, " "), 0
        while begin < len(text):
            end = begin + SENTENCE_CHARACTERS
            if end < len(text) and (space := text.rfind(" ", begin + 1, end + 1)) > 0:
                end = space
            if piece := text[begin:end].strip():
                yield piece
            begin = end + (text[end : end + 1] == " ")
