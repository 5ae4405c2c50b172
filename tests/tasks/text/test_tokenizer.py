"""Tokenizers that give back what they were given."""

import io
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceTrainer

from infra.artifact_store import new_draft
from infra.errors import UserError
from models.special_tokens import SPECIALS, UNK
from tasks.text.normalization import NormalizationConfig, normalize_text
from tasks.text.short_sentences import short_sentences
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer, load_tokenizer

TEXTS = ["the cat sat on the mat", "a dog's day", "ná m'ani nnye basabasayɛ", "zero one two three", "the dog sat"] * 20


def shards(tmp_path, monkeypatch, texts=TEXTS):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path))
    pq.write_table(pa.table({"split": ["train"] * len(texts), "text": texts}), tmp_path / "index.parquet")
    with new_draft("shards") as out:
        out.put("index.parquet", tmp_path / "index.parquet")
    return out.result()


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
        fit_tokenizer.fn(shards(tmp_path, monkeypatch), TokenizerConfig(kind="bpe", vocabulary_size=5))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_texts_that_carry_fewer_pieces_give_what_they_carry(tmp_path, monkeypatch, capfd, kind):
    """So many that one more is refused, and the same as by that number."""
    given = shards(tmp_path, monkeypatch)
    found = fit_tokenizer.fn(given, TokenizerConfig(kind=kind, vocabulary_size=5000))
    size = len(load_tokenizer(found))
    assert f"carry {size} pieces" in capfd.readouterr().err
    assert fit_tokenizer.fn(given, TokenizerConfig(kind=kind, vocabulary_size=size)) == found
    assert not capfd.readouterr().err
    options = {"sentence_iterator": iter(TEXTS), "model_writer": io.BytesIO(), "model_type": kind, "minloglevel": 2}
    with pytest.raises(RuntimeError, match="too high"):
        SentencePieceTrainer.Train(vocab_size=size + 1, character_coverage=1.0, pad_id=3, **options)


def test_no_text_left_is_named(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="after normalization"):
        fit_tokenizer.fn(shards(tmp_path, monkeypatch, ["?!", " "]), TokenizerConfig())


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
@pytest.mark.parametrize("space", [" ", "\u2585"], ids=["a line", "a reserved character"])
def test_no_text_is_too_long_to_learn_from(tmp_path, monkeypatch, kind, space):
    """One line of 100 kB: its vocabulary is that of the same words a few a line."""
    words = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnr"]
    random.Random(0).shuffle(words)
    words = (words * 300)[:25000]
    config = TokenizerConfig(kind=kind, vocabulary_size=45, text=NormalizationConfig(punctuation="keep"))

    def pieces(texts):
        tokenizer = load_tokenizer(fit_tokenizer.fn(shards(tmp_path, monkeypatch, texts), config))
        return {tokenizer.model.IdToPiece(i) for i in range(len(tokenizer))}

    short = pieces([" ".join(words[i : i + 10]) for i in range(0, len(words), 10)])
    assert pieces([space.join(words)]) == short


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_script_without_spaces_is_cut_between_characters(tmp_path, monkeypatch, kind):
    letters = "".join(chr(0x4E00 + i) for i in range(60))
    text = "".join(random.Random(0).choices(letters, k=9000))  # 27 kB
    config = TokenizerConfig(kind=kind, vocabulary_size=66)
    tokenizer = load_tokenizer(fit_tokenizer.fn(shards(tmp_path, monkeypatch, [text]), config))
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert list(short_sentences([text, "a b"])) == [text[i : i + 1000] for i in range(0, 9000, 1000)] + ["a b"]


@given(st.lists(st.text(alphabet="abé", min_size=1)).map("\u2585".join), st.integers(1, 12))
def test_what_is_cut_is_all_there(text, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tasks.text.short_sentences.SENTENCE_CHARACTERS", most)
        pieces = list(short_sentences([text]))
    assert "".join("".join(pieces).split()) == "".join(text.replace("\u2585", " ").split())
    assert all(0 < len(piece) <= most for piece in pieces)
    if max(map(len, text.replace("\u2585", " ").split()), default=0) <= most:
        assert " ".join(pieces).split() == text.replace("\u2585", " ").split(), "no word is cut that fits"
