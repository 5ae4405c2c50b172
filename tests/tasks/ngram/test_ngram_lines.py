"""Every line of a text is read once, and is in one part, however the text lies in files, pieces and shards."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from slow_ngram import text_of

from infra.errors import UserError
from tasks.corpora import text_file
from tasks.ngram import text_lines as reading
from tasks.ngram.fit_line_tokenizer import fit_line_tokenizer
from tasks.ngram.text_lines import LineSplitConfig, read_lines
from tasks.ngram.train_ngram import NGramConfig, NGramTrainingConfig, train_ngram
from tasks.text.tokenizer import TokenizerConfig, load_tokenizer

MANY = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
TEXTS = st.lists(st.text("ab \u00e9\u6f22\n", max_size=40).filter(str.strip), min_size=1, max_size=4)
SPLIT = LineSplitConfig(dev_share=0.3)


def all_lines(text):
    return [line for shard in text.names(".tar") for line in read_lines(text, shard)]


@MANY
@given(TEXTS, st.integers(4, 12), st.sampled_from([1e-6, 0.001, 1.0]))
def test_every_line_is_read_once(artifact_root, texts, piece, shard_mb):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "PIECE_CHARACTERS", piece)
        text = text_of(*(t.encode() for t in texts), shard_mb=shard_mb)
    assert all_lines(text) == [line for t in texts for line in t.split("\n") if line.strip()]


@settings(MANY, max_examples=20)
@given(TEXTS, st.integers(4, 12), st.floats(0.01, 0.99), st.integers(0, 9))
def test_every_line_is_in_one_part_wherever_it_lies(artifact_root, texts, piece, share, seed):
    split, whole = LineSplitConfig(dev_share=share, seed=seed), "\n".join(texts)
    parts = [(line, split.holds_out(line)) for line in whole.split("\n") if line.strip()]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text_file, "PIECE_CHARACTERS", piece)
        for documents_ in ([whole], texts, texts[::-1]):
            text = text_of(*(t.encode() for t in documents_))
            found = [(line, split.holds_out(line)) for line in all_lines(text)]
            assert sorted(found) == sorted(parts)
    assert len(set(parts)) == len({line for line, _ in parts}), "a line that comes twice is in one part"


def test_white_space_around_a_line_does_not_move_it():
    assert SPLIT.place(" a\r") == SPLIT.place("a")


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_the_share_is_about_what_was_asked_for_and_the_seed_draws_others(share):
    every = [f"line {i}" for i in range(20_000)]
    one, two = LineSplitConfig(dev_share=share), LineSplitConfig(dev_share=share, seed=1)
    held = [{line for line in every if split.holds_out(line)} for split in (one, two)]
    assert all(abs(len(h) / len(every) - share) < 0.01 for h in held)
    assert abs(len(held[0] & held[1]) / len(every) - share**2) < 0.01
    more = LineSplitConfig(dev_share=share + 0.1)
    assert all(more.holds_out(line) for line in held[0]), "a larger share has the smaller one in it"


@pytest.mark.parametrize("share", [1.0, -0.1])
def test_a_split_without_one_of_its_parts_is_refused(share):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        LineSplitConfig(dev_share=share)


def test_what_is_held_out_is_never_counted(artifact_root):
    """Neither its n-grams nor its words: the model is that of a text without these lines."""
    every = [f"{a} {b}" for a in ("lion", "rat", "fox", "owl") for b in ("sees", "hears", f"x{a}")] * 2
    counted = [line for line in every if not SPLIT.holds_out(line)]
    assert 0 < len(counted) < len(every)
    config, work = TokenizerConfig(kind="words"), NGramTrainingConfig(ngram=NGramConfig(order=2), split=SPLIT)
    text, alone = text_of(every[:9], every[9:]), text_of([*counted, next(filter(SPLIT.holds_out, every))])
    tokenizer = fit_line_tokenizer.fn(text, config, SPLIT)
    assert tokenizer == fit_line_tokenizer.fn(alone, config, SPLIT)
    assert tokenizer.read_json("tokenizer.json")["symbols"] == sorted(set(" ".join(counted).split()))
    model = train_ngram.fn(text, tokenizer, work)
    assert model.read_json("summary.json")["text"]["sentences"] == len(counted)
    assert model.read("ngram.bin") == train_ngram.fn(alone, tokenizer, work).read("ngram.bin")


@pytest.mark.parametrize(
    ("lines", "share", "says"),
    [
        (["a b", "c"], 1e-9, r"none of its lines is held out with split\.dev_share=1e-09; raise it"),
        (["a b", "c"], 1 - 1e-9, r"all its lines are held out with split\.dev_share=0\.999999999; lower it"),
        (["the cat sat on the mat"], 0.05, r"all its lines are held out with split\.dev_share=0\.05; lower it"),
        (["the cat sat on the mat"] * 9, 0.05, r"all its lines are held out .* or give more text"),
    ],
)
def test_lines_that_are_not_divided_are_one_line(lines, share, says, artifact_root):
    with pytest.raises(UserError, match=says) as caught:
        fit_line_tokenizer.fn(text_of(lines), TokenizerConfig(), LineSplitConfig(dev_share=share))
    assert "\n" not in str(caught.value)


def test_words_beyond_the_vocabulary_are_unknown(artifact_root):
    text = text_of(["b c d", "b c", "b", "a d"])
    split = LineSplitConfig(dev_share=min(map(LineSplitConfig().place, ["b c d", "b c", "b", "a d"])) + 1e-9)
    tokenizer = load_tokenizer(fit_line_tokenizer.fn(text, TokenizerConfig(kind="words", vocabulary_size=6), split))
    assert len(tokenizer) == 6
    assert sum(token == 3 for token in tokenizer.encode("a b c d")) == 2


def test_too_many_characters_are_one_line(artifact_root):
    with pytest.raises(
        UserError, match=r"4 different characters, tokens\.most_characters allows 2: raise it"
    ) as caught:
        fit_line_tokenizer.fn(
            text_of(["abcd"] * 3 + [f"{c}a" for c in "abcd"]), TokenizerConfig(most_characters=2), SPLIT
        )
    assert "\n" not in str(caught.value)


def test_sub_words_are_learned_from_a_part_of_a_large_text(artifact_root, monkeypatch):
    from tasks.ngram import fit_line_tokenizer as fitting

    every = [f"the {a} sees the {b}" for a in ("lion", "rat", "fox", "owl") for b in ("cat", "dog", "hen")]
    seen = []
    monkeypatch.setattr(fitting, "fit_on_texts", lambda texts, config, source: seen.append(list(texts)))
    text, config = text_of(every), TokenizerConfig(kind="bpe")
    fit_line_tokenizer.fn(text, config, SPLIT)
    monkeypatch.setattr(fitting, "LEARNED_CHARACTERS", len("".join(every)) // 2)
    fit_line_tokenizer.fn(text, config, SPLIT)
    whole, part = map(set, seen)
    assert whole == {line for line in every if not SPLIT.holds_out(line)}
    assert part < whole
    assert len(part) >= len(whole) // 4


def test_a_file_without_line_ends_is_refused(artifact_root, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST_LINE", 100)
    with pytest.raises(UserError, match="give one sentence a line"):
        all_lines(text_of(b"a" * 500))
