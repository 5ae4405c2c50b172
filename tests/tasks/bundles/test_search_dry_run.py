"""A beam is refused at the start of a flow exactly where the model's search would refuse it in the middle."""

import pytest
import torch

from flows.recipes import asr
from flows.shared.overrides import override
from flows.shared.validate_inputs import _functions
from infra.errors import UserError
from models import listen_attend_spell, rnn_transducer, tdnn_ctc, wav2letter
from models.interface import Beam, Padded
from models.layers.rnn_stack import Recurrent
from tasks.bundles.search_dry_run import TEXTS, dry_run_search, dummy_lm
from tasks.features.front_end import FrontEnd

torch.set_num_threads(1)

RECIPES = {
    name: made for name, made in _functions(asr).items() if hasattr(made(), "beam")
}  # of a trained model, its own
SPELLER = {"reductions": (2,), "listener_size": 8, "embedding_size": 8, "speller_size": 8, "attention_size": 8}
NARROW = {"channels": (4, 4), "windows": (3, 3), "dilations": (1, 1), "strides": (2, 1)}
MODELS = {
    "ctc": tdnn_ctc.Config(channels=(8,) * 5),
    "asg": wav2letter.Config(criterion="asg", **NARROW),
    "las": listen_attend_spell.Config(**SPELLER),
    "joint": listen_attend_spell.Config(ctc_weight=0.3, **SPELLER),
    "transducer": rnn_transducer.Config(
        encoder=Recurrent(hidden_size=8), prediction=Recurrent(hidden_size=8), linear_size=0, joint_size=8
    ),
}
BEAMS = [Beam(width=width, max_length=5) for width in (1, 2)] + [
    Beam(**({"width": 2, "max_length": 5} | terms))
    for terms in (
        {"length_norm": 0.5},
        {"coverage": 0.1},
        {"lm_weight": 0.5},
        {"lm_weight": 0.5, "width": 1},
        {"lm_weight": -0.5},
        {"ctc_weight": 0.3},
        {"insertion_bonus": 0.5},
        {"insertion_bonus": 0.5, "width": 1},
        {"word_bonus": 0.5},
        {"unknown_bonus": -1.0},
        {"hotword_weight": 2.0},
        {"lexicon_only": True},
        {"skip_blank": 0.9},
    )
]
LOW = FrontEnd(mels=8)


def refusal(search):
    try:
        search()
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("unit", ["none", "tokens"])
@pytest.mark.parametrize("name", MODELS)
def test_what_is_refused_is_what_the_search_refuses(name, unit):
    """Against a real search of a real source, term by term; the sentence is the search's own."""
    torch.manual_seed(0)
    model, source = MODELS[name].build(8, len(TEXTS)).eval(), Padded(torch.randn(1, 12, 8), torch.tensor([12]))
    refused = []
    for beam in BEAMS:
        real = refusal(lambda beam=beam: model.search(source, beam, dummy_lm(unit)))
        assert refusal(lambda beam=beam: dry_run_search(MODELS[name], LOW, beam, unit)) == real, beam
        refused.append(bool(real))
    assert any(refused)
    assert not all(refused)


def test_with_a_model_of_words():
    """A CTC search knows of words, once it has a model of them; not of hotwords, which a recipe does not give."""
    fits = Beam(width=4, lm_weight=0.5, word_bonus=0.5, unknown_bonus=-3.0)
    dry_run_search(MODELS["ctc"], LOW, fits, "words")
    for name, beam, says in (
        ("asg", fits, "asg_beam has no word_bonus"),
        ("asg", Beam(lm_weight=0.5), "knows no words"),
        ("ctc", Beam(lm_weight=0.5, width=1), "use a width of 2 or more"),
        ("ctc", Beam(hotword_weight=2.0), "there are no hotwords"),
    ):
        with pytest.raises(ValueError, match=says):
            dry_run_search(MODELS[name], LOW, beam, "words")


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_its_own_beam_and_no_other(name):
    """Those of the papers' sizes too: nothing is allocated."""
    plan = RECIPES[name]()
    wrong = "beam.hotword_weight=1"
    with pytest.raises(UserError, match=r"--set beam.hotword_weight=1: .*(hotword_weight|knows no words)"):
        override(plan, [wrong])


def test_set_is_refused_in_one_line():
    for recipe, setting, says in (
        ("deep_speech_2_demo", "beam.coverage=0.2", "ctc_beam has no coverage"),
        ("deep_speech_2_demo", "beam.ctc_weight=0.3", "ctc_beam has no ctc_weight"),
        ("rnn_transducer_demo", "beam.length_norm=0.6", "transducer_beam has no length_norm"),
        ("listen_attend_spell_demo", "model.ctc_weight=0", "the model has no CTC head"),
        ("listen_attend_spell_demo", "beam.skip_blank=0.9", "attention_beam has no skip_blank"),
    ):
        with pytest.raises(UserError, match=says) as caught:
            override(RECIPES[recipe](), [setting])
        assert "\n" not in str(caught.value)
