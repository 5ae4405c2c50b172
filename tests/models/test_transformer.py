"""The Transformer: the paper's sizes, torch's own layers with its weights, what a step sees, what is refused."""

import math

import pytest
import torch
from torch import nn

from models.interface import Batch, Beam, Decoder, Padded
from models.layers.decoder.scheduled_sampling import Scheduled
from models.special_tokens import BOS, EOS
from models.transformer import Config, big

torch.set_num_threads(1)

SMALL = {"size": 16, "heads": 2, "feed_forward_size": 32, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.0}
VARIANTS = [SMALL, SMALL | {"norm": "pre", "label_smoothing": 0.0, "tie_output": False}]


def small(**more):
    torch.manual_seed(0)
    return Config(**(SMALL | more)).build(9, 8).double().eval()


def sentences():
    torch.manual_seed(4)
    source, target = (Padded.stack([torch.randint(4, 8, (n,)) for n in lengths]) for lengths in ((6, 2, 4), (3, 5, 1)))
    return Batch(("a", "b", "c"), source, target)


def parameters(size, hidden, layers, vocabulary):
    feed = 2 * size * hidden + hidden + size
    encoder, decoder = 4 * size**2 + feed + 4 * size, 8 * size**2 + feed + 6 * size
    return layers * (encoder + decoder) + vocabulary * size


@pytest.mark.parametrize(
    ("config", "size", "hidden", "published", "truth"),
    [(Config(), 512, 2048, 65e6, 63_045_632), (big(), 1024, 4096, 213e6, 214_171_648)],
)
def test_parameters_of_the_paper_s_models(config, size, hidden, published, truth):
    """One vocabulary of 37,000 pieces; the paper rounds, and does not say how many of them there were."""
    with torch.device("meta"):
        model = Config(**(vars(config) | {"joint_vocabulary": True})).build(37_000, 37_000)
    count = sum(p.numel() for p in model.parameters())
    assert count == parameters(size, hidden, 6, 37_000) == truth
    assert abs(count / published - 1) < 0.035
    assert isinstance(model, Decoder)
    assert isinstance(model, Scheduled)


def test_separate_vocabularies_and_weights():
    assert sum(p.numel() for p in small().parameters()) == parameters(16, 32, 1, 9 + 8) + 8 * 16**2 + 2 * 16 * 32 + 144
    assert small(tie_output=False).output.weight.shape == (8, 16)
    with pytest.raises(ValueError, match="joint_vocabulary"):
        small(joint_vocabulary=True)


def into(theirs, ours):
    """The weights of an attention of ours in one of torch's."""
    weight = torch.cat((ours.query.weight, ours.key_value.weight))
    theirs.in_proj_weight.data, theirs.out_proj.weight.data = weight, ours.output.weight.data
    nn.init.zeros_(theirs.in_proj_bias), nn.init.zeros_(theirs.out_proj.bias)


def same(theirs, ours, *norms):
    for linear, our in ((theirs.linear1, ours.feed[0]), (theirs.linear2, ours.feed[2])):
        linear.load_state_dict(our.state_dict())
    for norm, our in zip(norms, ours.norms, strict=True):
        norm.load_state_dict(our.state_dict())


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_it_is_torch_s_own_layers(norm):
    """Encoder and decoder of nn.Transformer's layers, with every norm's gain and bias drawn at random."""
    model, batch = small(norm=norm), sentences()
    for name, value in model.named_parameters():
        if "norm" in name or name.endswith("bias"):
            nn.init.normal_(value)
    options = {"dim_feedforward": 32, "dropout": 0.0, "batch_first": True, "norm_first": norm == "pre"}
    source = torch.nn.functional.pad(batch.source.data, (0, 1))
    for b, n in enumerate(batch.source.lengths):
        source[b, n] = EOS
    real = torch.arange(7) < batch.source.lengths[:, None] + 1
    h = embedded(model.source_embedding, source)
    for ours in model.encoder:
        theirs = nn.TransformerEncoderLayer(16, 2, **options).double()
        into(theirs.self_attn, ours.attention)
        same(theirs, ours, theirs.norm1, theirs.norm2)
        h = theirs(h, src_key_padding_mask=~real)
    h = model.norm(h)
    read = torch.nn.functional.pad(batch.target.data, (1, 0), value=BOS)
    s, causal = embedded(model.embedding, read), nn.Transformer.generate_square_subsequent_mask(6).double()
    for ours in model.decoder.layers:
        theirs = nn.TransformerDecoderLayer(16, 2, **options).double()
        into(theirs.self_attn, ours.attention), into(theirs.multihead_attn, ours.look)
        same(theirs, ours, theirs.norm1, theirs.norm2, theirs.norm3)
        s = theirs(s, h, tgt_mask=causal, memory_key_padding_mask=~real)
    truth = model.decoder.norm(s) @ model.embedding.weight.T
    found = model.predict(model.encode(batch.source), Padded(read, batch.target.lengths + 1))
    for b, n in enumerate(batch.target.lengths):
        torch.testing.assert_close(found[b, : n + 1], truth[b, : n + 1], rtol=1e-9, atol=1e-9)


def embedded(table, tokens):
    """sqrt(d) E x + PE, from the paper's formulas."""
    size = table.weight.shape[1]
    encoding = torch.zeros(tokens.shape[1], size, dtype=torch.float64)
    for p in range(tokens.shape[1]):
        for i in range(size // 2):
            angle = p / 10000 ** (2 * i / size)
            encoding[p, 2 * i], encoding[p, 2 * i + 1] = math.sin(angle), math.cos(angle)
    return math.sqrt(size) * table.weight[tokens] + encoding


def test_no_step_sees_its_future():
    model, batch = small(), sentences()
    memory, read = model.encode(batch.source), torch.randint(4, 8, (3, 6))
    lengths = torch.full((3,), 6)
    whole = model.predict(memory, Padded(read, lengths))
    for t in range(5):
        other = read.clone()
        other[:, t + 1 :] = (other[:, t + 1 :] + 1) % 8
        torch.testing.assert_close(model.predict(memory, Padded(other, lengths))[:, : t + 1], whole[:, : t + 1])


def test_the_padding_s_values_are_not_read():
    model, batch = small(), sentences()
    rows = [batch.source.data[b, :n] for b, n in enumerate(batch.source.lengths.tolist())]
    dirty = Batch(batch.keys, Padded.stack(rows, fill=7), batch.target)
    torch.testing.assert_close(model.loss(dirty).total, model.loss(batch).total, rtol=0, atol=0)


def test_an_empty_source_has_its_end():
    model = small()
    batch = Batch(("a",), Padded(torch.zeros(1, 0, dtype=torch.long), torch.tensor([0])), sentences().target)
    assert model.score(Batch(("a",), batch.source, Padded(torch.tensor([[4]]), torch.tensor([1])))).isfinite().all()
    assert model.search(batch.source, Beam(width=2))[0]


def test_a_target_is_completed():
    """From tokens of its own for each source; and what is found has the score of the pair."""
    model, batch = small(), sentences()
    model.embedding.weight.data[EOS] *= 3
    prefixes = Padded.stack([torch.tensor([6, 6]), torch.tensor([], dtype=torch.long), torch.tensor([5])])
    found = model.complete(batch.source, prefixes, Beam(width=3))
    for b, nbest in enumerate(found):
        begin = tuple(prefixes.data[b, : prefixes.lengths[b]].tolist())
        source = Padded(batch.source.data[b : b + 1, : batch.source.lengths[b]], batch.source.lengths[b : b + 1])
        for h in nbest:
            assert h.tokens[: len(begin)] == begin
            if not h.truncated:
                pair = Batch(
                    ("a",), source, Padded(torch.tensor([h.tokens], dtype=torch.long), torch.tensor([len(h.tokens)]))
                )
                assert h.score == pytest.approx(float(model.score(pair)), abs=1e-9)
    assert any(not h.truncated for nbest in found for h in nbest)


def test_a_search_ends():
    model = small()
    model.embedding.weight.data[EOS] = 0
    model.decoder.norm = nn.LayerNorm(16).double()
    for nbest, n in zip(model.search(sentences().source, Beam(width=2)), (6, 2, 4), strict=True):
        assert all(len(h.tokens) <= 3 * n + 10 for h in nbest)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 3}, "do not divide"),
        ({"heads": 16}, "even size"),
        ({"norm": "both"}, "post or pre"),
        ({"encoder_layers": 0}, "at least 1"),
        ({"label_smoothing": 1.0}, "label_smoothing"),
        ({"dropout": 1.0}, "dropout"),
        ({"sampling": {"rate": 2.0}}, "sampling.rate"),
    ],
)
def test_configs_that_cannot_be_honored_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Config(**(SMALL | options))
