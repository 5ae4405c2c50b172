"""Normalisation by rule, and tokenizers that give back what they were given."""

import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.problem import Problem
from infra.store import draft
from models.vocabulary import SPECIALS, UNK
from tasks.text import Normalisation, normalise, outside
from tasks.tokenizer import Tokens, fit_tokenizer, load_tokenizer

TEXTS = ["the cat sat on the mat", "a dog's day", "ná m'ani nnye basabasayɛ", "zero one two three", "the dog sat"] * 20


def shards(tmp_path, monkeypatch, texts=TEXTS):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path))
    pq.write_table(pa.table({"split": ["train"] * len(texts), "text": texts}), tmp_path / "index.parquet")
    with draft("shards") as out:
        out.put("index.parquet", tmp_path / "index.parquet")
    return out.result()


@given(st.text(max_size=60))
def test_normalising_twice_changes_nothing(text):
    rules = Normalisation()
    once = normalise(text, rules)
    assert normalise(once, rules) == once
    assert once == unicodedata.normalize("NFC", once)


def test_rules():
    assert normalise("  It\u2019s TWENTY-one,  \u201cok\u201d? ", Normalisation()) == "it's twenty one ok"
    assert normalise("\u0643\u0643", Normalisation(replace=("\u0643\u06a9",))) == "\u06a9\u06a9"
    assert normalise("Straße!", Normalisation(case="upper", punctuation="keep")) == "STRASSE!"
    assert normalise("e\u0301", Normalisation()) == "\u00e9"
    assert outside("abcé", Normalisation(alphabet="abc")) == "é"
    with pytest.raises(ValueError, match="pairs"):
        Normalisation(replace=("abc",))


@pytest.mark.parametrize(("kind", "size"), [("characters", 0), ("words", 100), ("bpe", 45), ("unigram", 34)])
def test_what_is_encoded_is_decoded(tmp_path, monkeypatch, kind, size):
    fitted = fit_tokenizer.fn(shards(tmp_path, monkeypatch), Tokens(kind=kind, vocabulary_size=size or 1000))
    tokenizer = load_tokenizer(fitted)
    for text in TEXTS[:5]:
        ids = tokenizer.encode(text.upper())
        assert tokenizer.decode(ids) == normalise(text, Normalisation())
        assert all(len(SPECIALS) <= i < len(tokenizer) for i in ids)
    assert UNK in tokenizer.encode("漢字")
    again = fit_tokenizer.fn(shards(tmp_path, monkeypatch), Tokens(kind=kind, vocabulary_size=size or 1000))
    assert again == fitted, "the same texts make the same bytes"


def test_impossible_vocabulary_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(Problem, match="vocabulary_size") as caught:
        fit_tokenizer.fn(shards(tmp_path, monkeypatch), Tokens(kind="bpe", vocabulary_size=5000))
    assert "\n" not in str(caught.value)


def test_no_text_left_is_named(tmp_path, monkeypatch):
    with pytest.raises(Problem, match="after normalisation"):
        fit_tokenizer.fn(shards(tmp_path, monkeypatch, ["?!", " "]), Tokens())
