"""The recurrent transducer: the papers' numbers, streams in chunks, and what its config refuses."""

import pytest
import torch

from models.interface import Batch, Beam, Padded, Transducer
from models.layers.rnn_stack import Recurrent
from models.rnn_transducer import Config

torch.set_num_threads(1)

SMALL = {
    "encoder": {"layers": 1, "hidden_size": 24, "bidirectional": True},
    "prediction": {"layers": 1, "hidden_size": 24},
    "embedding_size": 24,
    "linear_size": 24,
    "joint_size": 48,
    "stride": 2,
    "dropout": 0.05,
}
STREAMING = {
    "left_frames": 1,
    "stride": 2,
    "encoder": {"layers": 3, "hidden_size": 24, "projection": 16},
    "time_reduction": 2,
    "reduce_after": 1,
    "embedding_size": 16,
    "prediction": {"layers": 2, "hidden_size": 20, "projection": 12},
    "linear_size": 0,
    "joint_size": 48,
}
NORMALIZED = STREAMING | {
    "encoder": {"layers": 2, "hidden_size": 24, "lstm": {"layer_norm": True}},
    "prediction": {"hidden_size": 20, "lstm": {"layer_norm": True}},
    "stride": 1,
    "embedding_size": 0,
}
VARIANTS = [SMALL, STREAMING, NORMALIZED, SMALL | {"normalize": True, "stride": 3}]
STREAM_2018 = Config(
    left_frames=1,
    stride=3,
    encoder=Recurrent(layers=8, hidden_size=2048, projection=640),
    time_reduction=2,
    prediction=Recurrent(layers=2, hidden_size=2048, projection=640),
    linear_size=0,
    joint_size=640,
)


def parameters(config, source_size, target_size):
    with torch.device("meta"):
        return sum(p.numel() for p in config.build(source_size, target_size).parameters())


def test_parameters_of_2013():
    """Trans-3l-250H: 4.3 million weights of 123 features, 61 phonemes and blank; by hand layer by layer."""
    cells = 250 * 4
    first, others = cells * (123 + 250 + 2) + 3 * 250, cells * (500 + 250 + 2) + 3 * 250
    prediction = cells * (61 + 250 + 2) + 3 * 250
    output = 250 * 501 + 250 * 251 + 250 * 250 + 62 * 251
    found = parameters(Config(), 123, 62)
    assert found == 2 * (first + 2 * others) + prediction + output == 4_342_312
    assert round(found / 1e6, 1) == 4.3


def test_parameters_of_2018():
    """About 120 million in encoder and prediction network; 80 bands, 4096 word pieces read as 1 of K."""

    def layer(size):
        return 4 * 2048 * (size + 640 + 2) + 2048 * 640

    encoder = layer(4 * 80) + 6 * layer(640) + layer(1280)
    prediction = layer(640) + layer(4095)
    assert parameters(STREAM_2018, 80, 4096) == encoder + prediction + 640 * 641 + 640**2 + 4096 * 641
    embedded = encoder + 2 * layer(640)
    assert round(embedded / 1e6) == 121


@pytest.mark.parametrize(
    "options", [STREAMING, NORMALIZED, STREAMING | {"left_frames": 5, "time_reduction": 1, "normalize": True}]
)
@pytest.mark.parametrize("chunks", [[23], [1] * 23, [4, 8, 0, 7, 4], [3, 2, 16, 2], [22, 1, 0]])
def test_a_stream_in_chunks_is_the_whole(options, chunks):
    torch.manual_seed(0)
    model = Config(**options).build(5, 7).double().eval()
    x = torch.randn(2, 23, 5, dtype=torch.float64)
    whole = model.encode(Padded(x, torch.tensor([23, 23])))
    assert whole.lengths.tolist() == [-(-23 // model.reduction)] * 2
    stream, found = model.begin(2), []
    for k, chunk in enumerate(x.split(chunks, 1)):
        part, stream = model.listen(chunk, stream, last=k == len(chunks) - 1)
        found.append(part)
        assert stream.waiting.shape[1] < model.reduction
    torch.testing.assert_close(torch.cat(found, 1), whole.data, rtol=1e-9, atol=1e-9)


def test_no_stream_of_both_directions():
    model = Config(**SMALL).build(5, 7)
    with pytest.raises(ValueError, match="no stream"):
        model.listen(torch.randn(1, 4, 5), model.begin(1), last=True)


@pytest.mark.parametrize("options", VARIANTS)
def test_stepping_the_prediction_network_equals_the_parallel_pass(options):
    torch.manual_seed(0)
    model = Config(**options).build(5, 7).double().eval()
    assert isinstance(model, Transducer)
    target = Padded.stack([torch.tensor(y) for y in ([4, 1, 6, 2], [3, 3])])
    together = model.prefixes(target)
    prefixes, state = model.start(2)
    torch.testing.assert_close(prefixes, together[:, 0], rtol=1e-9, atol=1e-9)
    for u in range(4):
        prefixes, state = model.predict(target.data[:, u], state)
        real = target.lengths > u
        torch.testing.assert_close(prefixes[real], together[real, u + 1], rtol=1e-9, atol=1e-9)
    frames = model.encode(Padded(torch.randn(2, 6, 5).double(), torch.tensor([6, 6]))).data[:, 0]
    torch.testing.assert_close(model.join(frames, prefixes).exp().sum(-1), torch.ones(2).double())


@pytest.mark.parametrize("options", VARIANTS)
def test_the_padding_s_values_are_not_read(options):
    torch.manual_seed(0)
    model = Config(**(options | {"dropout": 0.0})).build(5, 7).double().train()
    rows, tokens = [torch.randn(n, 5).double() for n in (15, 8, 1)], [[4, 5, 6], [2], []]
    target = Padded.stack([torch.tensor(y, dtype=torch.long) for y in tokens])
    clean, dirty = (model.loss(Batch(("a",), Padded.stack(rows, fill=fill), target)) for fill in (0.0, float("nan")))
    torch.testing.assert_close(dirty.total, clean.total, rtol=1e-12, atol=0)


def test_any_target_fits_any_source():
    """One step can carry many tokens: there is nothing too short, but for no frame at all."""
    model = Config(**SMALL).build(5, 7)
    target = Padded.stack([torch.tensor([4, 4, 4, 5, 5, 6])] * 2)
    loss = model.loss(Batch(("a", "b"), Padded(torch.randn(2, 1, 5), torch.tensor([1, 0])), target))
    assert 0 < float(loss.total.detach()) < 100


def test_search_gives_times_in_steps():
    torch.manual_seed(0)
    model = Config(**STREAMING).build(5, 7).eval()
    found = model.search(Padded(torch.randn(3, 12, 5), torch.tensor([12, 7, 0])), Beam(width=3))
    assert all(0 <= first < last <= 3 for nbest in found for h in nbest for first, last in h.spans)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, "stride"),
        ({"left_frames": -1}, "left_frames"),
        ({"dropout": 1.0}, "dropout"),
        ({"time_reduction": 2, "reduce_after": 3}, "time_reduction comes after"),
        ({"encoder": {"layers": 2, "pyramid": 2}}, "pyramid"),
        ({"encoder": {"norm": "input"}, "normalize": True}, "normalize the same"),
        ({"prediction": {"bidirectional": True}}, "prediction network reads forward"),
        ({"encoder": {"projection": 8, "hidden_size": 8}}, "projection is below"),
        ({"encoder": {"projection": 8, "lstm": {"layer_norm": True}}}, "projection is for the plain lstm"),
        ({"encoder": {"projection": 8, "cell": "gru"}}, "projection is for the plain lstm"),
        ({"encoder": {"projection": 8, "zoneout": 0.1}}, "projection is for the plain lstm"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**options)
