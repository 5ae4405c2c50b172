"""A tokenizer for more: old texts are cut as before, new ones without anything unknown."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifact_store import new_draft
from infra.errors import UserError
from models.special_tokens import UNK
from tasks.text import grow_tokenizer
from tasks.text.grow_tokenizer import grow_for_texts
from tasks.text.tokenizer import TokenizerConfig, fit_on_texts, load_tokenizer

OLD = ["the red door", "a green door and a red lamp", "open the lamp now", "read a letter by the lamp"] * 5
KINDS = {
    "characters": TokenizerConfig(),
    "words": TokenizerConfig(kind="words"),
    "bpe": TokenizerConfig(kind="bpe", vocabulary_size=40),
    "unigram": TokenizerConfig(kind="unigram", vocabulary_size=24),
}


@pytest.mark.parametrize("kind", KINDS)
def test_old_texts_are_cut_as_before_and_new_ones_wholly(kind, artifact_root):
    first = fit_on_texts(OLD, KINDS[kind], "a test")
    new = ["the zoo ķēķis door", "žagars jūra"]
    before, after = load_tokenizer(first), load_tokenizer(grow_for_texts(new, first))
    assert len(after) > len(before)
    assert any(UNK in before.encode(text) for text in new)
    for text in OLD:
        assert after.encode(text) == before.encode(text)
        assert after.decode(before.encode(text)) == text
    for text in new:
        assert UNK not in after.encode(text)
        assert after.decode(after.encode(text)) == text
    for ids in ([4, 5, 6, 7], [len(before) - 1]):
        assert after.decode(ids) == before.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_what_needs_nothing_gets_nothing(kind, artifact_root):
    first = fit_on_texts(OLD, KINDS[kind], "a test")
    assert grow_for_texts([OLD[0], "The RED lamp!", ""], first) == first
    once = grow_for_texts(["ķē"], first)
    assert grow_for_texts(["ķē"], once) == once


@given(st.lists(st.text(alphabet="abcdeķēž z", min_size=1, max_size=8), min_size=1, max_size=5))
def test_growth_does_not_depend_on_the_order(texts):
    first = fit_on_texts(["abc de"], KINDS["characters"], "a test")
    assert grow_for_texts(texts, first) == grow_for_texts(texts[::-1], first)


def test_the_rules_of_the_text_are_those_of_the_model(artifact_root):
    with new_draft("tokenizer") as out:
        out.put_json("tokenizer.json", {"kind": "characters", "text": {"case": "keep"}, "symbols": ["a", "b"]})
    told = json.loads(grow_for_texts(["aB!"], out.result()).read("tokenizer.json"))
    assert told == {"kind": "characters", "text": {"case": "keep"}, "symbols": ["a", "b", "B"]}


def test_an_alphabet_stays_what_it_is(artifact_root):
    with new_draft("tokenizer") as out:
        out.put_json("tokenizer.json", {"kind": "characters", "text": {"alphabet": "ab"}, "symbols": [" ", "a", "b"]})
    assert grow_for_texts(["abc"], out.result()) == out.result()


def test_more_characters_than_a_language_has_are_refused(artifact_root, monkeypatch):
    monkeypatch.setattr(grow_tokenizer, "MOST_CHARACTERS", 40)
    with pytest.raises(UserError, match="does not write 30 characters of the transcripts") as caught:
        grow_for_texts(
            ["".join(map(chr, range(0x4E00, 0x4E00 + 30)))], fit_on_texts(OLD, KINDS["characters"], "a test")
        )
    assert "\n" not in str(caught.value)
