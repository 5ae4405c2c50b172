"""A translator's page: what stands on it is what was scored, and text that attacks it is shown as text."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from digit_translator import digit_features, digit_translator, numbers
from hostile_html import EVIL, count, shown

from infra.artifact_store import new_draft
from models.interface import Beam
from tasks.batches.batch_sampler import BatchingConfig
from tasks.decoding.decode_speech import DecodingConfig
from tasks.decoding.decode_translation import TRANSLATIONS, decode_translation
from tasks.reports.plots.plot_attention import plot_attention
from tasks.reports.plots.plot_learning_curve import plot_learning_curves
from tasks.reports.report_translation import TranslationPage, report_translation
from tasks.reports.sections.translation_sections import EXAMPLES, example_section
from tasks.scoring.compare_transcripts import Baseline
from tasks.scoring.evaluate_translation import TranslationScoringConfig, evaluate_translation
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.steps.parquet_parts import read_parts

SCORING = TranslationScoringConfig(resamples=50)


def kept(kind, name, content):
    with new_draft(kind) as out:
        out.put(name, content)
    return out.result()


def translations_of(rows):
    return kept("translations", "part.parquet", to_parquet(to_table(rows, TRANSLATIONS)))


@pytest.fixture
def decoded(in_this_process):
    """The bundle, shards, and the rows of 24 sentences, some of them damaged."""
    bundle, features = digit_translator(), digit_features(numbers(24, seed=8))
    how = DecodingConfig(architecture="transformer", split="test", batching=BatchingConfig(), beam=Beam(width=3))
    rows = read_parts(decode_translation.fn(bundle, features, how))
    for row in rows[:6]:
        row["text"] = f"{row['text']} nine nine nine"
    return bundle, kept("shards", "summary.json", b'{"rows": 24}'), rows


def page_of(bundle, shards, rows, **told):
    translations = translations_of(rows)
    scores = evaluate_translation.fn(translations, SCORING)
    page = TranslationPage(title="numbers", splits=("test",), scoring=SCORING, **told)
    return scores, report_translation.fn(bundle, shards, (translations,), (scores,), page)


def test_the_page_has_what_was_scored(decoded):
    bundle, shards, rows = decoded
    better = [row | {"text": row["reference"]} for row in rows]
    there = translations_of(better)
    gone = Baseline(role="run before", name="x", problem="its translations are not in this store any more")
    baselines = (Baseline(role="champion", name="de version 1", transcripts=there), gone)
    scores, made = page_of(bundle, shards, rows, baselines=baselines)
    told, page = scores.read_json("scores.json"), made.read("report.html").decode()
    text = shown(page)
    for name in ("bleu", "chrf", "ter", "bleu_lowercased"):
        assert f"{told[name]:.2f}" in text
        assert told["signatures"][name] in text
    assert "en to de" in text
    assert page.count("<svg") == 1 + EXAMPLES, "the loss, and what the examples looked at"
    assert "worse: 0 is outside the interval" in text
    assert "its translations are not in this store any more" in text
    (champion, before) = made.read_json("comparison.json")
    assert champion["comparison"]["metrics"]["bleu"]["verdict"] == "worse"
    assert len(champion["comparison"]["worse"]) == 6
    assert before["comparison"] == "its translations are not in this store any more"
    every = json.loads(made.read("test.json"))
    assert len(every) == 24
    assert [row["chrf"] for row in every] == sorted(row["chrf"] for row in every)
    assert made.read_json("report.json")["scores"]["test"] == json.loads(json.dumps(told))


def test_text_that_attacks_is_shown_as_text(decoded):
    bundle, shards, rows = decoded
    said = ("source_text", "text", "reference", "source")
    for row in rows:
        row |= dict.fromkeys(said, f"unmistakable {EVIL}") | {"words": [EVIL, "</s>"], "source_words": [EVIL, "</s>"]}
        row |= {"attention": [[0.5, 0.5], [1.0, 0.0]], "hypotheses": [{"text": EVIL, "score": -math.inf}]}
    rows[0] |= {"text": f"other {EVIL}"}
    _, made = page_of(bundle, shards, rows)
    assert count(made.read("report.html").decode()) > 100


def test_rows_without_attention_and_without_texts_are_shown(decoded):
    bundle, shards, rows = decoded
    bare = [row | {"attention": None, "text": "", "words": ["</s>"], "reference_log_prob": None} for row in rows]
    _, made = page_of(bundle, shards, bare)
    page = made.read("report.html").decode()
    assert "24 texts are empty" in shown(page)
    assert page.count("<svg") == 1


def test_examples_are_of_every_length(decoded):
    _, _, rows = decoded
    found = example_section("test", rows)
    assert found.count("<article>") == EXAMPLES
    lengths = {len(row["source_text"].split()) for row in rows}
    for length in (min(lengths), max(lengths)):
        assert any(row["source"] in found for row in rows if len(row["source_text"].split()) == length)
    assert example_section("test", []).count("<article>") == 0
    long = [row | {"words": ["x"] * 100, "attention": [[0.0]] * 100} for row in rows]
    assert "<svg" not in example_section("test", long)


def test_the_drawing_names_both_sides():
    drawn = plot_attention(
        np.eye(3, 4), ["ein", "sehr-langes-wort-das-niemand-liest", "</s>"], ["a", "b", "<c>", "</s>"]
    )
    assert ">ein<" in drawn
    assert "sehr-langes-wort" in drawn
    assert "&lt;c&gt;" in drawn
    assert "niemand-liest" not in drawn


def test_the_curve_of_a_translator_is_its_bleu():
    history = [{"epoch": e, "loss": 2 / e, "dev_loss": 3 / e, "dev_bleu": 10.0 * e} for e in (1, 2, 3)]
    drawn = plot_learning_curves(history, "nats a token", "dev BLEU")
    assert drawn.count("<svg") == 2
    assert ">30.0<" in drawn
    assert plot_learning_curves([row | {"dev_wer": 0.5} for row in history], "nats a token", "dev").count("<svg") == 3
    assert "<svg" not in plot_learning_curves([], "nats a token", "dev BLEU"), "an ensemble"


def test_a_page_keeps_its_key_parts(decoded):
    """A baseline's translations and how they are compared are part of what the page is of."""
    bundle, shards, rows = decoded
    translations = translations_of(rows)
    page = TranslationPage(title="t", splits=("test",))
    other = replace(page, baselines=(Baseline(role="champion", name="a", transcripts=translations),))
    keys = {report_translation.key(bundle, shards, (translations,), (translations,), one) for one in (page, other)}
    assert len(keys) == 2
