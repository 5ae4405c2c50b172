"""METEOR of exact and stem matches, without WordNet: Banerjee and Lavie 2005, https://aclanthology.org/W05-0909/.

A word may match one of the reference whose stem is the same. Of all alignments with the most matches that with the
fewest chunks (runs of words next to each other in both) counts. With precision P and recall R of m matches in c chunks

    F = P R / (alpha P + (1 - alpha) R)      score = F (1 - gamma (c / m)^beta)      alpha 0.9, beta 3, gamma 0.5

against the best of the references. Numbers of METEOR 1.5, with synonyms, paraphrases and other weights, are higher.
"""

from collections.abc import Sequence

from tasks.text.porter_stemmer import stem_word

ALPHA, BETA, GAMMA = 0.9, 3.0, 0.5
BEAM = 64  # alignments that are followed

Words = Sequence[str]
State = tuple[int, int]  # bits of the reference's words that are taken, the one taken by the word before or -2


def meteor(caption: Words, references: Sequence[Words]) -> float:
    """0 to 1, against the best of the references."""
    stems = [stem_word(word) for word in caption]
    return max((_score(stems, [stem_word(word) for word in reference]) for reference in references), default=0.0)


def _score(caption: Words, reference: Words) -> float:
    matches, chunks = align_words(caption, reference)
    if not matches:
        return 0.0
    precision, recall = matches / len(caption), matches / len(reference)
    mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
    return mean * (1 - GAMMA * (chunks / matches) ** BETA)


def align_words(caption: Words, reference: Words) -> tuple[int, int]:
    """The most words that can be matched one to one, and in how few chunks."""
    places: dict[str, list[int]] = {}
    for at, word in enumerate(reference):
        places.setdefault(word, []).append(at)
    states: dict[State, tuple[int, int]] = {(0, -2): (0, 0)}  # matches, and chunks below 0
    for word in caption:
        following: dict[State, tuple[int, int]] = {}
        for (taken, last), (matches, chunks) in states.items():
            steps = [((taken, -2), (matches, chunks))]
            for at in places.get(word, ()):
                if not taken >> at & 1:
                    steps.append(((taken | 1 << at, at), (matches + 1, chunks - (at != last + 1))))
            for state, value in steps:
                following[state] = max(following.get(state, value), value)
        best = sorted(following.items(), key=lambda item: item[1], reverse=True)
        states = dict(best[:BEAM])
    matches, chunks = max(states.values())
    return matches, -chunks
