"""Aligned files become a registered translator; a second run does nothing; then it is measured anew, and trained on."""

from argparse import Namespace

import pytest
from digit_pairs import digit_pairs, write_digit_corpus
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


@pytest.fixture(scope="module")
def run(prefect_server, tmp_path_factory):
    """The call of train_translation, what it says of its first run, and the states of the steps."""
    from flows.train_translation import train_translation

    place = tmp_path_factory.mktemp("translators")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(place / "artifacts"))
        patch.setenv("SCRIPTORIUM_CORES", "2")
        patch.setenv("MLFLOW_EXPERIMENT_NAME", "translators")
        corpus = f"parallel:{write_digit_corpus(place / 'digits', {'train': 300, 'dev': 20, 'test': 20})}"
        call = {"corpus": corpus, "recipe": "translation_small", "settings": SMALL, "workers": 0}
        yield call, *states_of(train_translation, **call)


def test_the_whole_way(run):
    from flows.evaluate import evaluate_model
    from flows.train_translation import train_translation
    from flows.tune_decoding import tune_decoding
    from infra import storage
    from infra.artifact_store import artifact_at
    from infra.errors import UserError

    call, result, first = run
    corpus = call["corpus"]
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
    with pytest.raises(UserError, match="by --model-name"):
        tune_decoding(model=twice, corpus=corpus)
    together, _ = states_of(evaluate_model, model=twice, corpus=corpus, split="dev")
    alone, _ = states_of(evaluate_model, model="translation@champion", corpus=corpus, split="dev")
    assert together["metrics"]["dev"]["bleu"] == alone["metrics"]["dev"]["bleu"]
    with pytest.raises(UserError, match="asked to translate xb to xa, and it was trained on xa to xb"):
        evaluate_model(
            model="translation@champion",
            corpus=corpus,
            settings=("ingest.source_language=xb", "ingest.target_language=xa"),
        )


def test_a_translator_goes_on_with_other_pairs(run, tmp_path):
    """Whose languages are the model's; where nothing is learned, it says of them what the model said."""
    from flows.evaluate import evaluate_model
    from flows.train_translation import train_translation
    from infra.artifact_store import artifact_at
    from tasks.steps.parquet_parts import read_parts

    source, pairs = run[1]["paths"]["bundle"], digit_pairs(60, seed=5)
    for split, some in {"train": pairs[:40], "dev": pairs[40:50], "test": pairs[50:]}.items():
        for side, language in enumerate(("xa", "xb")):
            (tmp_path / f"{split}.{language}").write_text("".join(f"{pair[side]}\n" for pair in some))
    own = (f"init_from={source}", "fit.epochs=1", "fit.learning_rate=1e-30")
    tuned, _ = states_of(
        train_translation, corpus=f"parallel:{tmp_path}", settings=own, workers=0, model_name="of_one_subject"
    )
    assert tuned["recipe"] == "translation_fine_tune"
    first, second = artifact_at(source), artifact_at(tuned["paths"]["bundle"])
    told = second.read_json("training.json")
    assert (told["init_from"], told["languages"]) == (first.digest, {"source": "xa", "target": "xb"})
    assert second.read_json("decode.json") == first.read_json("decode.json")
    measured, _ = states_of(evaluate_model, model=source, corpus=f"parallel:{tmp_path}", split="test")
    assert measured["metrics"]["test"] == tuned["metrics"]["test"]
    before, after = (read_parts(artifact_at(one["paths"]["translations"])) for one in (measured, tuned))
    assert [(row["text"], row["score"]) for row in before] == [(row["text"], row["score"]) for row in after]


def test_the_command_line_takes_a_model_in_place_of_a_recipe():
    from flows.command_line.parsers import PARSERS
    from flows.kinds.translation import TRANSLATION
    from flows.shared.command_line import take_languages
    from flows.shared.training_flow import check_arguments

    parsed = PARSERS["flows.train_translation"]().parse_args(
        ["--corpus", "parallel:/", "--from", "translation@champion"]
    )
    take_languages(parsed)
    check_arguments(TRANSLATION, parsed)
    assert (parsed.recipe, parsed.settings) == ("auto", ["init_from=translation@champion"])


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

    from flows.recipes import StartsFromModel, translation
    from flows.shared.validate_inputs import list_recipes

    systems = ("bahdanau", "conv_s2s", "luong", "gnmt", "seq2seq", "encoder_decoder")
    expected = {f"{name}_multi30k" for name in systems} | {f"transformer_multi30k_{d}" for d in ("en_de", "de_en")}
    expected |= {"translation_small", "translation_fine_tune", "transformer_base", "transformer_big"}
    assert set(list_recipes(translation)) == expected
    for name, line in list_recipes(translation).items():
        assert line, name
        part = next(part for part in (*translation.PARTS, translation) if hasattr(part, name))
        plan = getattr(part, name)()
        if isinstance(plan, StartsFromModel):
            continue
        with torch.device("meta"):
            assert plan.training.model.build(6000, 6000)
        assert plan.training.joint
