"""The best CTC path of a text, state by state in plain Python."""

import itertools
import math


def viterbi(log_probs, target):
    """Score, spans and confidence by Graves et al. 2006, section 4.1, with the maximum for the sum, state by state."""
    states = [0, *itertools.chain.from_iterable((c, 0) for c in target)]
    paths = {0: (0.0, ())}  # of each state the score of the best path into it, and the path
    for frame in log_probs.tolist():
        entered = {}
        for s, c in enumerate(states):
            skips = s > 1 and c and c != states[s - 2]
            before = [paths[k] for k in (s, s - 1, s - 2 if skips else s) if k in paths]
            if before:
                score, path = max(before, key=lambda p: p[0])
                entered[s] = score + frame[c], (*path, s)
        paths = entered
    score, path = max((paths[s] for s in range(len(states))[-2:] if s in paths), default=(-math.inf, ()))
    if score == -math.inf:
        return score, (), math.nan
    held = [[t for t, s in enumerate(path) if s == 2 * u + 1] for u in range(len(target))]
    peaks = [max(float(log_probs[t, c]) for t in steps) for c, steps in zip(target, held, strict=True)]
    confidence = math.exp(sum(peaks) / len(peaks)) if peaks else math.nan
    return score, tuple((steps[0], steps[-1] + 1) for steps in held), confidence
