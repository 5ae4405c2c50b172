"""What a decoder and a transducer show of a known sequence: against all alignments, and rows that sum to 1."""

import itertools
import math

import pytest
import torch
from test_listen_attend_spell import VARIANTS as SPELLERS
from test_rnn_transducer import VARIANTS as TRANSDUCERS

from models import listen_attend_spell, rnn_transducer
from models.criteria.transducer import Lattice, transducer
from models.interface import Padded
from models.search.attention.teacher_forced_attention import teacher_forced_attention
from models.search.ctc.prefix_score import CTCPrefixScorer
from models.search.transducer.forced_alignment import best_path, cell_occupancy, compute_lattice

torch.set_num_threads(1)


def random_lattice(time, tokens, seed=0):
    torch.manual_seed(seed)
    log_p = torch.randn(1, time, tokens + 1, 3, dtype=torch.float64).log_softmax(-1)
    label = log_p[..., 1].clone()
    label[..., -1] = -torch.inf
    return Lattice(log_p[..., 0], label)


def alignments(time, tokens):
    """Every path from (0, 0) to (time - 1, tokens): where among its steps the tokens are."""
    for places in itertools.combinations(range(time - 1 + tokens), tokens):
        cells = [(0, 0)]
        for step in range(time - 1 + tokens):
            t, u = cells[-1]
            cells.append((t, u + 1) if step in places else (t + 1, u))
        yield cells


def log_prob(lattice, cells):
    total = float(lattice.blank[0, cells[-1][0], cells[-1][1]])
    for (t, u), (_, after) in itertools.pairwise(cells):
        total += float((lattice.label if after > u else lattice.blank)[0, t, u])
    return total


@pytest.mark.parametrize(("time", "tokens"), [(1, 0), (1, 3), (4, 0), (4, 3), (3, 5)])
def test_occupancy_and_best_path_are_those_of_all_alignments(time, tokens):
    lattice = random_lattice(time, tokens)
    scored = [(log_prob(lattice, cells), cells) for cells in alignments(time, tokens)]
    evidence = math.log(sum(math.exp(score) for score, _ in scored))
    truth = torch.zeros(time, tokens + 1, dtype=torch.float64)
    for score, cells in scored:
        for cell in cells:
            truth[cell] += math.exp(score - evidence)
    torch.testing.assert_close(cell_occupancy(lattice), truth, rtol=0, atol=1e-12)
    assert best_path(lattice) == max(scored)[1]


@pytest.mark.parametrize("options", TRANSDUCERS)
@pytest.mark.parametrize("tokens", [[], [4, 5, 5, 6, 7]])
def test_the_lattice_of_a_transducer(options, tokens):
    """Its evidence is the loss; a diagonal's occupancy is 1; the path goes on by one cell. Padding is not in it."""
    torch.manual_seed(0)
    model = rnn_transducer.Config(**options).build(5, 8).double().eval()
    source = Padded(torch.randn(1, 26, 5, dtype=torch.float64), torch.tensor([23]))
    target = Padded(torch.tensor([tokens], dtype=torch.long), torch.tensor([len(tokens)]))
    lattice = compute_lattice(model, source, tokens)
    gamma, path = cell_occupancy(lattice), best_path(lattice)
    time, width = gamma.shape
    assert (time, width) == (-(-23 // model.reduction), len(tokens) + 1)
    loss = transducer(model.encode(source), model.prefixes(target), model.output, target)
    every = math.log(sum(math.exp(log_prob(lattice, cells)) for cells in alignments(time, len(tokens))))
    assert loss.total.item() == pytest.approx(-every, abs=1e-9)
    t, u = torch.meshgrid(torch.arange(time), torch.arange(width), indexing="ij")
    sums = torch.zeros(time + width - 1, dtype=torch.float64).index_add(0, (t + u).flatten(), gamma.flatten())
    torch.testing.assert_close(sums, torch.ones_like(sums), rtol=0, atol=1e-9)
    assert (path[0], path[-1]) == ((0, 0), (time - 1, len(tokens)))
    assert {(b[0] - a[0], b[1] - a[1]) for a, b in itertools.pairwise(path)} <= {(1, 0), (0, 1)}


@pytest.mark.parametrize("options", SPELLERS)
def test_the_attention_of_a_speller(options):
    """A row for each token and EOS, over the real steps; what was read before decides it, what comes after does not."""
    torch.manual_seed(0)
    model = listen_attend_spell.Config(**options).build(5, 8).double().eval()
    source = Padded(torch.randn(1, 26, 5, dtype=torch.float64), torch.tensor([23]))
    rows = teacher_forced_attention(model, source, [4, 5, 5, 6])
    assert rows.shape == (5, -(-23 // model.reduction))
    torch.testing.assert_close(rows.sum(1), torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-9)
    torch.testing.assert_close(teacher_forced_attention(model, source, [4, 5]), rows[:3], rtol=0, atol=1e-12)
    found = model.search(source, listen_attend_spell.Beam(width=1, max_length=6))[0][0]
    looked = teacher_forced_attention(model, source, found.tokens)[: len(found.tokens)].argmax(1).cummax(0).values
    assert [begin for begin, _ in found.spans] == looked.tolist(), "the times of the search are those that are drawn"


def test_what_has_no_attention():
    emissions = Padded(torch.randn(1, 6, 8, dtype=torch.float64).log_softmax(-1), torch.tensor([6]))
    assert teacher_forced_attention(CTCPrefixScorer(), emissions, [4]) is None
