"""What separates a transcript from its reference, counted."""

import jiwer


def count_errors(result: jiwer.WordOutput | jiwer.CharacterOutput) -> tuple[int, int, int, int]:
    """Substitutions, deletions, insertions, and the reference's length."""
    length = result.hits + result.substitutions + result.deletions
    return result.substitutions, result.deletions, result.insertions, length
