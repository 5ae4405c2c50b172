"""Two texts word by word: which words of one are which of the other."""

from collections.abc import Sequence

import jiwer


def match_words(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Places (i, j) with i and j rising, at which a shortest sequence of edits leaves the same word standing.

    The words hold no blanks.
    """
    if not one or not other:
        return []
    (chunks,) = jiwer.process_words([" ".join(one)], [" ".join(other)]).alignments
    same = [(chunk.ref_start_idx, chunk.hyp_start_idx, chunk.ref_end_idx) for chunk in chunks if chunk.type == "equal"]
    return [(i, i - first + at) for first, at, end in same for i in range(first, end)]
