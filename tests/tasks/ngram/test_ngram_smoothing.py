"""Counting and smoothing on the disk against the equations with dictionaries."""

import itertools
import os
import tempfile
from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_ngram import LETTERS, PREDICTED, Slow, ids, text_of, tokenizer_of, trained, work_of

from models.special_tokens import BLANK, BOS, SPECIALS
from tasks.ngram import count_ngrams as counting
from tasks.ngram import kneser_ney
from tasks.ngram.kneser_ney import FALLBACK, discounts
from tasks.ngram.sorted_runs import Packing
from tasks.ngram.train_ngram import lower_order_files, open_ngram, train_ngram

SENTENCES = st.lists(st.text(LETTERS + "?", min_size=1, max_size=9), min_size=1, max_size=25)
PRUNES = st.lists(st.integers(0, 2), max_size=2).map(lambda more: (0, *itertools.accumulate(more)))
MANY = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


@contextmanager
def store():
    """An empty artifact store for one example of a property."""
    old = os.environ["SCRIPTORIUM_ARTIFACTS"]
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SCRIPTORIUM_ARTIFACTS"] = folder
        try:
            yield
        finally:
            os.environ["SCRIPTORIUM_ARTIFACTS"] = old


def contexts(length):
    """Every context of up to `length` tokens, seen or not."""
    inner = range(3, len(SPECIALS) + len(LETTERS))
    for n in range(length + 1):
        for words in itertools.product(inner, repeat=n):
            yield words
            yield (BOS, *words)


def probabilities(model, length):
    rows = list(contexts(length))
    padded = torch.zeros(len(rows), length + 1, dtype=torch.long)
    for row, words in zip(padded, rows, strict=True):
        row[length + 1 - len(words) :] = torch.tensor(words, dtype=torch.long)
    return rows, model.log_probs(model.read(padded)).exp()


@MANY
@given(SENTENCES, st.integers(1, 4), PRUNES)
def test_it_is_the_paper_s_formula_and_sums_to_one(sentences, order, prune):
    prune = prune[:order]
    with store():
        model = open_ngram(trained([sentences], order, prune)).model
        rows, found = probabilities(model, 2)
    slow = Slow([ids(s) for s in sentences], order, prune)
    truth = [[slow.p(w, words) for w in PREDICTED] for words in rows]
    torch.testing.assert_close(found[:, list(PREDICTED)], torch.tensor(truth, dtype=torch.float64), rtol=3e-6, atol=0)
    assert not found[:, [BLANK, BOS]].any()
    torch.testing.assert_close(found.sum(1), torch.ones(len(rows), dtype=torch.float64), rtol=0, atol=1e-6)


@settings(MANY, max_examples=15)
@given(SENTENCES, st.integers(1, 5), st.data())
def test_however_the_text_is_divided_the_artifact_is_the_same(sentences, order, data):
    """Also when every merge, stream and range is of a few rows, so that groups are cut anywhere."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sentences)), max_size=4)))
    shards = [sentences[a:b] for a, b in itertools.pairwise([0, *cuts, len(sentences)])]
    small = {name: data.draw(st.integers(1, 12)) for name in ("STREAM_TOKENS", "HELD_ROWS", "FENCE")}
    small["PART_ROWS"] = data.draw(st.integers(10, 100))
    block, per_word = data.draw(st.integers(1, 12)), data.draw(st.integers(1, 3))
    with store(), pytest.MonkeyPatch.context() as patch:
        whole = trained([sentences], order, arpa=True)
        for name, value in small.items():
            patch.setattr(counting, name, value)
        patch.setattr(kneser_ney, "BLOCK_ROWS", block)
        patch.setattr(Packing, "per_word", per_word)  # n-grams of several words, as large vocabularies have them
        assert trained(shards, order, arpa=True) == whole


@settings(MANY, max_examples=15)
@given(SENTENCES, st.integers(2, 4), PRUNES)
def test_the_models_of_lower_orders_are_those_trained_alone(sentences, order, prune):
    with store():
        whole = trained([sentences], order, prune[:order], lower=True)
        for k, name in enumerate(lower_order_files(order), 1):
            assert whole.read(name) == trained([sentences], k, prune[:k]).read("ngram.bin")


def test_a_larger_text_whose_discounts_are_by_the_formula(artifact_root):
    generator = torch.Generator().manual_seed(5)
    weights = torch.tensor([0.5, 0.3, 0.15, 0.05])
    sentences = [
        "".join(LETTERS[i] for i in torch.multinomial(weights, n, replacement=True, generator=generator))
        for n in torch.randint(1, 30, (60,), generator=generator).tolist()
    ]
    artifact = trained([sentences], 6)
    orders = artifact.read_json("summary.json")["orders"]
    assert any(order["found"] for order in orders)
    slow = Slow([ids(s) for s in sentences], 6)
    assert [order["values"] for order in orders] == [pytest.approx(d[1:]) for d in slow.d]
    rows, found = probabilities(open_ngram(artifact).model, 3)
    truth = torch.tensor([[slow.p(w, words) for w in PREDICTED] for words in rows], dtype=torch.float64)
    torch.testing.assert_close(found[:, list(PREDICTED)], truth, rtol=3e-6, atol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(len(rows), dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("times", "found"),
    [
        ((4, 3, 2, 1), True),
        ((4, 3, 2, 0), True),  # D3 = 3
        ((0, 3, 2, 1), False),
        ((4, 0, 2, 1), False),
        ((4, 3, 0, 1), False),
        ((1, 1, 9, 1), False),  # D2 < 0
    ],
)
def test_discounts_that_make_no_sense_are_replaced(times, found):
    told = discounts(times)
    assert told.found is found
    assert found or told.values == FALLBACK
    assert all(0 < d <= i for i, d in enumerate(told.values, 1))


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_on_ray_as_in_one_process(artifact_root, on_ray):
    shards = [["abba", "cab", "d?a"], ["abba"], ["dab dab", "c"]]
    one = trained([sum(shards, [])], 3)
    assert trained(shards, 3) == one
    slow = Slow([ids(s) for shard in shards for s in shard], 3)
    assert float(open_ngram(one).model.score(torch.tensor([BOS, *ids("cabba"), 2])).sum()) == pytest.approx(
        slow.log_prob(ids("cabba")), abs=1e-5
    )


def test_a_killed_run_goes_on_where_it_stopped(artifact_root, monkeypatch):
    shards = [["abba", "cab"], ["abba"], ["dab", "c"]]
    whole = trained(shards, 3)
    real, done = counting.adjust_part, []

    def killed(job):
        raise KeyboardInterrupt

    inputs = text_of(*shards), tokenizer_of(LETTERS), work_of(3, arpa=True)
    monkeypatch.setattr(counting, "adjust_part", killed)
    with pytest.raises(KeyboardInterrupt):
        train_ngram.fn(*inputs)
    monkeypatch.setattr(counting, "adjust_part", real)
    monkeypatch.setattr(counting, "count_shard", done.append)
    again = train_ngram.fn(*inputs)
    assert done == []
    assert again.read("ngram.bin") == whole.read("ngram.bin")
    assert not list((artifact_root / ".drafts").iterdir())
