"""Words of tokens, whatever a token is."""

from untrained import tokenizer

from models.interface import Hypothesis
from tasks.tokenizer import load_tokenizer
from tasks.word_times import Clockwork, Timed, Words


def test_words_of_pieces_and_of_words(artifact_root):
    words = Words(load_tokenizer(tokenizer(["ape", "bee"], "words")))
    found = Hypothesis((5, 3, 4), 0.0, ((0, 2), (3, 4), (6, 7)))
    assert words.timed(found, Clockwork(0.1, 1.0)) == [Timed("bee", 1.0, 1.2), Timed("ape", 1.6, 1.7)]
    letters = Words(load_tokenizer(tokenizer()))
    assert letters.spoken([4, 4, 5, 3, 6, 4, 7, 4]) == [[2, 4], [6]]
    assert [letters.closed(y) for y in ([], [3], [4], [5], [5, 4], [5, 3])] == [True, True, True, False, True, False]
