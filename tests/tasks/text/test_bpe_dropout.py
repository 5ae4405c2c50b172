"""BPE with merges left out: SentencePiece's own pieces where none is, and the same for a seed in any process."""

import os
import random
import subprocess
import sys
from collections import Counter

import pytest

from tasks.text.bpe_dropout import BPESampler
from tasks.text.normalization import NormalizationConfig
from tasks.text.tokenizer import SentencePieceTokenizer, TokenizerConfig, train_sentencepiece

WORDS = ["lower", "lowest", "newer", "wider", "new", "low", "übung", "ab-ab", "aaaaaa", "a", "x.", "“so”"]
draw = random.Random(0)
TEXTS = [" ".join(draw.choices(WORDS, k=draw.randrange(1, 9))) for _ in range(300)]


@pytest.fixture(scope="module")
def model():
    return train_sentencepiece(TEXTS, TokenizerConfig(kind="bpe", vocabulary_size=60))


def test_nothing_left_out_is_sentencepiece_s_cut(model):
    sampler, whole = BPESampler(model), SentencePieceTokenizer(model, NormalizationConfig())
    letters = "".join(sorted(set("".join(TEXTS))))
    odd = ["".join(draw.choices(letters, k=draw.randrange(30))) for _ in range(500)]
    for text in [*TEXTS, *odd]:
        assert sampler.cut(text, 0.0, random.Random(0)) == whole.model.EncodeAsIds(text)


def test_whatever_is_left_out_the_text_is_the_same(model):
    sampler, whole = BPESampler(model), SentencePieceTokenizer(model, NormalizationConfig())
    lengths = []
    for dropout in (0.0, 0.1, 0.5, 0.9, 1.0):
        cut = [sampler.cut(text, dropout, random.Random(number)) for number, text in enumerate(TEXTS)]
        assert [whole.model.DecodeIds(ids) for ids in cut] == TEXTS
        lengths.append(sum(map(len, cut)))
    assert lengths == sorted(lengths)
    assert lengths[-1] == sum(len(text) + 1 for text in TEXTS), "each letter, and a space before each word"


def test_cuts_are_as_frequent_as_sentencepiece_s(model):
    sampler, whole, drawn = BPESampler(model), SentencePieceTokenizer(model, NormalizationConfig()), random.Random(1)
    ours = Counter(tuple(sampler.cut("lowest", 0.3, drawn)) for _ in range(10_000))
    theirs = Counter(tuple(whole.model.SampleEncodeAsIds("lowest", -1, 0.3)) for _ in range(10_000))
    assert len(ours) > 5
    for cut in ours | theirs:
        assert ours[cut] / 10_000 == pytest.approx(theirs[cut] / 10_000, abs=0.03)


def test_the_same_seed_in_another_process(model, tmp_path):
    (tmp_path / "model").write_bytes(model)
    program = (
        "import random, sys; from pathlib import Path; from tasks.text.bpe_dropout import BPESampler\n"
        "sampler = BPESampler(Path(sys.argv[1]).read_bytes())\n"
        "print(sampler.cut('lower newest wider übung' * 9, 0.4, random.Random(7)))\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    said = [
        subprocess.run(
            [sys.executable, "-c", program, tmp_path / "model"],
            env=environment | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout  # fmt: skip
        for seed in ("1", "2")
    ]
    here = BPESampler(model).cut("lower newest wider übung" * 9, 0.4, random.Random(7))
    assert said == [f"{here}\n"] * 2


def test_pieces_that_are_no_bpe_are_refused():
    with pytest.raises(ValueError, match="no BPE"):
        BPESampler(train_sentencepiece(TEXTS, TokenizerConfig(kind="unigram", vocabulary_size=60)))
