"""Text files come out of ingest, tokens and chunks as they went in; what is no text is named."""

import gzip
import pickle
from copy import copy
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.errors import UserError
from models.special_tokens import EOS
from tasks.batches.token_chunks import ChunkConfig, ChunkDataset, select_chunks, split_chunks
from tasks.batches.tokenize_text import fit_text_tokenizer, tokenize_text
from tasks.corpora import text_file
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.corpora.text_file import BadText, decode_utf8
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text, read_text_pieces
from tasks.text.normalization import AS_WRITTEN
from tasks.text.tokenizer import TokenizerConfig, load_tokenizer

LETTERS = TokenizerConfig(specials=False, text=AS_WRITTEN)
VERSE = "Maître Corbeau,\tsur un arbre perché,\r\nTenait en son bec un fromage. \n\n" * 40


pytestmark = pytest.mark.usefixtures("in_this_process")


def taken(place, **options):
    corpus = parse_corpus(f"text:{place}", "documents")
    return ingest_text.fn(corpus, fingerprint(corpus), TextIngestConfig(**options))


def stream_of(text, tokens=LETTERS):
    tokenizer = fit_text_tokenizer.fn(text, tokens)
    return tokenize_text.fn(text, tokenizer), load_tokenizer(tokenizer)


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "a.txt.zst", "anything"])
def test_a_file_comes_out_as_it_went_in(tmp_path, monkeypatch, name):
    monkeypatch.setattr(text_file, "PIECE_CHARACTERS", 100)
    data = VERSE.encode()
    packed = {"gz": gzip.compress, "zst": lambda d: pa.compress(d, "zstd", asbytes=True)}.get(
        name.split(".")[-1], bytes
    )
    (tmp_path / name).write_bytes(packed(data))
    text = taken(tmp_path / name, shard_mb=0.001)
    assert "".join(read_text_pieces(text)) == VERSE
    assert len(text.names(".tar")) > 1
    stream, tokens = stream_of(text)
    ids = np.concatenate([np.fromfile(stream.file(n), "<u2") for n in stream.names(".ids")])
    assert tokens.decode(ids.tolist()) == VERSE
    assert len(tokens) == len(set(VERSE))


@settings(max_examples=40)
@given(text=st.text(alphabet="aé漢😀\n", min_size=1, max_size=60), cuts=st.lists(st.integers(0, 200), max_size=6))
def test_characters_are_never_cut(text, cuts):
    data = text.encode()
    edges = sorted({0, len(data), *(c % (len(data) + 1) for c in cuts)})
    chunks = [data[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    assert "".join(decode_utf8(chunks)) == text


@pytest.mark.parametrize("cut", [1, 7, 8, 9, 10, 11])
def test_the_offset_of_what_is_not_utf8_is_exact(cut):
    data = "sept €".encode() + b"\xff after"
    with pytest.raises(BadText) as caught:
        list(decode_utf8([data[:cut], data[cut:]]))
    assert (caught.value.reason, caught.value.detail) == ("not UTF-8", "at byte 8: invalid start byte")
    with pytest.raises(BadText, match="not UTF-8") as caught:
        list(decode_utf8(["€".encode()[:2]]))
    assert "at byte 0" in caught.value.detail


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", r"a\.txt: empty file"),
        ("a.txt", b"\xef\xbb\xbf", r"a\.txt: empty file"),
        ("a.txt", b"abc\xe9d", r"a\.txt: not UTF-8 \(at byte 3: invalid continuation byte\)"),
        ("a.txt.gz", gzip.compress(b"abc", mtime=0)[:-9], r"a\.txt\.gz: damaged gzip file \(it ends in the middle\)"),
        ("a.txt.gz", b"no gzip at all", r"a\.txt\.gz: damaged gzip file"),
        ("a.txt.zst", b"no zstd at all", r"a\.txt\.zst: damaged zstd file"),
        ("a.txt.gz", gzip.compress(bytes(400 << 20), 9, mtime=0), r"unpacks without end"),
    ],
)
def test_what_is_no_text_is_named(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as caught:
        taken(tmp_path)
    assert "\n" not in str(caught.value)


def test_one_bad_file_among_many_is_left_out_and_listed(tmp_path):
    for i in range(30):
        (tmp_path / f"{i:02}.txt").write_text(f"text {i}")
    (tmp_path / "07.txt").write_bytes(b"\xff")
    (tmp_path / "notes.md").write_text("not for reading")
    text = taken(tmp_path)
    assert "".join(read_text_pieces(text)).split("\n") == [f"text {i}" for i in range(30) if i != 7]
    assert text.read_json("summary.json")["rejected"] == 1
    with pytest.raises(UserError, match=r"07\.txt: not UTF-8 \(at byte 0: invalid start byte\); mend it"):
        taken(tmp_path, error_budget=0.0)


def test_nothing_to_read(tmp_path):
    (tmp_path / "notes.md").write_text("not for reading")
    with pytest.raises(UserError, match="no .txt"):
        taken(tmp_path)


def test_lines_end_in_eos_for_words(tmp_path):
    (tmp_path / "a.txt").write_text("le loup\n\nl agneau le loup")
    stream, tokens = stream_of(taken(tmp_path), TokenizerConfig(kind="words"))
    ids = np.fromfile(stream.file(stream.names(".ids")[0]), "<u2").tolist()
    assert [tokens.decode([i]) if i != EOS else "|" for i in ids] == [
        "le",
        "loup",
        "|",
        "l",
        "agneau",
        "le",
        "loup",
        "|",
    ]


def test_too_many_characters(tmp_path):
    (tmp_path / "a.txt").write_text("abcdef")
    with pytest.raises(UserError, match=r"6 different characters, tokens\.most_characters allows 5"):
        stream_of(taken(tmp_path), TokenizerConfig(specials=False, text=AS_WRITTEN, most_characters=5))


def test_unknown_characters_are_named(tmp_path):
    (tmp_path / "a.txt").write_text("abc")
    _, tokens = stream_of(taken(tmp_path))
    with pytest.raises(UserError, match="not in the vocabulary: 'x' 'é'"):
        tokens.encode("axbé")


@pytest.mark.parametrize("held_out", ["end", "anywhere"])
def test_every_chunk_is_in_one_part_and_predicts_its_next_tokens(tmp_path, monkeypatch, held_out):
    monkeypatch.setattr(text_file, "PIECE_CHARACTERS", 100)
    (tmp_path / "a.txt").write_text(VERSE, newline="")
    stream, tokens = stream_of(taken(tmp_path, shard_mb=0.001))
    length = 7
    chunking = ChunkConfig(length=length, held_out=held_out, dev_share=0.2)
    train, dev = split_chunks(stream, chunking)
    shards = [np.fromfile(stream.file(n), "<u2") for n in stream.names(".ids")]
    whole = [s[i * length : (i + 1) * length + 1].tolist() for s in shards for i in range((len(s) - 1) // length)]
    assert sorted([*train.rows, *dev.rows]) == list(range(len(whole)))
    assert select_chunks(stream, chunking, "test").rows.tolist() == list(range(len(whole)))
    assert [select_chunks(stream, chunking, s).rows.tolist() for s in ("train", "dev")] == [
        part.rows.tolist() for part in (train, dev)
    ]
    assert len(dev.rows) == round(0.2 * len(whole))
    assert (dev.rows.min() > train.rows.max()) == (held_out == "end")
    for part in (train, pickle.loads(pickle.dumps(dev))):
        batch = part.batch(np.arange(len(part.rows)), 0)
        told = [[*x, y[-1]] for x, y in zip(batch.source.data.tolist(), batch.target.data.tolist(), strict=True)]
        assert told == [whole[row] for row in part.rows]
        assert (batch.source.data[:, 1:] == batch.target.data[:, :-1]).all()
        assert batch.keys == tuple(map(str, part.rows))


@pytest.mark.parametrize("held_out", ["end", "anywhere"])
def test_shifted_chunks_read_training_text_alone(tmp_path, monkeypatch, held_out):
    monkeypatch.setattr(text_file, "PIECE_CHARACTERS", 100)
    (tmp_path / "a.txt").write_text("".join(map(chr, range(0x4E00, 0x4E00 + 1500))))  # each character once
    stream, _ = stream_of(taken(tmp_path, shard_mb=0.001), replace(LETTERS, most_characters=1500))
    length, fixed = 7, ChunkConfig(length=7, held_out=held_out, dev_share=0.2)
    (train, dev), (still, same) = split_chunks(stream, replace(fixed, shifted=True)), split_chunks(stream, fixed)
    assert len(train.starts) > 3
    every = np.arange(len(train.rows))
    text = {number: still.read(row)[:length].tolist() for row, number in enumerate(still.rows)}
    trained = {token for tokens in text.values() for token in tokens}
    seen = set()
    for epoch in range(20):
        read = copy(train).batch(every, epoch)  # by __reduce__, as a worker gets it: the shifts must come along
        shifts = set()
        for row, (tokens, after) in enumerate(zip(read.source.data.tolist(), read.target.data.tolist(), strict=True)):
            here, following = text[train.rows[row]], text.get(train.rows[row] + 1, [])
            shift = (here + following).index(tokens[0])
            assert tokens == (here + following)[shift : shift + length]
            assert not shift or trained.issuperset(after)
            shifts.add(shift)
        assert len(shifts) == 1 or (len(shifts) == 2 and 0 in shifts)  # all that can be, by the same
        seen |= shifts
    assert len(seen) == length
    for epoch in (None, 0):
        assert torch.equal(dev.batch(np.arange(9), epoch).source.data, same.batch(np.arange(9), 0).source.data)
    assert torch.equal(train.batch(every, None).source.data, still.batch(every, 0).source.data)


def test_a_chunk_longer_than_the_text(tmp_path):
    (tmp_path / "a.txt").write_text("short")
    stream, _ = stream_of(taken(tmp_path))
    with pytest.raises(UserError, match="a text of 0 chunks of 60 tokens cannot be divided"):
        split_chunks(stream, ChunkConfig(length=60))
    with pytest.raises(UserError, match="has no 60 tokens"):
        select_chunks(stream, ChunkConfig(length=60), "test")
    assert isinstance(ChunkDataset(stream, np.arange(0), 60).frames, np.ndarray)
