"""Aligned files become a registered translator; a second run does nothing; then it is measured anew."""

from argparse import Namespace

import pytest
from digit_pairs import write_digit_corpus
from test_flows import states_of

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
LANGUAGES = ("ingest.source_language=xa", "ingest.target_language=xb")
SMALL = (
    *LANGUAGES,
    "model.size=32",
    "model.heads=2",
    "model.feed_forward_size=64",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "model.dropout=0",
    "tokens.source.vocabulary_size=60",
    "tokens.target.vocabulary_size=60",
    "fit.epochs=10",
    "fit.warmup_steps=30",
    "fit.learning_rate=0.01",
    "fit.average_last=0",
    "fit.best_by=bleu",
    "batching.frames_per_batch=400",
    "beam.width=2",
)


def test_the_whole_way(prefect_server, tmp_path, monkeypatch):
    from flows.evaluate import evaluate_model
    from flows.train_translation import train_translation
    from flows.tune_decoding import tune_decoding
    from infra import storage
    from infra.artifact_store import artifact_at
    from infra.errors import UserError

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "translators")
    corpus = f"parallel:{write_digit_corpus(tmp_path / 'digits', {'train': 300, 'dev': 20, 'test': 20})}"
    call = {"corpus": corpus, "recipe": "translation_small", "settings": SMALL, "workers": 0}
    result, first = states_of(train_translation, **call)
    assert set(first.values()) == {"Completed"}
    assert set(result["metrics"]) == {"test", "dev"}
    assert result["metrics"]["test"]["bleu"] > 5
    assert storage.read(result["report"]).startswith(b"<!doctype html>")
    told = artifact_at(result["paths"]["shards"]).read_json("summary.json")["splits"]
    assert {split: row["kept"] for split, row in told.items()} == {"train": 300, "dev": 20, "test": 20}
    again, second = states_of(train_translation, **call)
    assert again == result
    assert set(second.values()) == {"Cached"}
    assert len(second) == len(first)

    measured, _ = states_of(evaluate_model, model="translation@champion", corpus=corpus, split="test")
    assert measured["metrics"]["test"] == result["metrics"]["test"]
    tuned = tune_decoding(  # the recipe's own beam is among these
        model="translation@champion", corpus=corpus, settings=("grid.width=1,2", "grid.length_norm=0,1")
    )
    assert tuned["model"].startswith("translation@")
    assert tuned["metrics"]["dev"]["bleu"] >= result["metrics"]["dev"]["bleu"]
    told = artifact_at(tuned["paths"]["bundle"]).read_json("decode.json")
    assert (told["width"], told["length_norm"]) in {(w, n) for w in (1, 2) for n in (0, 1)}
    assert b"BLEU by length_norm and width" in storage.read(tuned["report"])
    twice = "translation@champion, translation@champion"  # an ensemble
    together, _ = states_of(evaluate_model, model=twice, corpus=corpus, split="dev")
    alone, _ = states_of(evaluate_model, model="translation@champion", corpus=corpus, split="dev")
    assert together["metrics"]["dev"]["bleu"] == alone["metrics"]["dev"]["bleu"]
    with pytest.raises(UserError, match="asked to translate xb to xa, and it was trained on xa to xb"):
        evaluate_model(
            model="translation@champion",
            corpus=corpus,
            settings=("ingest.source_language=xb", "ingest.target_language=xa"),
        )


@pytest.mark.parametrize(
    ("recipe", "setting", "says"),
    [
        ("translation_small", "tokens.joint=false", "one embedding for two vocabularies; set tokens.joint=true"),
        ("translation_small", "tokens.source.kind=words", "one kind and size"),
        ("translation_small", "tokens.source.specials=false", "specials"),
        ("translation_small", "beam.ctc_weight=0.5", "ctc_weight"),
        ("translation_small", "fit.best_by=wer", "a translator is measured by loss, bleu"),
        ("translation_small", "fit.freeze=encode", "no module or parameter"),
        ("transformer_base", "model.heads=7", "heads"),
        ("bahdanau_multi30k", "bpe_dropout=1", "bpe_dropout"),
    ],
)
def test_settings_that_cannot_be_honored(recipe, setting, says):
    from flows.recipes import translation
    from flows.shared.validate_inputs import resolve_recipe
    from infra.errors import UserError

    with pytest.raises(UserError, match=says) as caught:
        resolve_recipe("parallel:/", recipe, [*LANGUAGES, setting], translation)
    assert "\n" not in str(caught.value)


def test_languages_on_the_command_line_are_settings():
    from flows.kinds.translation import TRANSLATION
    from flows.shared.command_line import take_languages
    from flows.shared.training_flow import check_arguments

    given = {"corpus": "parallel:/", "recipe": "translation_small", "settings": [], "workers": 0}
    parsed = Namespace(**given, model_name="t", alias="", source_language="en", target_language="de")
    take_languages(parsed)
    check_arguments(TRANSLATION, parsed)
    assert parsed.settings == ["ingest.source_language=en", "ingest.target_language=de"]
    assert "source_language" not in vars(parsed)


def test_every_recipe_is_listed_and_can_be_built():
    import torch

    from flows.recipes import translation
    from flows.shared.validate_inputs import list_recipes

    systems = ("bahdanau", "conv_s2s", "luong", "gnmt", "seq2seq", "encoder_decoder")
    expected = {f"{name}_multi30k" for name in systems} | {f"transformer_multi30k_{d}" for d in ("en_de", "de_en")}
    assert set(list_recipes(translation)) == expected | {"translation_small", "transformer_base", "transformer_big"}
    for name, line in list_recipes(translation).items():
        assert line, name
        part = next(part for part in (*translation.PARTS, translation) if hasattr(part, name))
        plan = getattr(part, name)()
        with torch.device("meta"):
            assert plan.training.model.build(6000, 6000)
        assert plan.training.joint
