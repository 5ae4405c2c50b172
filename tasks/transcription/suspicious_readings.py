"""Why a reading of a window is doubtful, and which of two readings is the better one.

no_text: voice activity detection has heard speech, and nothing was written. repetition: words that are written again
and again, as a search in a loop writes them. fast, slow: more or fewer characters a second than anybody says.
low_confidence: fewer than so many of its words are expected to be right. truncated: the search came to its limit.
"""

from collections.abc import Sequence
from typing import Literal, get_args

from tasks.transcription.transcript import Word, mean_confidence

Flag = Literal["no_text", "repetition", "fast", "slow", "low_confidence", "truncated"]
FLAGS: tuple[Flag, ...] = get_args(Flag)
# An auctioneer says some 25 letters a second (Guinness' fastest talker 50), and who reads Chinese aloud 3 to 5
# characters; what is found as speech may be a third of pauses.
FASTEST, SLOWEST = 30.0, 1.0
SLOW_SECONDS = 3.0  # a shorter window may be one word, or a cough
PHRASE, REPEATS, LEAST_WORDS = 6, 4, 5  # words of a phrase at most, how often it is said in a row, words in all
LEAST_CONFIDENCE = 0.6


def find_suspicions(words: Sequence[Word], seconds: float, *, speech: bool, truncated: bool) -> tuple[Flag, ...]:
    """Of a window of so many seconds. speech: voice activity detection has found some in it."""
    characters, sure = sum(len(word.text) for word in words), mean_confidence(words)
    found: dict[Flag, bool] = {
        "no_text": speech and not words,
        "repetition": has_loop([word.text for word in words]),
        "fast": characters > FASTEST * max(seconds, 1.0),
        "slow": speech and bool(words) and seconds >= SLOW_SECONDS and characters < SLOWEST * seconds,
        "low_confidence": sure is not None and sure < LEAST_CONFIDENCE,
        "truncated": truncated,
    }
    return tuple(flag for flag in FLAGS if found[flag])


def has_loop(texts: Sequence[str]) -> bool:
    """Whether a phrase of 1 to PHRASE words stands REPEATS times in a row, and is LEAST_WORDS long in all."""
    for size in range(1, PHRASE + 1):
        run = 0  # words that are the same as those `size` before
        for k in range(size, len(texts)):
            run = run + 1 if texts[k] == texts[k - size] else 0
            if run + size >= max(REPEATS * size, LEAST_WORDS):
                return True
    return False


def rank_reading(flags: Sequence[str], words: Sequence[Word]) -> tuple[int, float]:
    """The greater the better: fewer flags, then more words that are expected to be right."""
    return -len(flags), mean_confidence(words) or 0.0
