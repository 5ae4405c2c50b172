"""Members of unlike architectures, their sum of the parts, and what is refused."""

import pytest
import test_bahdanau
import test_listen_attend_spell
import test_show_attend_tell
import torch

from models import bahdanau, conv_s2s, listen_attend_spell, show_attend_tell, transformer
from models.criteria.token_cross_entropy import append_eos
from models.interface import Batch, Beam, Decoder, Padded
from models.registry import build, describe_config
from models.special_tokens import EOS

torch.set_num_threads(1)

TRANSFORMER = transformer.Config(
    size=16, heads=2, feed_forward_size=32, encoder_layers=1, decoder_layers=2, dropout=0.0
)
BAHDANAU = bahdanau.Config(
    embedding_size=8, hidden_size=8, attention_size=8, maxout_size=8, initial_deviation=0.5, label_smoothing=0.1
)
WIDE = bahdanau.Config(**test_bahdanau.VARIANTS[0])
JOINT = next(options for options in test_listen_attend_spell.VARIANTS if options.get("ctc_weight"))
SHOW_ATTEND_TELL = show_attend_tell.Config(**test_show_attend_tell.VARIANTS[0])


def together(*configs, **more):
    return {"members": [describe_config(config) for config in configs]} | more


VARIANTS = [
    together(TRANSFORMER, WIDE),
    together(TRANSFORMER, TRANSFORMER, mean="log_probs", label_smoothing=0.1),
    together(SHOW_ATTEND_TELL, SHOW_ATTEND_TELL),
]


def ensemble_model(*configs, **more):
    torch.manual_seed(0)
    return build("ensemble", together(*configs, **more), 9, 8).double().eval()


def sentences():
    torch.manual_seed(4)
    source, target = (Padded.stack([torch.randint(4, 8, (n,)) for n in lengths]) for lengths in ((6, 2, 4), (3, 5, 1)))
    return Batch(("a", "b", "c"), source, target)


def test_sources_searched_together_are_as_searched_alone():
    """Memories of unlike trees, and sources that end one after the other."""
    model, batch, beam = ensemble_model(TRANSFORMER, BAHDANAU), sentences(), Beam(width=2)
    assert isinstance(model, Decoder)
    for weight in (model.members[0].embedding.weight, model.members[1].output.weight):
        weight.data[EOS] *= 3
    for b, nbest in enumerate(model.search(batch.source, beam)):
        source = Padded(batch.source.data[b : b + 1, : batch.source.lengths[b]], batch.source.lengths[b : b + 1])
        (alone,) = model.search(source, beam)
        assert [h.tokens for h in nbest] == [h.tokens for h in alone]
        assert [h.score for h in nbest] == pytest.approx([h.score for h in alone], abs=1e-9)


@pytest.mark.parametrize("mean", ["probabilities", "log_probs"])
def test_a_score_is_of_the_mean_at_each_token(mean):
    model, batch = ensemble_model(TRANSFORMER, BAHDANAU, mean=mean), sentences()
    said = []
    for member in model.members:
        read = torch.cat((torch.full((3, 1), 1), batch.target.data), 1)  # BOS
        read = Padded(read, batch.target.lengths + 1)
        said.append(member.predict(member.encode(batch.source), read).softmax(-1).detach())
    told = torch.stack(said)
    p = told.mean(0) if mean == "probabilities" else told.log().mean(0).exp()
    p = p / p.sum(-1, keepdim=True)
    target = append_eos(batch.target)
    for i, score in enumerate(model.score(batch)):
        ids = target.data[i, : target.lengths[i]]
        assert float(score) == pytest.approx(float(p[i, torch.arange(len(ids)), ids].log().sum()), abs=1e-9)


def test_a_source_is_no_longer_than_the_shortest_limit_of_a_member():
    short = conv_s2s.Config(embedding_size=8, encoder=((3, 8),), decoder=((3, 8),), positions=6)
    assert (ensemble_model(TRANSFORMER, short).longest, ensemble_model(TRANSFORMER).longest) == (6, None)
    source = sentences().source
    assert ensemble_model(TRANSFORMER, short).limits(source).tolist() == [5, 5, 5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": []}, "a member or more"),
        (together(TRANSFORMER, mean="median"), "mean is one of"),
        ({"members": [{"architecture": "transformer"}]}, "architecture and options"),
        ({"members": ["transformer"]}, "architecture and options"),
        ({"members": [{"architecture": "ensemble", "options": together(TRANSFORMER)}]}, "is no ensemble"),
        (together(TRANSFORMER, SHOW_ATTEND_TELL), "read the same"),
        ({"members": [{"architecture": "char_rnn", "options": {}}]}, "char_rnn cannot write a text together"),
        (together(listen_attend_spell.Config(**JOINT)), "listen_attend_spell cannot write"),
    ],
)
def test_what_is_no_ensemble_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        build("ensemble", options, 9, 8)
