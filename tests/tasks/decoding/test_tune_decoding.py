"""A grid over a translator's search: its numbers are sacrebleu's of what each beam says, and the best is the first."""

import sacrebleu
from digit_translator import digit_features, digit_translator, numbers, reversed_number

from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.bundles.model_bundle import load_bundle
from tasks.decoding.translate import TranslationConfig, Translator
from tasks.decoding.tune_decoding import SearchGrid, TuningConfig, grid_search
from tasks.reports.report_tuning import report_tuning

TEXTS = numbers(40, seed=5, longest=7)  # longer than what it was trained on, so that it errs


def test_a_translator_is_tuned_by_bleu(in_this_process):
    bundle, features = digit_translator(), digit_features(TEXTS, "dev")
    grid = SearchGrid(width=(1, 3), length_norm=(0.0, 2.0))
    how = {"split": "dev", "batching": BatchingConfig(utterances_per_batch=7), "architecture": "transformer"}
    table = grid_search.fn(bundle, features, TuningConfig(grid=grid, beam=Beam(), **how))
    told = table.read_json("tuning.json")
    references = [reversed_number(text) for text in TEXTS]
    for row in told["rows"]:
        translator = Translator(load_bundle(bundle), TranslationConfig(beam=Beam(**as_beam(row["point"]))))
        said = [found.text for found in translator.translate(TEXTS)]
        assert abs(row["bleu"] - sacrebleu.corpus_bleu(said, [references], force=True).score) < 1e-9
        assert abs(row["chrf"] - sacrebleu.corpus_chrf(said, [references]).score) < 1e-9
    found = [row["bleu"] for row in told["rows"]]
    assert found == sorted(found, reverse=True)
    assert 0 < found[0] < 100
    assert (told["metric"], told["beam"]["width"]) == ("bleu", told["rows"][0]["point"]["width"])
    page = report_tuning.fn(table, "tuned").read("report.html").decode()
    assert f"BLEU {found[0]:.2f}" in page
    assert "BLEU by length_norm and width" in page


def as_beam(point):
    return {name: int(value) if name == "width" else value for name, value in point.items()}
