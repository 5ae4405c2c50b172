"""The vocabulary is that of the training captions, lower case, and what is rare or new is one unknown token."""

import json
from dataclasses import replace

import pytest
from small_photos import write_photos

from infra.errors import UserError
from models.special_tokens import UNK
from tasks.text.caption_vocabulary import CAPTION_TOKENS, fit_caption_tokenizer
from tasks.text.tokenizer import load_tokenizer


@pytest.fixture
def shards(tmp_path, photographed):
    write_photos(tmp_path, range(4))
    captions = [["A dog, running.", "Two dogs!"], ["a dog runs"], ["a DOG sleeps"]]
    rows = [{"image": f"photo_{n}.jpg", "captions": c, "split": "train"} for n, c in enumerate(captions)]
    rows.append({"image": "photo_3.jpg", "caption": "cat cat cat", "split": "dev"})
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return photographed(f"captions:{tmp_path / 'all.jsonl'}")


def test_words_as_often_as_asked(shards):
    tokenizer = load_tokenizer(fit_caption_tokenizer.fn(shards, replace(CAPTION_TOKENS, minimum_count=2)))
    assert tokenizer.symbols == ("a", "dog")
    tokens = tokenizer.encode("A dog: the cat.")
    assert tokens[2:] == [UNK, UNK]
    assert tokenizer.decode(tokens) == "a dog"
    every = load_tokenizer(fit_caption_tokenizer.fn(shards, replace(CAPTION_TOKENS, minimum_count=1)))
    assert every.symbols == ("a", "dog", "dogs", "running", "runs", "sleeps", "two")
    with pytest.raises(UserError, match="tokens.minimum_count=9"):
        fit_caption_tokenizer.fn(shards, replace(CAPTION_TOKENS, minimum_count=9))


def test_pieces_of_words(shards):
    config = replace(CAPTION_TOKENS, kind="bpe", vocabulary_size=20, minimum_count=1)
    tokenizer = load_tokenizer(fit_caption_tokenizer.fn(shards, config))
    assert tokenizer.decode(tokenizer.encode("Two dogs, running")) == "two dogs running"
