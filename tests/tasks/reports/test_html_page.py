"""Whatever labels, names, texts and paths say, a page shows it and does nothing else."""

import json

import numpy as np
import pytest
from hostile_html import ATTACKS, EVIL, count, poison, shown
from markupsafe import Markup
from small_classifier import rows_of, texts

from infra.artifact_store import new_draft
from models import char_rnn
from models.registry import describe_config
from tasks.corpora.utterance import QUARANTINE
from tasks.ngram.train_ngram import SUMMARY
from tasks.reports.html_page import as_json, html_cards, html_figure, html_page, html_section, html_table
from tasks.reports.plots.plot_comparison import Curve, plot_overlay, plot_panels
from tasks.reports.plots.plot_confusion import plot_confusion
from tasks.reports.plots.plot_utterance import UtterancePanels, plot_utterance
from tasks.reports.report_classifier import ClassifierPage, report_classifier
from tasks.reports.report_comparison import Comparison, report_comparison
from tasks.reports.report_language_model import LanguagePage, report_language_model
from tasks.reports.report_ngram import NGramPage, report_ngram
from tasks.reports.report_tuning import report_tuning
from tasks.scoring.evaluate_asr import ScoringConfig
from tasks.scoring.evaluate_classifier import score_predictions
from tasks.steps.parquet_io import to_parquet, to_table
from tasks.training.leaderboard import LeaderboardEntry, Ranking

HISTORY = [{"epoch": e, "step": e, "loss": 2.0, "dev_loss": 2.0, "dev_error": 0.5, "sample": EVIL} for e in (1, 2)]
SUMMARY_JSON = poison({"corpus": "manifest:/x", "splits": {"train": {"kept": 1}}})
READING = [[EVIL, 0.5], ["<", 0.1], ["'", 0.2], ["\n", 1.0]]


MODEL = {"architecture": "char_rnn", "options": {}, "source_size": 5, "target_size": 5}


def made(kind, **files):
    with new_draft(kind) as out:
        for name, value in files.items():
            out.put_json(f"{name}.json", value)
    return out.result()


def html_of(report):
    return report.read("report.html").decode()


def test_a_classifier_s_page(taken_in, tmp_path):
    rows = [(EVIL, EVIL, "train"), ("more", "x", "train"), ("c", "x", "dev")]
    shards = taken_in(texts(tmp_path / "t.jsonl", rows))
    with new_draft("features") as out:
        out.put("quarantine.parquet", to_parquet(to_table([], QUARANTINE)))
    features = out.result()
    found = rows_of([(EVIL, f"{EVIL}2", 0.99), (f"{EVIL}2", f"{EVIL}2", 0.8)])
    found = [row | {"key": "t_jsonl_1", "source": EVIL, "speaker": f"<b>{i}"} for i, row in enumerate(found)]
    scores = made("scores", scores=score_predictions(found, [EVIL, f"{EVIL}2"], ScoringConfig()))
    bundle = made("bundle", training={"history": HISTORY}, model=MODEL, features=None)
    page = report_classifier.fn(bundle, shards, features, (scores,), ClassifierPage(title=EVIL, splits=(EVIL,)))
    # Title and heading; four sections and four links to them, the split's card and row; two labels in a table, twice
    # two in a drawing, shortened; and of the miss both labels, its place and its text.
    assert count(html_of(page)) == 2 + 8 + 2 + 2 + 4
    assert "<b>0" in shown(html_of(page))
    assert page.read_json("report.json")["title"] == EVIL


def test_a_language_model_s_page(artifact_root):
    numbers = dict.fromkeys(("loss", "perplexity", "bits_per_token", "bits_per_character", "accuracy", "tokens"), 1)
    page = report_language_model.fn(
        made("bundle", training={"history": HISTORY}, model=MODEL, features=None),
        made("text", summary=SUMMARY_JSON),
        made("stream", stream={"vocabulary": 3}),
        made("scores", scores=numbers, reading=[READING, READING]),
        LanguagePage(title=EVIL, split=EVIL),
    )
    assert count(html_of(page)) == 2 + 3 + 2 + 2, "title, heading, split twice on a card, two samples, two passages"
    assert json.dumps(EVIL, ensure_ascii=False) in shown(html_of(page))


def test_an_ngram_model_s_page(artifact_root):
    row = {"order": 1, "perplexity": 1.0, "perplexity_of_known": 1.0, "bits_per_token": 1.0, "bits_per_character": 1.0}
    row |= {"unknown": 0.0, "tokens": 1, "sentences": 1}
    model = {"ngrams": [3], "orders": [{"seen": 1, "values": [0.1, 0.2, 0.3], "found": True}], "config": {}}
    assert SUMMARY == "summary.json"
    page = report_ngram.fn(
        made("ngram", summary=model | {"text": poison({"a": "b"})}),
        made("text", summary=SUMMARY_JSON),
        made(
            "scores",
            scores={"orders": [row]},
            reading={"oddest": [[9.0, READING]], "surest": [], "passages": [READING]},
        ),
        NGramPage(title=EVIL),
    )
    assert count(html_of(page)) == 2 + 2


def test_a_comparison_s_page(artifact_root):
    told = {"history": HISTORY, "best": {"epoch": 1}}
    model = describe_config(char_rnn.Config()) | {"source_size": 5, "target_size": 5}
    entries = tuple(
        LeaderboardEntry(
            recipe=recipe,
            seed=0,
            training=None,
            bundle=made("bundle", training=told, model=model),
            scores=made("scores", scores={"loss": 1.0}),
            clock=None,
        )
        for recipe in (EVIL, f"{EVIL}2")
    )
    ranking = Ranking(metric="loss", curve="dev_loss", curve_label="dev loss")
    comparison = Comparison(
        key="k", title=EVIL, corpus=EVIL, ranking=ranking, columns=(("loss", EVIL, "{:.3f}"),), failed=((EVIL, EVIL),)
    )
    page = html_of(report_comparison.fn(entries, comparison))
    assert count(page) == 2 + 2 * (1 + 2) + 2, "title, heading, two tables of a column and two rows, a failure"


def test_a_tuning_s_page(artifact_root):
    rows = [{"point": {EVIL: x, "other": y}, "wer": x + y, "cer": 0.1, "seconds": 1.0} for x in (0, 1) for y in (0, 1)]
    told = {"split": EVIL, "rows": rows, "metric": "wer", "descending": False}
    page = html_of(report_tuning.fn(made("tuning", tuning=told), EVIL))
    assert count(page) == 2 + 1 + 1 + 2 + 1 + 1, "title, heading, split, best point, plot's heading, its axis, column"


@pytest.mark.parametrize("attack", [*ATTACKS, EVIL])
def test_what_pages_are_made_of(attack):
    body = [html_section(attack, html_table([attack], [[attack, attack]])), as_json({attack: attack})]
    body += [html_cards([(attack, attack, attack)]), html_section("b", html_figure(Markup("<svg></svg>"), attack))]
    page = html_page(attack, [*body, attack]).decode()
    assert shown(page).count(attack) >= 10, "even what was put into a page as a text"
    assert shown(html_page("t", [f"{Markup('<b>')}{attack}"]).decode()).endswith(f"<b>{attack}"), "as a text is"


def test_half_a_surrogate_pair_is_shown_by_its_number():
    assert "\\udce9" in html_page("caf\udce9", ["\ud800"]).decode()


@pytest.mark.parametrize(
    "label", ["$\\frac$", "$", "a_b^c", "\\", "$\\undefined{$", "%", "\u202e", "</svg>", "_x", *ATTACKS]
)
def test_plots_take_labels_as_they_are(label):
    curves = [Curve(label, (((1, 2), (1.0, 2.0)),)), Curve(f"{label}2", (((1, 2), (1.0, 2.0)),))]
    token = {"text": label, "begin_seconds": 0.0, "end_seconds": 0.1}
    pictures = [
        plot_overlay(curves, label),
        plot_panels(curves, label),
        plot_confusion([(label, label, 1), (label, "b", 2)]),
    ]
    pictures.append(plot_utterance(UtterancePanels(np.ones((20, 4)), 0.2, 0.01, [token, token], np.full((20, 5), 0.2))))
    assert all(shown(html_page("t", [html_figure(picture, label)]).decode()) for picture in pictures)
    assert all(label in shown(html_page("t", [picture]).decode()) for picture in pictures[:3] if len(label) < 24)
