"""A photo as the first thing that an LSTM reads, and the only time it sees it: torch's own LSTM as the reference."""

import pytest
import torch
from torch import nn

from models.interface import Batch, Decoder, Padded
from models.show_and_tell import Config
from models.special_tokens import BOS, EOS

torch.set_num_threads(1)

SMALL = {"embedding_size": 12, "recurrent": {"hidden_size": 20}, "initial_range": 0.3, "dropout": 0.0}
VARIANTS = [SMALL, SMALL | {"embedding_size": 20, "tied": True, "label_smoothing": 0.05, "sampling": {"rate": 0.05}}]


def test_parameters_of_the_paper_s_net():
    """512 units and embeddings of 512, GoogLeNet's 1024 features, and a vocabulary of 10,000."""
    with torch.device("meta"):
        model = Config().build(1024, 10_000)
    assert isinstance(model, Decoder)
    truth = 512 * 1025 + 10_000 * 512 + 4 * 512 * (512 + 512 + 2) + 10_000 * 513
    assert sum(p.numel() for p in model.parameters()) == truth
    with torch.device("meta"):
        tied = Config(tied=True).build(1024, 10_000)
    assert sum(p.numel() for p in tied.parameters()) == truth - 10_000 * 512


def test_it_is_an_lstm_that_reads_the_photo_and_then_the_words():
    torch.manual_seed(0)
    model = Config(**SMALL).build(9, 8).double().eval()
    sources, targets = [torch.randn(4, 9).double(), torch.randn(2, 9).double()], [[4, 6], [5, 5, 7]]
    twin = nn.LSTM(12, 20, batch_first=True).double()
    twin.load_state_dict(dict(model.decoder.layers[0].kernel.named_parameters()))
    batch = Batch(("a", "b"), Padded.stack(sources), Padded.stack([torch.tensor(y) for y in targets]))
    for b, score in enumerate(model.score(batch).tolist()):
        photo = model.image.weight @ sources[b].mean(0) + model.image.bias
        read = torch.cat((photo[None], model.embedding.weight[[BOS, *targets[b]]]))
        h = twin(read[None])[0][0, 1:]
        log_p = (h @ model.output.weight.T + model.output.bias).log_softmax(1)
        truth = sum(log_p[u, y] for u, y in enumerate([*targets[b], EOS]))
        assert score == pytest.approx(float(truth.detach()), abs=1e-9)


def test_dropout_falls_on_the_photo_and_on_every_word():
    torch.manual_seed(0)
    model = Config(**(SMALL | {"dropout": 0.5})).build(9, 8)
    batch = Batch(("a",), Padded.stack([torch.randn(4, 9)]), Padded.stack([torch.tensor([4, 6])]))
    assert len({float(model.loss(batch).total.detach()) for _ in range(4)}) == 4
    model.eval()
    assert len({float(model.loss(batch).total.detach()) for _ in range(4)}) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"recurrent": {"bidirectional": True}}, "left to right"),
        ({"embedding_size": 0}, "at least 1"),
        ({"initial_range": 0.0}, "above 0"),
        ({"tied": True}, "to be one, not 12 and 20"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
