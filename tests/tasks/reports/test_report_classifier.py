"""A classifier's page: what is taken for what, and the texts that were missed."""

from small_classifier import WORDS, rows_of, texts

from infra.artifact_store import new_draft
from tasks.ingest.shard_index import read_index
from tasks.reports.plots.plot_confusion import MOST_DRAWN, drawn_labels, plot_confusion
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.reports.sample_preview import render_sample
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.evaluate_classifier import score_predictions


def test_a_picture_of_what_is_taken_for_what():
    few = [("a b", "a b", 3), ("a b", "c" * 60, 1), ("c" * 60, "c" * 60, 5)]
    assert "<text" in plot_confusion(few)
    assert drawn_labels(few) == ["a b", "c" * 60]
    names = [f"label {i:03}" for i in range(60)]
    many = [(name, name, 5) for name in names] + [("label 059", "label 058", 2)]
    assert len(drawn_labels(many)) == MOST_DRAWN
    assert {"label 058", "label 059"} <= set(drawn_labels(many))
    assert "label 058" in plot_confusion(many)


def test_the_page_shows_the_texts_that_were_missed(trained):
    shards, _, features, bundle = trained
    key = read_index(features, "test")["key"].to_pylist()[0]
    rows = rows_of([("of fruit", "of animals", 0.99), ("of fruit", "of fruit", 0.8)])
    rows[0] |= {"key": key, "source": "<lists>"}
    with new_draft("scores") as out:
        out.put_json("scores.json", score_predictions(rows, sorted(WORDS), ScoringConfig()))
    page = report_classifier.fn(bundle, shards, features, (out.result(),), ClassifierPage(title="t", splits=("test",)))
    told = page.read("report.html").decode()
    assert render_sample(shards, key) in told
    assert "&lt;lists&gt;" in told
    assert 'of fruit</b>, taken for <b dir="auto">of animals</b> with confidence 0.99' in told
    assert told.count("<svg") == 3, "two learning curves and the confusion"
    assert page.read_json("report.json")["scores"]["test"]["accuracy"] == 0.5


def test_a_text_is_shown_as_text(taken_in, tmp_path):
    rows = [("<b>bold</b>\nand more", "x", "train"), ("long " * 1000, "y", "train"), ("c", "x", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    assert "&lt;b&gt;bold&lt;/b&gt;\nand more</div>" in render_sample(shards, "t_jsonl_1")
    assert render_sample(shards, "t_jsonl_2").endswith("\u2026</div>")
