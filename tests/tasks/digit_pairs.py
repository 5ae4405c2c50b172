"""A small parallel corpus: numbers in words, translated into their digits in reversed order."""

import numpy as np

WORDS = ("null", "ein", "zwei", "drei", "vier", "funf", "sechs", "sieben", "acht", "neun")
COUNTS = {"train": 400, "dev": 30, "test": 30}


def digit_pairs(count, seed, longest=5):
    """(source, target) pairs; no source comes twice."""
    random, found = np.random.default_rng(seed), {}
    while len(found) < count:
        digits = random.integers(0, 10, random.integers(2, longest + 1))
        found[" ".join(WORDS[d] for d in digits)] = " ".join(str(d) for d in digits[::-1])
    return list(found.items())


def write_digit_corpus(folder, counts=COUNTS):
    """Aligned files {train,dev,test}.{xa,xb}; the splits share no source."""
    folder.mkdir(parents=True, exist_ok=True)
    left = digit_pairs(sum(counts.values()), seed=0)
    for split, count in counts.items():
        mine, left = left[:count], left[count:]
        for side, language in enumerate(("xa", "xb")):
            (folder / f"{split}.{language}").write_text("".join(f"{pair[side]}\n" for pair in mine))
    return folder
