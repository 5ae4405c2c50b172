"""CTC search: prefix beam search with everything that is fused into it, and the best path for width 1.

Graves 2008, section 7.4.2; Hannun et al. 2014, https://arxiv.org/abs/1408.2873, algorithm 1 (in beam_kernel.py).
Utterances are searched each for itself, in as many threads as torch has. A neural language model is stepped once a
frame for the new prefixes of the whole batch.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue

import numpy as np
import torch
from torch import Tensor

from models.interface import Beam, Decoder, Hypothesis, Padded
from models.search import state_pytree as states
from models.search.ctc.beam_kernel import add_neural_scores, search_frame, search_utterance, start_search
from models.search.ctc.prefix_tree import FRESH, PrefixTree, SearchLimits, allocate_tree
from models.search.ctc.viterbi_kernel import collect_hypotheses, to_hypotheses, trace_alignments
from models.search.language.ctc_fusion_automaton import Automaton, Floats
from models.search.language.lexicon_and_hotwords import OF_WORDS, LexiconAndHotwords, build_automaton
from models.search.language.ngram_lm import NGram
from models.search.length_limit import mark_truncated, most_tokens
from models.special_tokens import BLANK, BOS


@torch.no_grad()
def ctc_beam(emissions: Padded, beam: Beam, lm: Decoder | None = None) -> list[list[Hypothesis]]:
    """For each utterance its hypotheses, best first, `beam.width` of them at most.

    emissions: log-probabilities (B, T, V). score: log of the summed probability of the alignments kept, plus
    lm_weight * log p_lm(y, EOS) and insertion_bonus * |y|. lm: a model of the emissions' tokens, or
    `LexiconAndHotwords`, which also has the terms of words. Width 1 is the greedy best path: its score is that of this
    one alignment, and tokens beyond max_length are read as blanks. A frame whose blank is more probable than skip_blank
    is read as blank.
    Raises ValueError for a term this search does not have or has nothing to work on, and for NaN.
    """
    words = lm if isinstance(lm, LexiconAndHotwords) else None
    _refuse(beam, words, words.tokens if words else lm)
    frames = emissions.data.double().cpu().contiguous()
    lengths = emissions.lengths.tolist()
    rows = [frames[b, :length].numpy() for b, length in enumerate(lengths)]
    for b, row in enumerate(rows):
        if (broken := np.isnan(row).any(1)).any():
            raise ValueError(f"the emissions of utterance {b + 1} of {len(rows)} hold NaN at step {broken.argmax()}")
    if beam.width == 1:
        found = _spread(lambda b: _best_path(rows[b], beam), len(rows))
    else:
        found = _search(rows, beam, _fused(beam, lm, frames.shape[2]), emissions.data.device)
    return mark_truncated(found, [most_tokens(beam)] * len(rows))


def _search(rows: Sequence[Floats], beam: Beam, fused: "_Fused", device: torch.device) -> list[list[Hypothesis]]:
    if fused.neural is not None:
        return _with_neural(rows, beam, fused, device)
    spare: SimpleQueue[PrefixTree] = SimpleQueue()

    def search(b: int) -> list[Hypothesis]:
        try:
            place = spare.get_nowait()
        except Empty:
            steps = max(map(len, rows))
            place = allocate_tree(fused.machine, beam.width, steps, rows[0].shape[1], neural=False)
        search_utterance(place, fused.machine, rows[b], fused.limits)
        found = _hypotheses(place, rows[b])
        spare.put(place)
        return found

    return _spread(search, len(rows))


def _refuse(beam: Beam, words: LexiconAndHotwords | None, model: Decoder | None) -> None:
    for name in beam.beyond("lm_weight", "insertion_bonus", "skip_blank", *OF_WORDS):
        raise ValueError(f"ctc_beam has no {name}: leave beam.{name} out")
    if beam.lm_weight < 0:
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but a search cannot take a language model away")
    if beam.lm_weight and model is None and (words is None or words.ngram is None):
        raise ValueError(f"beam.lm_weight is {beam.lm_weight}, but there is no language model: give one or set it to 0")
    for name in OF_WORDS if words is None else ():
        if getattr(beam, name):
            raise ValueError(f"beam.{name} is set, but the search knows no words: give it a lexicon")
    if beam.hotword_weight and words is not None and not words.hotwords:
        raise ValueError(f"beam.hotword_weight is {beam.hotword_weight}, but there are no hotwords")
    if beam.lexicon_only and beam.unknown_bonus:
        raise ValueError("beam.unknown_bonus is for words outside the lexicon, and beam.lexicon_only allows none")
    fused = [name for name in ("lm_weight", "insertion_bonus", *OF_WORDS) if getattr(beam, name)]
    if beam.width == 1 and fused:
        raise ValueError(f"beam.width 1 is the best path, without {' and '.join(fused)}: use a width of 2 or more")


def _spread(task: Callable[[int], list[Hypothesis]], rows: int) -> list[list[Hypothesis]]:
    """The task of each row, in torch's threads: what is compiled runs in all of them at once."""
    threads = min(torch.get_num_threads(), rows)
    if threads < 2:
        return [task(b) for b in range(rows)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(task, range(rows)))


def _best_path(frames: Floats, beam: Beam) -> list[Hypothesis]:
    path = np.where(frames[:, BLANK] > math.log(beam.skip_blank), BLANK, frames.argmax(1))
    begins = (path != np.concatenate(([BLANK], path[:-1]))) & (path != BLANK)
    path[np.cumsum(begins) > most_tokens(beam)] = BLANK
    tokens = path[begins & (path != BLANK)].astype(np.int32)
    score = np.array([np.take_along_axis(frames, path[:, None], 1).sum()])
    parent = np.arange(-1, len(tokens), dtype=np.int32)
    leaf = np.array([len(tokens)], np.int32)
    return to_hypotheses(trace_alignments(frames, parent, np.append(np.int32(BLANK), tokens), leaf), score)


def _hypotheses(search: PrefixTree, frames: Floats) -> list[Hypothesis]:
    scores, leaves, parent, token = collect_hypotheses(search)
    return to_hypotheses(trace_alignments(frames, parent, token, leaves), scores)


@dataclass(frozen=True)
class _Fused:
    """What a search fuses. held: the arrays whose addresses the machine has."""

    machine: Automaton
    limits: SearchLimits
    neural: Decoder | None
    held: tuple[Tensor, ...]


def _fused(beam: Beam, lm: Decoder | None, size: int) -> _Fused:
    words = lm if isinstance(lm, LexiconAndHotwords) else None
    model = (words.tokens if words else lm) if beam.lm_weight else None
    ngram = model if isinstance(model, NGram) else None
    for known in ([ngram.size] if ngram else []) + ([len(words.texts)] if words else []):
        _same_size(known, size)
    machine, held = build_automaton(beam, ngram, words)
    limits = SearchLimits(most_tokens(beam), math.log(beam.skip_blank), beam.lexicon_only)
    return _Fused(machine, limits, None if ngram else model, held)


def _same_size(known: int, size: int) -> None:
    if known != size:
        raise ValueError(f"the language model knows {known} tokens, the emissions {size}: use one tokenizer")


def _with_neural(rows: Sequence[Floats], beam: Beam, fused: _Fused, device: torch.device) -> list[list[Hypothesis]]:
    """Frame by frame; the language model has a state for each place of each utterance."""
    lm, places, batch = fused.neural, 2 * beam.width, len(rows)
    assert lm is not None
    if not batch:
        return []
    size = rows[0].shape[1]
    steps = max(map(len, rows))
    searches = [allocate_tree(fused.machine, beam.width, steps, size, neural=True) for _ in rows]
    for search in searches:
        start_search(search, fused.machine)
    step = lm.step(torch.full((batch,), BOS, device=device), lm.start(None, batch), None)
    _same_size(step.log_probs.shape[1], size)
    _add_rows(searches, step.log_probs, beam.lm_weight)
    state = states.select_rows(step.state, torch.arange(batch, device=device).repeat_interleave(places))
    for t in range(steps):
        going = [b for b, row in enumerate(rows) if t < len(row)]
        for b in going:
            search_frame(searches[b], fused.machine, rows[b][t], fused.limits)
        live = [searches[b] for b in going]
        fresh = [search.fresh[: search.counts[FRESH]] for search in live]
        if not sum(map(len, fresh)):
            continue
        begins = [b * places for b in going]
        tokens = np.concatenate([search.token[search.node[new]] for search, new in zip(live, fresh, strict=True)])
        filled = np.concatenate([begin + new for begin, new in zip(begins, fresh, strict=True)])
        grown = zip(begins, live, fresh, strict=True)
        origin = np.concatenate([begin + search.origin[new] for begin, search, new in grown])
        token, source, target = (torch.from_numpy(n.astype(np.int64)).to(device) for n in (tokens, origin, filled))
        step = lm.step(token, states.select_rows(state, source), None)
        state = states.replace_rows(state, target, step.state)
        _add_rows(live, step.log_probs, beam.lm_weight)
    return [_hypotheses(search, row) for search, row in zip(searches, rows, strict=True)]


def _add_rows(searches: Sequence[PrefixTree], log_probs: Tensor, weight: float) -> None:
    """The rows (n, V) of all fresh places to their searches."""
    numbers, begin = log_probs.double().cpu().contiguous().numpy(), 0
    for search in searches:
        count = int(search.counts[FRESH])
        add_neural_scores(search, numbers[begin : begin + count], weight)
        begin += count
