"""Words of tokens, whatever a token is."""

from untrained import tokenizer

from models.interface import Hypothesis
from tasks.decoding.alignment.word_timestamps import FrameTiming, TimedToken, WordTimestamps
from tasks.text.tokenizer import load_tokenizer


def test_words_of_pieces_and_of_words(artifact_root):
    words = WordTimestamps(load_tokenizer(tokenizer(["ape", "bee"], "words")))
    found = Hypothesis((5, 3, 4), 0.0, ((0, 2), (3, 4), (6, 7)))
    assert words.timed(found, FrameTiming(0.1, 1.0)) == [TimedToken("bee", 1.0, 1.2), TimedToken("ape", 1.6, 1.7)]
    letters = WordTimestamps(load_tokenizer(tokenizer()))
    assert letters.spoken([4, 4, 5, 3, 6, 4, 7, 4]) == [[2, 4], [6]]
    assert [letters.closed(y) for y in ([], [3], [4], [5], [5, 4], [5, 3])] == [True, True, True, False, True, False]


def test_a_pause_ends_a_word_where_that_is_asked_for(artifact_root):
    letters = load_tokenizer(tokenizer())
    found = Hypothesis((5, 6, 7, 4, 8), 0.0, ((0, 1), (2, 3), (9, 10), (11, 12), (12, 13)))
    assert WordTimestamps(letters).spoken(found.tokens, found.spans) == [[0, 1, 2], [4]]
    apart = WordTimestamps(letters, pause=6)
    assert apart.spoken(found.tokens, found.spans) == [[0, 1], [2], [4]]
    assert [(w.begin, w.end) for w in apart.timed(found, FrameTiming(0.1))] == [(0.0, 0.3), (0.9, 1.0), (1.2, 1.3)]
    assert apart.spoken(found.tokens) == [[0, 1, 2], [4]], "without times no pause is known"
    assert WordTimestamps(letters, pause=7).spoken(found.tokens, found.spans) == [[0, 1, 2], [4]]
