"""Sequence to sequence: the paper's 384 million parameters, and that its memory is all that a target knows."""

import pytest
import torch
from torch import nn

from models.interface import Batch, Decoder, Padded
from models.seq2seq import Config
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "recurrent": {"layers": 2, "hidden_size": 20}, "initial_range": 0.3}
VARIANTS = [
    SMALL,
    SMALL | {"reverse_source": False, "recurrent": {"cell": "gru", "hidden_size": 20}, "label_smoothing": 0.05},
]


def test_parameters_of_the_paper_s_net():
    """384 million, "of which 64 million are pure recurrent connections"; torch has two biases a gate."""
    with torch.device("meta"):
        model = Config().build(160_000, 80_000)
    assert isinstance(model, Decoder)
    recurrent = sum(p.numel() for side in (model.encoder, model.decoder) for p in side.parameters())
    assert recurrent == 2 * 4 * 4 * 1000 * (1000 + 1000 + 2) == 64_064_000
    truth = recurrent + 240_000 * 1000 + 80_000 * 1001
    assert sum(p.numel() for p in model.parameters()) == truth == 384_144_000


@pytest.mark.parametrize("reverse", [True, False])
def test_it_is_two_lstms(reverse):
    """torch's own, a sentence at a time: its source backwards, then EOS, whose last states begin the other."""
    torch.manual_seed(0)
    model = Config(**(SMALL | {"reverse_source": reverse})).build(9, 8).double().eval()
    source, target = [[5, 7, 4, 8], [6, 5]], [[4, 6], [5, 5, 7]]
    batch = Batch(("a", "b"), *(Padded.stack([torch.tensor(x) for x in side]) for side in (source, target)))
    sides = []
    for stack in (model.encoder, model.decoder):
        twin = nn.LSTM(12, 20, 2, batch_first=True).double()
        for k, layer in enumerate(stack.layers):
            for name, value in layer.kernel.named_parameters():
                getattr(twin, name.replace("l0", f"l{k}")).data = value.data
        sides.append(twin)
    for b, score in enumerate(model.score(batch).tolist()):
        read = [*(source[b][::-1] if reverse else source[b]), EOS]
        _, state = sides[0](model.source_embedding(torch.tensor([read])))
        h, _ = sides[1](model.embedding(torch.tensor([[BOS, *target[b]]])), state)
        log_probs = model.output(h[0]).log_softmax(-1).detach()
        assert score == pytest.approx(float(log_probs.gather(1, torch.tensor([*target[b], EOS])[:, None]).sum()))


def test_dropout_between_the_layers_is_of_training():
    """Also a step at a time, as sampled training takes it."""
    torch.manual_seed(0)
    recurrent = {"layers": 2, "hidden_size": 20, "dropout": 0.5}
    model = Config(**(SMALL | {"recurrent": recurrent, "sampling": {"rate": 1e-9}})).build(9, 8)
    batch = Batch(("a",), *(Padded.stack([torch.tensor([5, 7, 4])]) for _ in range(2)))
    assert len({float(model.train().loss(batch).total.detach()) for _ in range(4)}) == 4
    assert len({float(model.eval().loss(batch).total.detach()) for _ in range(4)}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embedding_size": 0}, "at least 1"),
        ({"recurrent": {"bidirectional": True}}, "begins where its encoder ended"),
        ({"dropout": 1.0}, "dropout"),
        ({"initial_range": 0.0}, "above 0"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
