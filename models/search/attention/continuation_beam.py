"""Beam search for the most probable continuations y of texts that a language model has read.

score(y) = log p(y EOS | source) / ((5 + |y|) / 6)^length_norm + insertion_bonus |y|

It is the search of models/search/attention/beam.py, begun after a text instead of BOS.
"""

import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, LanguageModel, Padded, State
from models.search.attention.beam import AttentionSearch, Scorer, beam_search, empty_prefixes
from models.search.length_limit import MORE_TOKENS, length_limits


@torch.no_grad()
def continuation_beam(
    model: LanguageModel, source: Padded, beam: Beam, lm: Decoder | None = None
) -> list[list[Hypothesis]]:
    """For each source, tokens (B, T) as the model was trained to read them, its continuations, best first.

    A continuation ends with EOS, or without it at its limit (models/search/length_limit.py); BLANK, BOS and UNK are
    never written. Width 1 takes the most probable token each time. confidence: the geometric mean of the probabilities
    of the tokens and EOS.
    Raises ValueError for a term this search does not have, for a source without any token, and for NaN.
    """
    if beam.coverage or beam.lm_weight or lm is not None:
        raise ValueError("continuation has no coverage and no lm_weight: it searches a language model; set both to 0")
    for name in beam.beyond("length_norm", "insertion_bonus", "groups", "diversity", "mbr_scale"):
        raise ValueError(f"continuation has no {name}: leave beam.{name} out")
    batch = len(source.lengths)
    if not batch:
        return []
    if int(source.lengths.min()) < 1:
        raise ValueError("a language model continues what it has read: each source has one token or more (BOS)")
    last, state = _read(model, source)
    search = AttentionSearch(beam, length_limits(beam, source.lengths + MORE_TOKENS))
    return beam_search([Scorer(model, None, 1.0)], empty_prefixes(last, (state,)), search)


def _read(model: LanguageModel, source: Padded) -> tuple[Tensor, State]:
    """The last token (B,) of each source, and the state before it."""
    ends = source.lengths.to(source.data.device) - 1
    last = source.data.gather(1, ends[:, None]).squeeze(1)
    before = Padded(source.data[:, : int(ends.max())], source.lengths - 1)
    return last, model.predict(before, None)[1] if before.data.shape[1] else model.start(None, len(last))
