"""ARPA against kenlm, the binary form against ARPA, and files that are not what they should be."""

import gzip
import math
import zlib

import numpy as np
import pytest
import torch
from slow_ngram import LETTERS, ids, tokenizer_of, trained

from infra.errors import UserError
from models.special_tokens import BOS, EOS, SPECIALS, UNK
from tasks.ngram.arpa_escapes import SPACE, escape_token, escape_tokens
from tasks.ngram.arpa_file import read_arpa, write_arpa
from tasks.ngram.binary_file import PRELUDE, Arrays, build_model, load_ngram, verify, write_binary
from tasks.ngram.train_ngram import open_ngram
from tasks.text.tokenizer import load_tokenizer

SPELLINGS = (*SPECIALS, *LETTERS)


def random_sentences(count, seed=0, letters=LETTERS + "?"):
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 12, (count,), generator=generator).tolist()
    weights = torch.arange(len(letters), 0, -1).float()
    return ["".join(letters[i] for i in torch.multinomial(weights, n, True, generator=generator)) for n in lengths]


@pytest.fixture
def artifact(artifact_root):
    return trained([random_sentences(150)], 4, arpa=True)


def kenlm_of(path):
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed (make peers)")
    options = kenlm.Config()
    options.show_progress = False
    return kenlm.Model(str(path), options)


@pytest.mark.parametrize("order", [2, 3, 6])
@pytest.mark.parametrize("prune", [(), (0, 0, 1), (0, 1, 2)])
@pytest.mark.parametrize("with_unknown", [True, False])
def test_kenlm_reads_the_same_probabilities(artifact_root, order, prune, with_unknown):
    seen = random_sentences(200, letters=LETTERS + "?" * with_unknown)
    artifact = trained([seen], order, prune[:order], arpa=True)
    ours, theirs = open_ngram(artifact).model, kenlm_of(artifact.file("ngram.arpa.gz"))
    assert theirs.order == order
    for sentence in random_sentences(80, seed=1):  # with tokens that are not in the vocabulary
        tokens = ids(sentence)
        text = " ".join(SPELLINGS[t] if t != UNK else "never-heard" for t in tokens)
        told = list(theirs.full_scores(text, bos=True, eos=True))
        scores = ours.score(torch.tensor([BOS, *tokens, EOS]))[1:] / math.log(10)
        assert scores.tolist() == pytest.approx([log10 for log10, _, _ in told], abs=1e-4)
        assert [oov for _, _, oov in told] == [t == UNK for t in [*tokens, EOS]]


def test_kenlm_reads_spaces_and_other_characters(artifact_root, tmp_path):
    symbols = sorted({*" ab\t", SPACE, "\u00a0", "é", "<", "\\"})
    tokenizer = tokenizer_of(symbols)
    written = escape_tokens(load_tokenizer(tokenizer))
    assert len(set(written)) == len(written) == len(SPECIALS) + len(symbols)
    assert all(word.split() == [word] for word in written)
    levels = [_uniform(len(written))]
    write_arpa(tmp_path / "lm.arpa", build_model(levels), written)
    assert read_arpa(tmp_path / "lm.arpa").spellings == written
    again = read_arpa(tmp_path / "lm.arpa", written)
    np.testing.assert_array_equal(again.levels[0].log10, levels[0].log10)
    two = tmp_path / "two.arpa"  # kenlm asks for two orders
    text = (tmp_path / "lm.arpa").read_text().replace("\n\n\\1", "\nngram 2=1\n\n\\1")
    two.write_text(text.replace("\\end\\", f"\\2-grams:\n-0.5\t<s> {escape_token(' ')}\n\n\\end\\"))
    model = kenlm_of(two)
    assert [word for word in written if word not in model] == ["<blank>", "<unk>"]


def _uniform(size):
    log10 = np.full(size, -math.log10(size - 2), "<f4")
    log10[:2] = -np.inf
    return Arrays(np.arange(size), log10, np.zeros(0, "<f4"))


def same(one, other):
    for a, b in zip(one, other, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def test_arpa_to_binary_to_arpa(artifact, tmp_path):
    first = artifact.file("ngram.arpa.gz")
    read = read_arpa(first, SPELLINGS)
    write_binary(tmp_path / "lm.bin", read.levels, read.spellings)
    assert (tmp_path / "lm.bin").read_bytes() == artifact.read("ngram.bin")
    stored = load_ngram(tmp_path / "lm.bin")
    assert stored.spellings == SPELLINGS
    same(stored.model.levels, open_ngram(artifact).model.levels)
    write_arpa(tmp_path / "again.arpa", stored.model, stored.spellings)
    assert (tmp_path / "again.arpa").read_bytes() == gzip.decompress(first.read_bytes())
    unnamed = read_arpa(tmp_path / "again.arpa")
    assert unnamed.spellings == SPELLINGS
    same(unnamed.levels, read.levels)


def test_ids_are_the_tokenizer_s_not_the_file_s(artifact, tmp_path):
    """A reader with another order of the words gives every sentence the same probability."""
    other = (*SPECIALS, *reversed(LETTERS))
    ours, theirs = open_ngram(artifact).model, build_model(read_arpa(artifact.file("ngram.arpa.gz"), other).levels)
    for sentence in random_sentences(20, seed=3):
        tokens = [BOS, *ids(sentence), EOS]
        renamed = [other.index(SPELLINGS[t]) for t in tokens]
        torch.testing.assert_close(theirs.score(torch.tensor(renamed)), ours.score(torch.tensor(tokens)))


def test_the_file_is_mapped_and_never_changed(artifact, tmp_path):
    path = tmp_path / "lm.bin"
    path.write_bytes(artifact.read("ngram.bin"))
    model = load_ngram(path).model
    model.levels[0].log10.zero_()
    assert path.read_bytes() == artifact.read("ngram.bin")
    verify(path)


@pytest.mark.parametrize("kept", [0, 5, 30, 0.1, 0.9, 0.9999])
def test_a_file_that_is_cut_off_is_one_line(artifact, tmp_path, kept):
    whole, path = artifact.read("ngram.bin"), tmp_path / "lm.bin"
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(UserError, match=r"lm\.bin") as caught:
        load_ngram(path)
    assert "\n" not in str(caught.value)


def test_every_wrong_byte_is_found(artifact, tmp_path):
    whole, path = artifact.read("ngram.bin"), tmp_path / "lm.bin"
    length = PRELUDE.unpack(whole[: PRELUDE.size])[2]
    for place in range(20 + length):  # magic, version, length, checksum and header
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if place not in range(20, 24):  # unused
            with pytest.raises(UserError, match=r"lm\.bin"):
                load_ngram(path)
    places = np.random.default_rng(0).integers(4096, len(whole), 50).tolist()
    for place in places:
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if any(whole[place : place + 1]):
            with pytest.raises(UserError, match="checksum"):
                verify(path)


def test_another_version_and_another_file_are_named(artifact, tmp_path):
    whole, path = artifact.read("ngram.bin"), tmp_path / "lm.bin"
    path.write_bytes(whole[:8] + (2).to_bytes(4, "little") + whole[12:])
    with pytest.raises(UserError, match="version 2, this program reads 1"):
        load_ngram(path)
    with pytest.raises(UserError, match="not an n-gram model"):
        load_ngram(artifact.file("ngram.arpa.gz"))


ARPA = """
\\data\\
ngram 1=4
ngram 2=2

\\1-grams:
-1\t<unk>
-99\t<s>\t-0.3
-0.5\t</s>
-0.4\ta\t-0.2

\\2-grams:
-0.1\t<s> a
-0.2\ta </s>

\\end\\
"""


def test_what_other_programs_write_is_read(tmp_path):
    """Anything before \\data\\, spaces for tabs, backoffs left out, <UNK>, carriage returns, no <unk> at all."""
    plain, odd = tmp_path / "a.arpa", tmp_path / "b.arpa"
    plain.write_text(ARPA)  # kenlm asks for tabs
    odd.write_bytes(b"by hand\n" + ARPA.replace("\n", "\r\n").replace("<unk>", "<UNK>").replace("\t", "  ").encode())
    same(read_arpa(plain).levels, read_arpa(odd).levels)
    model = build_model(read_arpa(plain).levels)
    told = kenlm_of(plain).score("a b a", bos=True, eos=True)
    stream = torch.tensor([BOS, 4, UNK, 4, EOS])
    assert float(model.score(stream).sum()) / math.log(10) == pytest.approx(told, abs=1e-5)
    lacking = tmp_path / "c.arpa"
    lacking.write_text(ARPA.replace("-1\t<unk>\n", "").replace("1=4", "1=3"))
    assert read_arpa(lacking).levels[0].log10[UNK] == -math.inf


@pytest.mark.parametrize("name", ["a.arpa", "a.arpa.gz", "a.lm", "a"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["", "byte order mark"])
@pytest.mark.parametrize("before", [b"", b"by hand\r\n"], ids=["", "a comment"])
def test_how_a_file_is_kept_says_nothing_of_the_model(tmp_path, name, pack, mark, before):
    (tmp_path / "plain").write_text(ARPA.strip())
    (tmp_path / name).write_bytes(pack(mark + before + ARPA.strip().replace("\n", "\r\n").encode()))
    same(read_arpa(tmp_path / "plain").levels, read_arpa(tmp_path / name).levels)


@pytest.mark.parametrize("named", ["<s>", "</s>"])
def test_a_model_knows_where_sentences_begin_and_end(tmp_path, named):
    path, lines = tmp_path / "a.arpa", ["-1\t<unk>", "-99\t<s>", "-0.5\t</s>", "-0.4\ta"]
    rows = "\n".join(line for line in lines if not line.endswith(f"\t{named}"))
    path.write_text(f"\\data\\\nngram 1=3\n\n\\1-grams:\n{rows}\n\n\\end\\\n")
    with pytest.raises(UserError, match=rf"a\.arpa: the 1-grams have no {named}: .*; make it with <s> and </s>$"):
        read_arpa(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("\\data\\", "data", "not an ARPA file"),
        ("ngram 1=4", "ngram 2=4", r"line 3: expected `ngram 1=COUNT`"),
        ("ngram 2=2", "ngram 2=two", r"line 4: expected `ngram 2=COUNT`"),
        ("ngram 2=2", "ngram 2=3", "expected a probability, 2 words"),
        ("ngram 2=2", "ngram 2=1", "missing here"),
        ("\\2-grams:", "\\3-grams:", r"expected \\2-grams:"),
        ("-0.2\ta </s>\n\n\\end\\", "", "line 14: expected a probability"),
        ("\\end\\", "", "cut off"),
        ("-0.2\ta </s>", "0.2\ta </s>", r"'0.2' is not a log10"),
        ("-0.2\ta </s>", "nan\ta </s>", r"'nan' is not a log10"),
        ("-0.2\ta </s>", "-0.2\ta b", "the word 'b' is not in the 1-grams"),
        ("-0.2\ta </s>", "-0.2\ta <s>", "inside an n-gram"),
        ("-0.2\ta </s>", "-0.1\t<s> a", "twice"),
        ("-0.5\t</s>", "-0.5\ta", "twice"),
        ("-0.2\ta </s>", "-0.2\ta </s>\t-1", "expected a probability"),
    ],
)
def test_a_wrong_arpa_file_is_one_line(tmp_path, old, new, message):
    path = tmp_path / "a.arpa"
    path.write_text(ARPA.replace(old, new, 1))
    with pytest.raises(UserError, match=message) as caught:
        read_arpa(path)
    assert "\n" not in str(caught.value)
    assert "a.arpa" in str(caught.value)


def test_arpa_files_that_do_not_fit_are_one_line(tmp_path):
    path = tmp_path / "a.arpa"
    path.write_text(ARPA)
    with pytest.raises(UserError, match="the word 'a' is not in the tokenizer's vocabulary"):
        read_arpa(path, (*SPECIALS, "b"))
    third = ARPA.replace("ngram 2=2", "ngram 2=2\nngram 3=1").replace("\\end\\", "\\3-grams:\n-1\ta a </s>\n\\end\\")
    path.write_text(third)
    with pytest.raises(UserError, match="'a a </s>': its context has no entry"):
        read_arpa(path)
    packed = tmp_path / "a.arpa.gz"
    for data in (gzip.compress(ARPA.encode())[:-20], b"\x1f\x8b" + zlib.compress(b"x")):
        packed.write_bytes(data)
        with pytest.raises(UserError, match="damaged"):
            read_arpa(packed)
    path.write_bytes(ARPA.encode().replace(b"\ta", b"\t\xff"))
    with pytest.raises(UserError, match="line 10: not UTF-8"):
        read_arpa(path)
