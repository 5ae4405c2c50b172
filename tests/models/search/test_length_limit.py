"""How long a text may get: over frames as long as they are; elsewhere as the source's length says; what comes to it."""

import pytest
import torch

from models.interface import Beam, Padded, Step
from models.search.asg.beam import asg_beam
from models.search.attention.beam import attention_beam
from models.search.attention.continuation_beam import continuation_beam
from models.search.ctc.beam import ctc_beam
from models.search.length_limit import MORE_TOKENS
from models.search.transducer.beam import start_search, transducer_beam
from models.special_tokens import EOS

LONG = 330  # tokens of a recording of some 23 s
SYMBOLS = [3 + t % 2 for t in range(LONG)]  # two letters in turn, each a step


def spoken():
    """Emissions (1, T, V) that leave no doubt."""
    scores = torch.full((1, LONG, 5), -9.0).scatter(2, torch.tensor(SYMBOLS)[None, :, None], 0.0)
    return Padded(scores.log_softmax(-1), torch.tensor([LONG]))


class Copies:
    """A transducer that writes each frame's symbol: a prefix is the number of the frame after it."""

    def encode(self, source):
        return source

    def start(self, batch_size):
        return torch.zeros(batch_size, 1), torch.zeros(batch_size, 1)

    def predict(self, tokens, state):
        return state + 1, state + 1

    def join(self, frames, prefixes):
        wanted = torch.where(frames[:, 1] >= prefixes[:, 0], frames[:, 0], torch.zeros(len(frames))).long()
        return torch.full((len(frames), 5), -9.0).scatter(1, wanted[:, None], 0.0).log_softmax(-1)


FRAMES = Padded(torch.tensor([list(enumerate(SYMBOLS))]).flip(2).float(), torch.tensor([LONG]))
SEARCHES = {
    "ctc": lambda beam: ctc_beam(spoken(), beam),
    "asg": lambda beam: asg_beam(spoken(), torch.zeros(5, 5), beam),
    "transducer": lambda beam: transducer_beam(Copies(), FRAMES, beam),
}


@pytest.mark.parametrize("width", [1, 4])
@pytest.mark.parametrize("search", SEARCHES)
def test_a_search_over_frames_hears_to_their_end(search, width):
    best = SEARCHES[search](Beam(width=width))[0][0]
    assert best.tokens == tuple(SYMBOLS)
    assert not best.truncated
    short = SEARCHES[search](Beam(width=width, max_length=7))[0][0]
    assert (len(short.tokens), short.truncated) == (7, True)
    enough = SEARCHES[search](Beam(width=width, max_length=LONG + 1))[0][0]
    assert (enough.tokens, enough.truncated) == (best.tokens, False)


@pytest.mark.parametrize("width", [1, 4])
def test_a_stream_says_so_too(width):
    search = start_search(Copies(), 1, Beam(width=width, max_length=7), None, 2)
    for t in range(9):
        assert search.found()[0][0].truncated == (t >= 7)
        search.advance(FRAMES.data[:, t])


class NeverEnds:
    """A decoder that always says 4."""

    def start(self, memory, batch_size):
        return torch.zeros(batch_size, 1)

    def step(self, tokens, state, memory):
        log_probs = torch.full((len(tokens), 5), -9.0)
        log_probs[:, 4] = 0.0
        return Step(log_probs.log_softmax(-1), state)

    def predict(self, tokens, state):
        return Padded(torch.zeros(*tokens.data.shape, 5), tokens.lengths), torch.zeros(len(tokens.lengths), 1)


@pytest.mark.parametrize("width", [1, 3])
def test_what_might_never_end_is_bounded_by_its_source(width):
    memory = Padded.stack([torch.zeros(n, 2) for n in (4, 250)])
    found = attention_beam(NeverEnds(), memory, Beam(width=width))
    assert [(len(nbest[0].tokens), nbest[0].truncated) for nbest in found] == [(4, True), (250, True)]
    found = continuation_beam(NeverEnds(), Padded.stack([torch.tensor([1, 3, 4])]), Beam(width=width))
    assert (len(found[0][0].tokens), found[0][0].truncated) == (3 + MORE_TOKENS, True)
    assert [len(n[0].tokens) for n in attention_beam(NeverEnds(), memory, Beam(width=width, max_length=9))] == [9, 9]


def test_what_ends_by_itself_is_not_truncated():
    class Ends(NeverEnds):
        def step(self, tokens, state, memory):
            log_probs = torch.full((len(tokens), 5), -9.0)
            log_probs[:, 4], log_probs[state[:, 0] >= 2, EOS] = -1.0, 0.0
            return Step(log_probs.log_softmax(-1), state + 1)

    best = attention_beam(Ends(), Padded.stack([torch.zeros(4, 2)]), Beam(width=3))[0][0]
    assert (best.tokens, best.truncated) == ((4, 4), False)


@pytest.mark.parametrize("name", ["lm_weight", "length_norm", "hotword_weight", "insertion_bonus", "unknown_bonus"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_weight_is_a_number(name, value):
    with pytest.raises(ValueError, match=rf"^beam\.{name} is a finite number, not "):
        Beam(**{name: value})


def test_a_whole_number_is_a_weight_like_another():
    """JSON and `--set` bring either: one beam, one cache entry, one digest."""
    assert repr(Beam(hotword_weight=5, word_bonus=0)) == repr(Beam(hotword_weight=5.0, word_bonus=0.0))
