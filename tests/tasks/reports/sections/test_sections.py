"""What sections say is in their HTML, marked and sortable; a text that attacks a page stays text."""

import csv
import io
import re
from dataclasses import asdict
from html.parser import HTMLParser

import pytest
from hostile_html import ATTACKS, EVIL
from hypothesis import given
from hypothesis import strategies as st

from infra.artifact_store import new_draft
from models import rnn_transducer
from models.layers.rnn_stack import Recurrent
from models.registry import describe_config
from tasks.features.front_end import CMVN, FrontEnd
from tasks.reports.sections.comparison_section import comparison_section
from tasks.reports.sections.corpus_section import corpus_section
from tasks.reports.sections.error_section import SHOWN, error_files, error_section
from tasks.reports.sections.promotion_section import slice_texts, slices_section
from tasks.reports.sections.run_section import run_section
from tasks.reports.sections.section_html import data_table, marked_texts, percent
from tasks.scoring.compare_transcripts import Baseline, compare_transcripts
from tasks.scoring.error_analysis import align_words, analyze_errors
from tasks.scoring.evaluate_asr import ScoringConfig

TAGS = {"section", "h2", "h3", "p", "ul", "li", "b", "span", "code", "table", "thead", "tbody", "tr", "th", "td", "div"}
TAGS |= {"details", "summary", "figure", "figcaption", "svg", "rect", "title", "pre", "del", "ins"}
ATTRIBUTES = {"id", "class", "dir", "scope", "data-sort", "role", "aria-label", "viewbox", "width", "height", "x", "y"}
ATTRIBUTES |= {"fill", "open"}

TINY = rnn_transducer.Config(
    stride=2,
    encoder=Recurrent(layers=1, hidden_size=4),
    prediction=Recurrent(layers=1, hidden_size=4),
    linear_size=0,
    joint_size=4,
)


class Page(HTMLParser):
    """The cells of each table, and the text; fails at an element or attribute that sections do not have."""

    def __init__(self, html):
        super().__init__()
        self.open, self.tables, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        assert tag in TAGS
        assert {name for name, _ in attrs} <= ATTRIBUTES
        self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in {"td", "th"}:
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data

    def handle_comment(self, data):
        raise AssertionError(data)


PAIRS = [("the cat sat", "the hat sat"), ("a cat", "a hat"), ("the end", "the very end"), ("the end", "the")]


def test_errors_are_in_the_tables_and_whole_in_the_files():
    told = analyze_errors(PAIRS, {"the", "sat", "a", "end"})
    page = Page(error_section("test", told))
    rates, confused, missed, inserted, letters, coverage, unknown = page.tables
    assert rates[1][:4] == ["words", "9", "2", "22.22%"]
    assert coverage[1] == ["out of vocabulary", "2", "1", "2", "100.00%"]
    assert unknown[1] == ["cat", "2", "2", "hat"]
    assert confused == [["spoken", "heard", "times"], ["cat", "hat", "2"]]
    assert missed[1] == ["cat", "2", "0", "2", "2"]
    assert inserted[1] == ["very", "1"]
    assert letters[1] == ["c", "h", "2"]
    assert "22.22% of the words spoken are not among the 4 of training." in "".join(page.text)
    files = error_files("test", told)
    table = list(csv.reader(io.StringIO(files["errors/test_missed.csv"].decode())))
    assert table[:2] == [["word", "missed", "deleted", "substituted", "occurrences"], ["cat", "2", "0", "2", "2"]]
    assert len(table) == len(told["missed"]) + 1


def test_a_long_table_is_cut_and_says_where_the_rest_is():
    pairs = [(f"a{i}", f"b{i}") for i in range(SHOWN + 5)]
    told = analyze_errors(pairs, None)
    html = error_section("dev", told)
    page = Page(html)
    assert len(page.tables[1]) == SHOWN + 1
    assert f"The first {SHOWN} of {SHOWN + 5}; all are in errors/dev_confusions.csv." in "".join(page.text)
    assert len(error_files("dev", told)["errors/dev_confusions.csv"].splitlines()) == SHOWN + 6
    assert "not known" in html


def test_errors_are_marked_where_they_are():
    (alignment,) = align_words([("a house is here", "the house was not here")])
    reference, hypothesis = marked_texts(alignment)
    assert re.sub("<.*?>", "", reference) == "a house is here"
    assert re.sub("<.*?>", "", hypothesis) == "the house was not here"
    assert hypothesis.count('<span class="substitution">') == reference.count('<span class="substitution">') == 2
    assert hypothesis.count('<span class="insertion">') == 1
    (gone,) = align_words([("one two", "two")])
    assert marked_texts(gone) == ('<span class="deletion">one</span> two', "two")
    (near,) = align_words([("horse", "house")])
    assert marked_texts(near)[1] == '<span class="substitution">ho<b>u</b>se</span>'


@given(st.text(st.sampled_from("ab<&> "), max_size=12), st.text(st.sampled_from("ab<&> "), max_size=12))
def test_marked_texts_keep_their_words(reference, hypothesis):
    (alignment,) = align_words([(reference, hypothesis)])
    for marked, text in zip(marked_texts(alignment), (reference, hypothesis), strict=True):
        assert "".join(Page(marked).text) == " ".join(text.split())


def test_a_corpus_on_a_page():
    bars = {"counts": [3, 1], "edges": [0.0, 2.0, 4.0]}
    split = {"seconds": 7200.0, "utterances": 4, "speakers": 2, "without_speaker": 0, "words": 9, "characters": 40}
    split |= {"shortest": 0.5, "longest": 3.5, "repeated": 1, "seconds_histogram": bars, "characters_histogram": bars}
    corpus = {
        "warnings": [EVIL],
        "splits": [{"split": "train", **split}],
        "shared": [{"split": "dev", "other": "train", "speakers": 3, "sentences": 2, "utterances": 5}],
        "left_out": [{"split": "dev", "stage": "decode", "reason": "truncated", "count": 2, "first": ["a.wav", EVIL]}],
        "flagged": [],
        "split_from": {"dev": {EVIL: 1, "": 2}},
        "speaker_from": {"column client_id": 4},
        "characters": [{"character": " ", "train": 3}, {"character": "<", "train": 1}],
    }
    drawn = corpus_section(corpus)
    html = re.sub("<svg.*?</svg>", "", drawn, flags=re.S)
    assert [drawn.count(f">{unit} of an utterance<") for unit in ("seconds", "characters")] == [1, 1]
    page = Page(html)
    text = "".join(page.text)
    assert html.index('<ul class="warnings">') < html.index("<table"), "what is doubtful comes first"
    assert text.count(EVIL) == 3
    assert all(attack not in html for attack in ATTACKS[:4])
    assert page.tables[0][1] == ["train", "2", "4", "2", "0", "9", "40", "0.5", "3.5", "1"]
    assert ["dev and train", "3", "2", "5"] in page.tables[1]
    assert ["(space)", "U+0020", "3", "75.00%"] in page.tables[-1]
    assert html.count('role="img"') == 2


def test_numbers_sort_by_their_value():
    html = data_table(("name", "share"), [["a", percent(0.5)], ["b", percent(0.0312)], ["c", None], ["d", 1200]])
    assert re.findall(r'data-sort="([^"]*)">([^<]*)<', html) == [
        ("0.5", "50.0%"),
        ("0.0312", "3.1%"),
        ("", "–"),
        ("1200", "1,200"),
    ]
    assert '<th scope="col">name</th><th scope="col" class="number">share</th>' in html
    assert data_table(("name",), []) == "<p>none</p>"


def rows(texts, references):
    return [{"key": f"k{i}", "reference": r, "text": t} for i, (t, r) in enumerate(zip(texts, references, strict=True))]


def test_a_comparison_shows_its_interval_and_what_changed():
    said = ["a b c", "d e", f"f {ATTACKS[0]}"]
    told = compare_transcripts(
        rows(["a b c", "d x", "f"], said), rows(["a", "d e", "f"], said), ScoringConfig(resamples=20)
    )
    champion = Baseline(role="champion", name=f"asr{EVIL} version 3")
    lost = Baseline(role="run before", name="a run", problem="its transcripts are not in this store any more")
    html = comparison_section("test", [(champion, told), (lost, None)], "comparison.json")
    page = Page(html)
    numbers, worse, better = page.tables
    assert numbers[1][:3] == [
        f"{told['wer']:.2%}",
        f"{told['other_wer']:.2%}",
        f"{100 * told['difference']:+.2f} points",
    ]
    assert "no clear difference" in numbers[1][-1]
    assert worse[1] == ["1", "0", "1", "d e", "d e", "d x", "k1"]
    assert better[1] == ["-2", "2", "0", "a b c", "a b c", "a b c", "k0"]
    gone = '<span class="deletion">b</span> <span class="deletion">c</span>'
    assert f">a {gone}</td>" in html, "what was not heard is struck out in its place"
    text = "".join(page.text)
    assert "1 utterances became better, 1 worse, 1 have as many errors as before." in text
    assert "With the run before: a runits transcripts are not in this store any more" in text
    assert EVIL in text
    assert "There is no other champion" in "".join(Page(comparison_section("test", [], "comparison.json")).text)


@pytest.fixture
def bundle(artifact_root):
    with new_draft("bundle") as out:
        out.put_json("model.json", describe_config(TINY) | {"source_size": 4, "target_size": 6})
        out.put_json("features.json", {"front_end": asdict(FrontEnd(kind="given")), "normalizer": asdict(CMVN("none"))})
        training = {"history": [{"epoch": 1}, {"epoch": 2}], "best": {"epoch": 2}, "features": "f" * 64}
        out.put_json("training.json", training | {"fit": {"seed": 7, "epochs": 2}, "augment": {"bands": [1, 2]}})
    return out.result()


def test_how_a_model_came_about(bundle):
    facts = (("command", f"scriptorium train-asr {EVIL}"), ("machine", "fast"), ("nothing", ""))
    settings = {"fit.seed": "7", "augment.bands": "[3]", "lm": "https://me:secret@host/lm"}
    html = run_section(facts, bundle, settings, [bundle, bundle])
    page = Page(html)
    told, used, trained, digests = page.tables
    named = dict(told)
    assert named["command"] == f"scriptorium train-asr {EVIL}"
    assert named["best epoch"] == "2 of 2"
    assert named["random seed"] == "7"
    parameters = sum(p.numel() for p in TINY.build(4, 6).parameters())
    assert named["parameters"] == f"{parameters:,}"
    assert "nothing" not in named
    assert dict(used[1:])["augment.bands"] == "[3]"
    assert "secret" not in html
    assert dict(trained[1:])["augment.bands"] == "[1, 2]", "of which this run has another"
    assert "fit.seed" not in dict(trained[1:])
    assert dict(trained[1:])["features.kind"] == "given"
    assert [row[0] for row in digests] == ["artifact", "bundle"]
    assert digests[1][1] == bundle.digest


def test_a_speaker_whose_name_is_a_digest_leaves_room_for_the_numbers():
    row = {"slice": "speaker", "group": "0123456789abcdef" * 8, "utterances": 40, "unit": "utterance"}
    row |= {"rate": 1 / 3, "other_rate": 0.4, "difference": -1 / 15, "low": -0.1, "high": -0.02, "verdict": "not worse"}
    told = slice_texts(row)
    assert told["group"] == "0123456789abcdef01234567…"
    assert (told["challenger"], told["champion"], told["difference"]) == ("33.33%", "40.00%", "-6.67 points")
    page = slices_section({"slices": [row], "rule": {"tolerance": 0.02, "min_utterances": 30}})
    assert all(text in page for text in told.values())
    assert row["group"] not in page
    assert "worse by more than 2 points" in page
