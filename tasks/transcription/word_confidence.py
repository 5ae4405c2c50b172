"""How sure a recognizer is of a word that it has written.

confidence(w) = min over the tokens of w, and the spaces beside it, of p(token)  *  P(w)

p(token): what the model itself gives the token, whatever search found it: for CTC the highest probability on its span,
for ASG the highest share of all paths, for a transducer and an attention decoder the probability of the token after the
ones before it. The least one counts, since one wrong letter makes a wrong word.
P(w): of the hypotheses kept, by the softmax of their scores, the share that has the word at this place (Wessel et al.
2001, "Confidence measures for large vocabulary continuous speech recognition"); 1 where a greedy search keeps one.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.criteria.asg import mark_repeats, path_occupancy
from models.interface import Beam, Decoder, FrameSynchronousModel, Hypothesis, Model, Padded, Transducer
from models.special_tokens import BOS
from tasks.text.align_words import match_words

Probabilities = list[list[float]]  # of each hypothesis, of each of its tokens


def search_with_probabilities(
    model: Model, source: Padded, beam: Beam, lm: Decoder | None
) -> tuple[list[list[Hypothesis]], Probabilities]:
    """The hypotheses of each source (B, T, D), best first, and the probabilities of the tokens of the best one."""
    if isinstance(model, FrameSynchronousModel):
        emissions = model.emit(source)
        found = model.search_emissions(emissions, beam, lm)
        return found, _on_spans(model, emissions, [nbest[0] for nbest in found])
    found = model.search(source, beam, lm)
    best = [nbest[0] for nbest in found]
    if isinstance(model, Transducer):
        return found, _of_transducer(model, source, best)
    assert isinstance(model, Decoder), "a recognizer emits, or decodes token by token"
    return found, _teacher_forced(model, source, best)


def _on_spans(model: FrameSynchronousModel, emissions: Padded, best: Sequence[Hypothesis]) -> Probabilities:
    transitions = getattr(model, "transitions", None)  # of the auto segmentation criterion
    log_probs = emissions.data if transitions is None else path_occupancy(emissions, transitions)[0]
    rows = log_probs.float().exp().cpu()
    found = []
    for row, hypothesis in zip(rows, best, strict=True):
        symbols = hypothesis.tokens if transitions is None else _symbols(hypothesis)
        spans = zip(symbols, hypothesis.spans, strict=True)
        found.append([min(1.0, float(row[begin:end, symbol].max())) for symbol, (begin, end) in spans])
    return found


def _symbols(hypothesis: Hypothesis) -> list[int]:
    return mark_repeats(Padded.stack([torch.tensor(hypothesis.tokens, dtype=torch.long)]))[0].tolist()


def _of_transducer(model: Transducer, source: Padded, best: Sequence[Hypothesis]) -> Probabilities:
    """Of each token at the frame that it is written in."""
    frames, (prefix, state) = model.encode(source).data, model.start(len(best))
    rows = torch.arange(len(best), device=frames.device)
    columns = []
    for tokens, steps in _columns(best, frames.device):
        log_probs = model.join(frames[rows, steps], prefix)
        columns.append(log_probs.gather(1, tokens[:, None])[:, 0])
        prefix, state = model.predict(tokens, state)
    return _by_row(columns, best)


def _teacher_forced(model: Decoder, source: Padded, best: Sequence[Hypothesis]) -> Probabilities:
    memory = model.encode(source)
    state, columns = model.start(memory, len(best)), []
    read = torch.full((len(best),), BOS, device=source.data.device)
    for tokens, _ in _columns(best, source.data.device):
        step = model.step(read, state, memory)
        columns.append(step.log_probs.gather(1, tokens[:, None])[:, 0])
        read, state = tokens, step.state
    return _by_row(columns, best)


def _columns(best: Sequence[Hypothesis], device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """The u-th tokens (B,) and their first steps (B,); 0 after a hypothesis has ended."""
    tokens = Padded.stack([torch.tensor(h.tokens, dtype=torch.long) for h in best]).data.to(device)
    steps = [torch.tensor([span[0] for span in h.spans] or [0] * len(h.tokens), dtype=torch.long) for h in best]
    return list(zip(tokens.unbind(1), Padded.stack(steps).data.to(device).unbind(1), strict=True))


def _by_row(columns: Sequence[Tensor], best: Sequence[Hypothesis]) -> Probabilities:
    rows = torch.stack(list(columns), 1).exp().tolist() if columns else [[] for _ in best]
    return [[min(1.0, p) for p in row[: len(h.tokens)]] for row, h in zip(rows, best, strict=True)]


def word_confidences(
    words: Sequence[Sequence[int]], probabilities: Sequence[float], posteriors: Sequence[float]
) -> list[float]:
    """words: of each word the places of its tokens. probabilities: of all tokens of the text, spaces too. posteriors:
    P(w) of each.
    """
    spelled, found = {place for places in words for place in places}, []
    for places, posterior in zip(words, posteriors, strict=True):
        beside = {places[0] - 1, places[-1] + 1} - spelled  # spaces
        counted = [probabilities[k] for k in (*places, *beside) if 0 <= k < len(probabilities)]
        found.append(min(counted) * posterior)
    return found


def word_posteriors(readings: Sequence[tuple[Sequence[str], float]]) -> list[float]:
    """P(w) of each word of the first of the readings, each words and a score in nats."""
    best, scores = readings[0][0], [score for _, score in readings]
    weights = [math.exp(score - max(scores)) if score > -math.inf else 0.0 for score in scores]
    found, total = [0.0] * len(best), math.fsum(weights) or 1.0
    for (words, _), weight in zip(readings, weights, strict=True):
        for i, _ in match_words(best, words) if weight else ():
            found[i] += weight / total
    return [min(1.0, p) for p in found] if any(weights) else [1.0] * len(best)
