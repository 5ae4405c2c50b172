"""`--set`: every key and type checked, errors in one line that says what would be right."""

import pytest
import torch

from flows.recipes import FineTuningRecipe, asr, asr_demo
from flows.shared.command_line import comparison_arguments
from flows.shared.overrides import override
from flows.shared.validate_inputs import check_workers, list_recipes, resolve_recipe
from infra.errors import UserError

RECIPE = asr_demo.deep_speech_2_demo()


def test_values_get_the_type_of_their_field():
    settings = ["model.layers=5", "fit.epochs=3", "fit.optimizer=SGD", 'fit.optimizer_options={"momentum": 0.5}']
    settings += ["fit.optimizer_options.nesterov=true", "ingest.own_splits=true", "model.time_strides=2"]
    found = override(RECIPE, [*settings, "tokens.text.replace=ab,cd"])
    assert found.model.layers == 5
    assert found.fit.optimizer_options == {"momentum": 0.5, "nesterov": True}
    assert found.ingest.own_splits is True
    assert found.model.time_strides == (2,)
    assert found.tokens.text.replace == ("ab", "cd")
    assert RECIPE.fit.epochs != 3, "the recipe itself is not changed"


@pytest.mark.parametrize(
    "settings",
    [
        ["model.cell=lstm", "model.lstm.peepholes=true", "model.lstm.layer_norm=true"],
        ["model.cell=lstm", "model.zoneout=0.1", "model.zoneout_cell=0.1", "model.norm=product"],
        ["model.cell=gru", "model.gru.layer_norm=true", "model.merge=sum"],
        ["model.cell=elman", "model.elman.nonlinearity=relu", "model.initialize.recurrent=identity"],
    ],
)
@pytest.mark.parametrize("recipe", [asr_demo.deep_speech_2_demo, asr_demo.deep_speech_demo])
def test_deep_speech_takes_every_cell_and_its_regularizers(recipe, settings):
    found = override(recipe(), settings).model
    assert found.build(40, 30).config == found


@pytest.mark.parametrize("first", [0, 1])
def test_values_that_only_fit_together_are_set_together(first):
    settings = ["fit.schedule=StepLR", 'fit.schedule_options={"step_size": 3}']
    found = override(RECIPE, settings[first:] + settings[:first])
    assert (found.fit.schedule, found.fit.schedule_options) == ("StepLR", {"step_size": 3})
    with pytest.raises(UserError, match="step_size"):
        override(RECIPE, settings[1:])


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("model.layer=3", "did you mean model.layers"),
        ("model.layers=three", "whole number"),
        ("fit", "KEY=VALUE"),
        ("fit=3", "name one of its keys"),
        ("zzz.at.all=3", "there are"),
        ("features.kind=mel", "one of log_mel, log_spectrogram, mfcc, waveform, given"),
        ("features.mels=161", r"features\.mels=161: .* filters .* are empty"),
        ("fit.optimizer=Sdg", "torch.optim"),
        ("fit.optimizer_options={", "JSON"),
        ("ingest.own_splits=perhaps", "true or false"),
        ("model.layers=0", "at least 1"),
        ("features.frames=32", "features.frames would shift the times"),
        ("features.trim_db=30", "features.trim_db would shift the times"),
        ("fit.epochs.x=1", "single value"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(setting, says):
    with pytest.raises(UserError, match=says) as caught:
        override(RECIPE, [setting])
    assert "\n" not in str(caught.value)


def test_every_recipe_is_listed_and_can_be_built():
    listed = list_recipes(asr)
    assert "deep_speech_2_an4" in listed
    assert "adam" not in listed
    for name, line in listed.items():
        assert line, name
        recipe = resolve_recipe("demo:", name, (), asr)[1]
        if not isinstance(recipe, FineTuningRecipe):
            with torch.device("meta"):
                recipe.training.model.build(80, 30)


@pytest.mark.parametrize(
    ("corpus", "recipe", "says"),
    [
        ("an4:/nowhere/at/all", "deep_speech_2_an4", "does not exist"),
        ("an5:/tmp", "deep_speech_2_an4", "KIND one of"),
        ("commonvoice", "deep_speech_2_an4", "KIND:URI"),
        ("commonvoice:", "deep_speech_2_an4", "no place given"),
        ("demo:", "deep_speach_2_demo", "did you mean deep_speech_2_demo"),
    ],
)
def test_wrong_corpus_or_recipe(corpus, recipe, says):
    with pytest.raises(UserError, match=says):
        resolve_recipe(corpus, recipe, [], asr)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e400", "NaN"])
@pytest.mark.parametrize(
    "key", ["beam.lm_weight", "fit.learning_rate", "augment.noise", "augment.snr_db", "model.dropout"]
)
def test_a_number_is_finite(key, value):
    with pytest.raises(UserError, match="takes a finite number"):
        override(RECIPE, [f"{key}={value}"])


@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", '{"a": NaN}'])
def test_numbers_in_json_are_finite(value):
    for setting in (f"fit.optimizer_options.weight_decay={value}", f'fit.optimizer_options={{"eps": {value}}}'):
        with pytest.raises(UserError, match="takes a finite number"):
            override(RECIPE, [setting])


@pytest.mark.parametrize("value", ["100000000000000000000000", "-1", str(1 << 63)])
@pytest.mark.parametrize("key", ["fit.seed", "fit.epochs", "model.layers", "model.time_strides", "beam.width"])
def test_a_whole_number_counts_something(key, value):
    with pytest.raises(UserError, match="takes a whole number from 0 to 9223372036854775807"):
        override(RECIPE, [f"{key}={value}"])


def test_what_a_seed_and_a_weight_may_be():
    found = override(RECIPE, [f"fit.seed={(1 << 63) - 1}", "augment.snr_db=-5,10", "beam.insertion_bonus=-0.5"])
    assert (found.fit.seed, found.augment.snr_db, found.beam.insertion_bonus) == ((1 << 63) - 1, (-5.0, 10.0), -0.5)


@pytest.mark.parametrize("setting", ["augment.noise=-1", "augment.speed=2", "fit.clip_norm=-1", "fit.error_budget=1.5"])
def test_a_share_is_a_share_and_a_deviation_is_not_negative(setting):
    with pytest.raises(UserError, match=setting.split(".")[1].split("=")[0]):
        override(RECIPE, [setting])


@pytest.mark.parametrize(
    ("count", "says"), [(-1, "give how many train"), (1000, r"has 2 cores.*give at most 2"), (3, "at most 2")]
)
def test_workers_that_cannot_be_are_refused(count, says, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    with pytest.raises(UserError, match=says):
        check_workers(count)
    check_workers(0)
    check_workers(2)
    monkeypatch.setenv("RAY_ADDRESS", "ray://elsewhere:10001")
    if count > 0:
        check_workers(count)


@pytest.mark.parametrize("seeds", ["-1", "0,100000000000000000000000"])
def test_a_comparison_s_seeds_are_seeds(seeds, monkeypatch, capsys):
    command = ["compare", "--corpus", "demo:", "--recipes", "deep_speech_2_demo", "--seeds", seeds]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        comparison_arguments([asr])
    assert "whole number" in capsys.readouterr().err
