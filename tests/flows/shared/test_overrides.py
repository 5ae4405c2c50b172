"""`--set`: every key and type checked, errors in one line that says what would be right."""

import pytest

from flows.recipes import asr, asr_demo
from flows.shared.overrides import override
from flows.shared.validate_inputs import list_recipes, resolve_recipe
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
        model = resolve_recipe("demo:", name, (), asr)[1].training.model
        model.build(80, 30) if name not in {"deep_speech_2_paper", "listen_attend_spell_2018"} else None


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
