"""Every architecture that translates solves the two smallest languages: the source as it is, and the source backwards.

All texts of a search over sentences that no training drew on purpose have to be right.
"""

import importlib

import pytest
import torch
from test_contract import ARCHITECTURES

from models.families.sequence_to_sequence import SequenceToSequence
from models.interface import Batch, Beam, Padded
from models.registry import build

torch.set_num_threads(1)

FIRST, LETTERS = 4, 4
RECURRENT = {"embedding_size": 16, "recurrent": {"hidden_size": 32}, "initial_range": 0.1}
SIZES = {  # options, learning rate and the longest text
    "transformer": (
        {"size": 32, "heads": 2, "feed_forward_size": 64, "encoder_layers": 1, "decoder_layers": 1}
        | {"dropout": 0.0, "norm": "pre", "label_smoothing": 0.0},
        5e-3,
        4,
    ),
    "bahdanau": (
        {"embedding_size": 16, "hidden_size": 32, "attention_size": 24, "maxout_size": 24}
        | {"initial_deviation": 0.1, "reset": "outside"},
        1e-2,
        4,
    ),
    "conv_s2s": (
        {"embedding_size": 32, "encoder": [[3, 32]], "decoder": [[3, 32]], "positions": 32, "dropout": 0.0},
        5e-3,
        4,
    ),
    "luong": (RECURRENT | {"dropout": 0.0, "reach": "global", "initial_range": 0.3}, 1e-2, 4),
    "seq2seq": (RECURRENT | {"recurrent": {"hidden_size": 64}}, 1e-2, 4),
    "encoder_decoder": ({"rank": 16, "hidden_size": 64, "maxout_size": 24, "initial_deviation": 0.1}, 1e-2, 3),
    "gnmt": (
        {"embedding_size": 16, "hidden_size": 32, "encoder_layers": 2, "decoder_layers": 2, "attention_size": 24}
        | {"dropout": 0.0, "initial_range": 0.3},
        1e-2,
        4,
    ),
}


def test_none_is_left_out():
    """But the one whose members are each among these."""
    names = [name for name in ARCHITECTURES if name != "ensemble"]
    classes = [(name, c) for name in names for c in vars(importlib.import_module(f"models.{name}")).values()]
    own = [(name, c) for name, c in classes if isinstance(c, type) and c.__module__ == f"models.{name}"]
    assert sorted(SIZES) == [name for name, c in own if issubclass(c, SequenceToSequence) and c.reads == "tokens"]


def texts(count, longest, generator):
    lengths = torch.randint(1, longest + 1, (count,), generator=generator).tolist()
    return [torch.randint(FIRST, FIRST + LETTERS, (n,), generator=generator) for n in lengths]


@pytest.mark.parametrize("task", ["copy", "reverse"])
@pytest.mark.parametrize("name", SIZES)
def test_it_is_solved(name, task):
    options, rate, longest = SIZES[name]
    torch.manual_seed(0)
    model, generator = build(name, options, FIRST + LETTERS, FIRST + LETTERS), torch.Generator().manual_seed(1)
    held = texts(60, longest, torch.Generator().manual_seed(2))
    optimizer, right = torch.optim.Adam(model.parameters(), rate), 0.0
    for update in range(800):
        sources = texts(32, longest, generator)
        targets = [x.flip(0) if task == "reverse" else x for x in sources]
        loss = model.train().loss(Batch(("",) * 32, Padded.stack(sources), Padded.stack(targets))).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if update % 50 == 49:
            found = model.eval().search(Padded.stack(held), Beam(width=2))
            truth = [tuple((x.flip(0) if task == "reverse" else x).tolist()) for x in held]
            right = sum(n[0].tokens == y for n, y in zip(found, truth, strict=True)) / 60
            if right == 1:
                break
    assert right == 1
