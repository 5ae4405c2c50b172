"""The form of each flow: what may be chosen is what there is, and what cannot be is refused in a line before a run."""

import pytest
from prefect.utilities.callables import parameter_schema
from prefect.utilities.schema_tools.validation import ValidationError, validate

from flows.compare import compare
from flows.evaluate import evaluate_model
from flows.ingest import ingest
from flows.recipes import asr
from flows.shared.validate_inputs import list_recipes
from flows.train_asr import train_asr
from flows.train_classifier import train_classifier
from flows.train_language_model import train_language_model
from flows.train_ngram import train_ngram
from flows.tune_decoding import tune_decoding

FLOWS = (compare, evaluate_model, ingest, train_asr, train_classifier, train_language_model, train_ngram, tune_decoding)


def form(flow):
    return parameter_schema(flow.fn).model_dump()


def test_the_recipes_that_there_are_can_be_chosen():
    field = form(train_asr)["properties"]["recipe"]
    assert set(list_recipes(asr)) <= set(field["enum"])
    assert all(f"\n\n- `{name}` {line}" in field["description"] for name, line in list_recipes(asr).items())


@pytest.mark.parametrize("flow", FLOWS, ids=lambda flow: flow.name)
def test_each_field_has_a_title_and_says_what_it_is(flow):
    for name, field in form(flow)["properties"].items():
        assert field["title"][0].isupper(), name
        assert field["description"], name
        assert field.get("default") in field["enum"] if "enum" in field and "default" in field else True, name


@pytest.mark.parametrize(
    ("flow", "parameters", "said"),
    [
        (train_asr, {"corpus": "nonsense:/data"}, "corpus"),
        (train_asr, {"corpus": "text:/data"}, "corpus"),
        (train_asr, {"recipe": "char_rnn_fables"}, "recipe"),
        (train_asr, {"workers": -1}, "less than the minimum of 0"),
        (train_asr, {"settings": ["fit.epochs 20"]}, "settings"),
        (train_asr, {"alias": "a b"}, "alias"),
        (train_classifier, {}, "corpus"),
        (evaluate_model, {"split": "Test"}, "split"),
        (ingest, {"corpus": "demo:", "what": "sounds"}, "what"),
        (compare, {"corpus": "demo:", "names": "cell_*", "seeds": [-1]}, "less than the minimum of 0"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(flow, parameters, said):
    with pytest.raises(ValidationError, match=said) as caught:
        validate(parameters, form(flow), raise_on_error=True)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("flow", [train_asr, evaluate_model, tune_decoding], ids=lambda flow: flow.name)
def test_the_defaults_are_valid(flow):
    properties = form(flow)["properties"]
    validate({name: field["default"] for name, field in properties.items()}, form(flow), raise_on_error=True)
