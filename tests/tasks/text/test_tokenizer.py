"""Normalization by rule, and tokenizers that give back what they were given."""

import unicodedata

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifact_store import new_draft
from infra.errors import UserError
from models.special_tokens import SPECIALS, UNK
from tasks.text.normalization import NormalizationConfig, characters_outside, normalize_text
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer, load_tokenizer

TEXTS = ["the cat sat on the mat", "a dog's day", "ná m'ani nnye basabasayɛ", "zero one two three", "the dog sat"] * 20


def shards(tmp_path, monkeypatch, texts=TEXTS):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path))
    pq.write_table(pa.table({"split": ["train"] * len(texts), "text": texts}), tmp_path / "index.parquet")
    with new_draft("shards") as out:
        out.put("index.parquet", tmp_path / "index.parquet")
    return out.result()


@given(st.text(max_size=60))
def test_normalizing_twice_changes_nothing(text):
    rules = NormalizationConfig()
    once = normalize_text(text, rules)
    assert normalize_text(once, rules) == once
    assert once == unicodedata.normalize("NFC", once)


def test_rules():
    assert normalize_text("  It\u2019s TWENTY-one,  \u201cok\u201d? ", NormalizationConfig()) == "it's twenty one ok"
    assert normalize_text("\u0643\u0643", NormalizationConfig(replace=("\u0643\u06a9",))) == "\u06a9\u06a9"
    assert normalize_text("Straße!", NormalizationConfig(case="upper", punctuation="keep")) == "STRASSE!"
    assert normalize_text("e\u0301", NormalizationConfig()) == "\u00e9"
    assert characters_outside("abcé", NormalizationConfig(alphabet="abc")) == "é"
    with pytest.raises(ValueError, match="pairs"):
        NormalizationConfig(replace=("abc",))


@pytest.mark.parametrize(("kind", "size"), [("characters", 0), ("words", 100), ("bpe", 45), ("unigram", 34)])
def test_what_is_encoded_is_decoded(tmp_path, monkeypatch, kind, size):
    fitted = fit_tokenizer.fn(shards(tmp_path, monkeypatch), TokenizerConfig(kind=kind, vocabulary_size=size or 1000))
    tokenizer = load_tokenizer(fitted)
    for text in TEXTS[:5]:
        ids = tokenizer.encode(text.upper())
        assert tokenizer.decode(ids) == normalize_text(text, NormalizationConfig())
        assert all(len(SPECIALS) <= i < len(tokenizer) for i in ids)
    assert UNK in tokenizer.encode("漢字")
    again = fit_tokenizer.fn(shards(tmp_path, monkeypatch), TokenizerConfig(kind=kind, vocabulary_size=size or 1000))
    assert again == fitted, "the same texts make the same bytes"


def test_impossible_vocabulary_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="vocabulary_size") as caught:
        fit_tokenizer.fn(shards(tmp_path, monkeypatch), TokenizerConfig(kind="bpe", vocabulary_size=5000))
    assert "\n" not in str(caught.value)


def test_no_text_left_is_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="after normalization"):
        fit_tokenizer.fn(shards(tmp_path, monkeypatch, ["?!", " "]), TokenizerConfig())
