"""CIDEr-D: how much a caption has of what is rare elsewhere and common in the references of its photo.

Vedantam, Zitnick and Parikh 2015, https://arxiv.org/abs/1411.5726, section 5: for n-grams of 1 to 4 words the cosine of
TF-IDF vectors, the caption's counts clipped to the reference's, times a Gaussian of the difference in length; the mean
over references and n, times 10. Document frequencies are those of the references' own photos.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0
SCALE = 10.0

Words = Sequence[str]
Grams = dict[tuple[str, ...], float]


def cider_d(captions: Sequence[Words], references: Sequence[Sequence[Words]]) -> np.ndarray:
    """(captions,) the score of each caption, 0 to 10; their mean is the corpus'. references: of each photo."""
    counted = [[_count_grams(reference) for reference in of_photo] for of_photo in references]
    seen = Counter(gram for of_photo in counted for gram in set().union(*of_photo))
    photos = math.log(len(references)) if references else 0.0

    def weigh(grams: Counter[tuple[str, ...]]) -> list[Grams]:
        vectors: list[Grams] = [{} for _ in ORDERS]
        for gram, count in grams.items():
            vectors[len(gram) - 1][gram] = count * (photos - math.log(max(1, seen[gram])))
        return vectors

    scores = np.zeros(len(captions))
    for at, (caption, of_photo) in enumerate(zip(captions, references, strict=True)):
        ours = weigh(_count_grams(caption))
        for reference, grams in zip(of_photo, counted[at], strict=True):
            apart = math.exp(-((len(caption) - len(reference)) ** 2) / (2 * SIGMA**2))
            similar = sum(_clipped_cosine(a, b) for a, b in zip(ours, weigh(grams), strict=True))
            scores[at] += SCALE * apart * similar / len(ORDERS) / len(of_photo)
    return scores


def _count_grams(words: Words) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[at : at + n]) for n in ORDERS for at in range(len(words) - n + 1))


def _clipped_cosine(caption: Grams, reference: Grams) -> float:
    norm = math.sqrt(sum(x * x for x in caption.values())) * math.sqrt(sum(x * x for x in reference.values()))
    return sum(min(x, reference.get(gram, 0.0)) * reference.get(gram, 0.0) for gram, x in caption.items()) / (norm or 1)
