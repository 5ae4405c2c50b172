"""Viterbi alignment for CTC: which output steps carry which token of a known sequence, and how surely.

Graves et al. 2006, section 4.1, with the maximum in place of the sum: models/search/ctc/viterbi_kernel.py.
"""

from collections.abc import Sequence

import numpy as np
import torch

from models.interface import Hypothesis, Padded
from models.search.ctc.viterbi_kernel import to_hypotheses, trace_alignments
from models.search.language.ctc_fusion_automaton import BLANK, Ints


@torch.no_grad()
def ctc_alignment(emissions: Padded, target: Padded) -> list[Hypothesis]:
    """The best path of each target, in time O(T U) on the CPU; what begins alike is aligned once.

    emissions: log-probabilities (B, T, V). target: ids (B k, U), k consecutive rows for each emission row.
    score: the path's log-probability, -inf without spans when no path exists. confidence: geometric mean over the
    tokens of each one's highest probability on its span (CTC tokens are peaks, so the edges of a span would say
    little); nan without tokens or without a path.
    Raises ValueError when the rows do not divide evenly.
    """
    batch, rows = len(emissions.lengths), len(target.lengths)
    each = rows // max(batch, 1)
    if rows != batch * each:
        raise ValueError(f"{rows} targets cannot be shared out over {batch} emission rows")
    frames = emissions.data.double().cpu().contiguous()
    texts = [ids[:length] for ids, length in zip(target.data.tolist(), target.lengths.tolist(), strict=True)]
    found: list[Hypothesis] = []
    for b, steps in enumerate(emissions.lengths.tolist()):
        found += to_hypotheses(trace_alignments(frames[b, :steps].numpy(), *trie(texts[b * each : (b + 1) * each])))
    return found


def trie(texts: Sequence[Sequence[int]]) -> tuple[Ints, Ints, Ints]:
    """The prefixes of texts by their depth, the empty one first: parent and last token of each (m,); where each text
    ends (n,).
    """
    parent, token, at = [-1], [BLANK], [0] * len(texts)
    for depth in range(max(map(len, texts), default=0)):
        known: dict[tuple[int, int], int] = {}
        for i, text in enumerate(texts):
            if depth < len(text):
                before, last = at[i], text[depth]
                at[i] = known.setdefault((before, last), len(parent))
                if at[i] == len(parent):
                    parent.append(before)
                    token.append(last)
    return np.array(parent, np.int32), np.array(token, np.int32), np.array(at, np.int32)
