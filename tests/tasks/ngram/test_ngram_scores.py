"""Scores of the lines held out are those of the definition, whatever shards they lie in; the page; what it writes."""

import math

import pytest
import torch
from slow_ngram import LETTERS, Slow, ids, text_of, tokenizer_of, work_of

from infra.errors import UserError
from models.search.language.ngram_lm import NGramGenerator
from tasks.decoding.generate_text import Prompt, generate_text
from tasks.ngram.evaluate_ngram import evaluate_ngram
from tasks.ngram.fit_line_tokenizer import fit_line_tokenizer
from tasks.ngram.text_lines import LineSplitConfig
from tasks.ngram.train_ngram import open_ngram, train_ngram
from tasks.reports.report_ngram import NGramPage, report_ngram
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig, load_tokenizer

SPLIT = LineSplitConfig(dev_share=0.3)
EVERY = [f"{a}{b}{c}" for a in ("ab", "ba", "cab", "d?") for b in ("aa", "c", "dab", "b b") for c in ("", "a", "dd")]
COUNTED, HELD = ([line for line in EVERY if SPLIT.holds_out(line) is held] for held in (False, True))

OF_ALL_ORDERS = {"orders", "data"}


@pytest.fixture
def text(artifact_root):
    return text_of(EVERY[:20], EVERY[20:21], EVERY[21:])


@pytest.fixture
def model(text):
    return train_ngram.fn(text, tokenizer_of(LETTERS), work_of(3, split=SPLIT, lower=True, arpa=True))


def test_scores_are_the_definition_s_for_every_order(text, model):
    told = evaluate_ngram.fn(model, text, SPLIT).read_json("scores.json")
    assert [row["order"] for row in told["orders"]] == [1, 2, 3]
    assert {name: told["orders"][-1][name] for name in told if name not in OF_ALL_ORDERS} == {
        name: value for name, value in told.items() if name not in OF_ALL_ORDERS
    }
    tokens = sum(len(line) + 1 for line in HELD)
    for order, row in enumerate(told["orders"], 1):
        slow = Slow([ids(line) for line in COUNTED], order)
        nats = -sum(slow.log_prob(ids(line)) for line in HELD)
        assert row["loss"] == pytest.approx(nats / tokens, abs=1e-5)
        assert row["perplexity"] == pytest.approx(math.exp(nats / tokens), abs=1e-4)
        for name in ("bits_per_token", "bits_per_character"):
            assert row[name] == pytest.approx(nats / tokens / math.log(2), abs=1e-5)
        assert (row["tokens"], row["characters"], row["sentences"]) == (tokens, tokens, len(HELD))
        assert row["unknown"] == sum(line.count("?") + line.count(" ") for line in HELD) / tokens


def test_the_lines_that_stand_out_are_found_across_shards(text, model):
    reading = evaluate_ngram.fn(model, text, SPLIT).read_json("reading.json")
    slow = Slow([ids(line) for line in COUNTED], 3)
    bits = {line: -slow.log_prob(ids(line)) / (len(line) + 1) / math.log(2) for line in HELD if len(line) >= 3}
    ranked = sorted(bits.values())
    assert [b for b, _ in reading["surest"]] == pytest.approx(ranked[:8], abs=1e-4)
    assert [b for b, _ in reading["oddest"]] == pytest.approx(ranked[::-1][:8], abs=1e-4)
    for line, shown in zip(HELD, reading["passages"], strict=False):
        assert "".join(token for token, _ in shown).replace("<unk>", "?") == line.replace(" ", "?") + "\n"
        truth = [slow.p(t, (1, *ids(line)[:i])) for i, t in enumerate([*ids(line), 2])]
        assert [p for _, p in shown] == pytest.approx(truth, abs=1e-4)


def test_scores_do_not_depend_on_shards(text, model):
    one = text_of(EVERY, shard_mb=1)
    assert len(one.names(".tar")) < len(text.names(".tar"))
    found = [evaluate_ngram.fn(model, each, SPLIT) for each in (one, text)]
    together, apart = (scores.read_json("scores.json")["orders"] for scores in found)
    assert together == [pytest.approx(row) for row in apart]  # sums of floats in another order
    assert found[0].read("reading.json") == found[1].read("reading.json")


def test_bits_per_character_count_characters_of_sub_words_and_words(artifact_root):
    every = [f"{a} sees the {b}." for a in ("A lion", "the rat", "No fox") for b in ("cat", "dog", "hen", "ant")] * 2
    text = text_of(every)
    for config in (
        TokenizerConfig(kind="bpe", vocabulary_size=40, text=AS_WRITTEN),
        TokenizerConfig(kind="words", vocabulary_size=50),
    ):
        tokenizer = fit_line_tokenizer.fn(text, config, SPLIT)
        model = train_ngram.fn(text, tokenizer, work_of(2, split=SPLIT))
        scores = evaluate_ngram.fn(model, text, SPLIT)
        told, held = scores.read_json("scores.json"), [line for line in every if SPLIT.holds_out(line)]
        dot = config.kind == "words"  # punctuation is dropped there
        assert told["characters"] == sum(len(line) + 1 - dot for line in held)
        assert told["tokens"] < told["characters"]
        assert told["bits_per_character"] == pytest.approx(told["bits_per_token"] * told["tokens"] / told["characters"])
        shown = "".join(token for token, _ in scores.read_json("reading.json")["passages"][0])
        assert shown.split()[1] == held[0].split()[1]


def test_lines_without_tokens_cannot_be_scored(text, model):
    with pytest.raises(UserError, match=r"have no tokens; raise split\.dev_share") as caught:
        evaluate_ngram.fn(model, text, LineSplitConfig(dev_share=1e-9))
    assert "\n" not in str(caught.value)


def test_the_page_shows_every_order(text, model):
    scores = evaluate_ngram.fn(model, text, SPLIT)
    page = report_ngram.fn(model, text, scores, NGramPage(title="a <page>"))
    html, told = page.read("report.html").decode(), page.read_json("report.json")
    assert html.startswith("<!doctype html>")
    assert "a &lt;page&gt;" in html
    assert told["model"]["ngrams"] == model.read_json("summary.json")["ngrams"]
    for row in told["scores"]["orders"]:
        assert f"{row['perplexity']:,.3f}" in html
    for order in told["model"]["orders"]:
        assert all(f"{d:.3f}" for d in order["values"])
        assert f"{order['seen']:,}" in html


def test_it_writes_text_and_begins_again_after_a_line(model):
    writer, tokenizer = NGramGenerator(open_ngram(model).model), load_tokenizer(model)

    def text(seed):
        prompt = Prompt(context="ab", length=300, temperature=1.0)
        return "".join(generate_text(writer, tokenizer, prompt, torch.Generator().manual_seed(seed)))

    assert text(1) == text(1) != text(2)
    lines = text(1).split("\n")
    assert lines[0].startswith("ab")
    assert len(lines) > 20
    begun = {line[0] for line in lines[1:-1] if line}
    assert begun <= {line[0] for line in COUNTED} | {"c"}, "the first letters of lines, not any letter"
    with pytest.raises(UserError, match="vocabulary"):
        next(generate_text(writer, tokenizer, Prompt(context="x"), torch.Generator()))
