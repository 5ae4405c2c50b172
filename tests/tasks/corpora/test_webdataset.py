"""Other people's WebDatasets: found by pattern, read where they lie, and what does not fit is said."""

import gzip
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile
from foreign_shards import MISFITS, misfits, sample, wav, write_shards
from s3_servers import BUCKET
from small_corpora import index_of, quarantine_of, reasons_of, summary
from webdataset import TarWriter

from infra import storage
from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import Corpus, IngestConfig, expand_shards, fingerprint, parse_corpus
from tasks.corpora.readers import webdataset
from tasks.corpora.utterance import SPLITS, Reject, Utterance
from tasks.features.extract_features import extract_features
from tasks.features.front_end import FrontEnd
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text, read_text_pieces
from tasks.ingest.shard_format import read_sample
from tasks.text.tokenizer import TokenizerConfig, fit_tokenizer


@pytest.fixture
def rows(artifact_root):
    """`rows(place, verb, splits, **options)`: what the reader says, without opening a clip."""

    def read(place, verb="utterances", splits=SPLITS, **options):
        source = open_corpus(Corpus(kind="webdataset", uri=str(place)), open_draft("shards", "test"))
        return list(getattr(webdataset, verb)(source, IngestConfig(**options), splits))

    return read


def write_tar(path, members):
    """Members by name, as any tar program writes them; a list may name one twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def test_a_foreign_dataset_is_ingested_and_its_misfits_are_quarantined(tmp_path, ingested):
    place = write_shards(tmp_path / "theirs", [sample(i) for i in range(40)] + misfits())
    made = ingested(f"webdataset:{place}", error_budget=0.5)
    index = index_of(made)
    assert (
        sum(n["kept"] for n in summary(made).values())
        + sum(r["reason"] == "sentence in another split" for r in quarantine_of(made))
        == 40
    )
    for row in index:
        number = int(row["key"].rpartition("_")[2])
        region = storage.read(str(made.file(row["shard"])), row["offset"], row["size"])
        assert read_sample(region).data == wav(number)
        assert (row["text"], row["speaker"]) == (f"Sentence number {number}.", f"s{number % 3}")
        assert json.loads(row["tags"]) == {"age": f"{30 + number}"}
        assert row["source"] == f"{number // 10:06}.tar/sub/clip_{number}.wav"
    found = {source.split("/")[-1].removesuffix(".wav"): reason for source, reason in reasons_of(made).items()}
    assert {name: reason for name, reason in found.items() if name in MISFITS} == MISFITS
    assert not any("readme" in source for source in reasons_of(made)), "what holds nothing we know is no row"
    tokenizer = fit_tokenizer.fn(made, TokenizerConfig())
    features = extract_features.fn(made, tokenizer, FrontEnd(mels=8, sample_rate=8000), 0.1)
    assert len(index_of(features)) == len(index)


def test_a_pattern_a_glob_a_folder_and_packed_tars_say_the_same(tmp_path, rows):
    folder = tmp_path / "theirs"
    place = write_shards(folder, [sample(i) for i in range(25)] + misfits())
    expected = rows(place)
    assert len(expected) == 25 + len(MISFITS)
    assert rows(f"{folder}/*.tar") == rows(folder) == expected
    assert rows(f"{folder}/0000{{00..02}}.tar") == expected[:30]
    assert rows(f"{folder}/000001.tar") == expected[10:20]
    for path in folder.glob("*.tar"):
        (tmp_path / "packed" / f"{path.name}.gz").parent.mkdir(exist_ok=True)
        (tmp_path / "packed" / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    packed = rows(tmp_path / "packed")
    assert [(type(r), getattr(r, "text", ""), r.split) for r in packed] == [
        (type(r), getattr(r, "text", ""), r.split) for r in expected
    ]


def test_places_that_are_not_there_are_named(tmp_path):
    place = write_shards(tmp_path / "theirs", [sample(i) for i in range(3)], most=1)
    with pytest.raises(UserError, match=r"000003.tar does not exist"):
        parse_corpus(f"webdataset:{place.replace('02}', '03}')}")
    with pytest.raises(UserError, match="a brace is not closed"):
        parse_corpus(f"webdataset:{tmp_path}/theirs/{{000000..0")
    with pytest.raises(UserError, match="no .tar, .tar.gz, .tgz is there"):
        parse_corpus(f"webdataset:{tmp_path}/none/*.tar")
    with pytest.raises(UserError, match="no .tar, .tar.gz, .tgz is there"):
        parse_corpus(f"webdataset:{tmp_path}/none")


def test_the_fingerprint_is_that_of_the_shards_named(tmp_path):
    write_shards(tmp_path / "theirs", [sample(i) for i in range(3)], most=1)
    first = parse_corpus(f"webdataset:{tmp_path}/theirs/{{000000..000001}}.tar")
    before = fingerprint(first), fingerprint(parse_corpus(f"webdataset:{tmp_path}/theirs"))
    with (tmp_path / "theirs" / "000002.tar").open("ab") as file:
        file.write(bytes(512))
    assert fingerprint(first) == before[0]
    assert fingerprint(parse_corpus(f"webdataset:{tmp_path}/theirs")) != before[1]


@pytest.mark.parametrize(
    ("names", "splits"),
    [
        (("train-000000.tar", "valid-000000.tar", "test-000000.tar"), ("train", "dev", "test")),
        (("train/0.tar", "dev/0.tar", "test/0.tar"), ("train", "dev", "test")),
        (("train_a.tar", "validation.tar", "Test-Clean.tar"), ("train", "dev", "test")),
        (("mine-train-000000.tar", "imagenet_val_00.tar", "dev/1.tar"), ("train", "dev", "dev")),
        (("train_clean/0.tar", "eval/0.tar", "dev_other/0.tar"), ("train", "test", "dev")),
        (("train/0.tar", "eval/0.tar", "test/0.tar"), ("train", "dev", "test")),
        (("a.tar", "b.tar", "c.tar"), ("", "", "")),
    ],
)
def test_splits_by_the_names_of_the_tars(names, splits, tmp_path, rows):
    for i, name in enumerate(names):
        write_tar(tmp_path / "d" / name, [(f"k{i}.wav", wav(i)), (f"k{i}.txt", b"a")])
    found = rows(tmp_path / "d")
    assert {row.clips[0][-6:]: row.split for row in found} == {f"k{i}.wav": s for i, s in enumerate(splits)}
    assert [SPLITS.index(r.split) if r.split else -1 for r in found] == sorted(
        SPLITS.index(r.split) if r.split else -1 for r in found
    )
    assert {row.split for row in rows(tmp_path / "d", own_splits=True)} == {""}
    assert {row.split for row in rows(tmp_path / "d", splits=("dev",))} <= {"dev", ""}


def test_the_split_of_the_folder_that_is_the_corpus(tmp_path, rows):
    write_tar(tmp_path / "dev" / "0.tar", [("k.wav", wav(0)), ("k.txt", b"a")])
    assert [r.split for r in rows(f"{tmp_path}/dev/{{0..0}}.tar")] == ["dev"]
    assert [r.split for r in rows(tmp_path / "dev")] == ["dev"]


def test_splits_by_the_json(tmp_path, rows):
    said = ["train", "TEST", "val", "elsewhere", None]
    members = []
    for i, split in enumerate(said):
        known = {"text": "a"} | ({"split": split} if split else {})
        members += [(f"k{i}.wav", wav(i)), (f"k{i}.json", json.dumps(known).encode())]
    write_tar(tmp_path / "a.tar", members)
    found = rows(tmp_path / "a.tar")
    assert [(type(r), r.split) for r in found] == [
        (Utterance, "test"),
        (Utterance, "dev"),
        (Utterance, "train"),
        (Reject, "train"),
        (Reject, "train"),
    ]
    assert [r.reason for r in found[3:]] == ["unknown split", "no split"]
    assert rows(tmp_path / "a.tar", split_field="split") == found
    assert Counter(r.split for r in rows(tmp_path / "a.tar", own_splits=True)) == {"": 5}


def test_fields_are_named_by_options(tmp_path, rows):
    known = json.dumps({"orthography": "from json", "who": 7, "text": "other", "fold": "test"}).encode()
    members = [("k.FLAC", b"f"), ("k.wav", b"w"), ("k.json", known), ("k.raw.txt", b"from member"), ("k.spk", b"eve")]
    write_tar(tmp_path / "a.tar", members)
    assert [r.reason for r in rows(tmp_path / "a.tar")] == ["several clips"]
    how = {"audio_field": "flac", "text_field": "orthography", "speaker_field": "who", "split_field": "fold"}
    (row,) = rows(tmp_path / "a.tar", **how)
    assert row[:5] == ("test", ("a.tar/k.FLAC",), "from json", "7", {"text": "other"})
    assert (row.split_from, row.speaker_from) == ("key fold: test", "key who")
    (row,) = rows(tmp_path / "a.tar", **(how | {"text_field": "raw.txt", "speaker_field": "spk"}))
    assert (row.text, row.speaker) == ("from member", "eve")
    (row,) = rows(tmp_path / "a.tar", audio_field="ogg")
    assert (row.reason, "ingest.audio_field" in row.detail) == ("no audio", True)
    (row,) = rows(tmp_path / "a.tar", **(how | {"text_field": "nowhere"}))
    assert row.text == ""


def test_members_twice_and_names_that_are_no_unicode(tmp_path, rows):
    path = tmp_path / "a.tar"
    twice = [("k.wav", wav(0)), ("k.txt", b"a"), ("k.wav", wav(1)), ("m.WAV", b"x"), ("m.wav", b"y"), ("m.txt", b"b")]
    write_tar(path, [*twice, ("caf\udce9.wav", wav(2)), ("caf\udce9.txt", b"c"), ("long" * 60 + ".wav", wav(3))])
    found = rows(path)
    assert [getattr(r, "reason", "") for r in found] == ["duplicate member", "duplicate member", "", ""]
    assert [r.source for r in found][:3] == ["a.tar/k", "a.tar/m", "a.tar/café.wav"]
    packed = tmp_path / "b.tgz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [getattr(r, "reason", "") for r in rows(packed)] == [getattr(r, "reason", "") for r in found]


def test_json_that_no_table_can_hold(tmp_path, rows):
    bad = [b'{"text": "\\ud800"}', b"[" * 100_000, b'{"text": ["a", "b"]}', b" " * (2 << 20), b"\xff\xfe", b'"text"']
    members = [(f"k{i}.{e}", c) for i, known in enumerate(bad) for e, c in (("wav", b"w"), ("json", known))]
    write_tar(tmp_path / "a.tar", members)
    assert [(r.reason, bool(r.detail)) for r in rows(tmp_path / "a.tar")] == [("malformed row", True)] * len(bad)


@pytest.mark.parametrize("name", ["../out.wav", "/etc/out.wav"])
def test_names_that_lead_outside_are_refused(name, tmp_path, rows):
    write_tar(tmp_path / "a.tar", [(name, b"x")])
    with pytest.raises(UserError, match="leads outside the archive"):
        rows(tmp_path / "a.tar")


def test_a_tar_of_something_else_is_said(tmp_path, rows):
    write_tar(tmp_path / "a.tar", [("readme.md", b"x"), ("data", b"y")])
    with pytest.raises(UserError, match="is it WebDataset"):
        rows(tmp_path / "a.tar")
    (tmp_path / "b.tar").write_bytes(b"no tar" * 200)
    with pytest.raises(UserError, match=r"b.tar: in spite of its name"):
        rows(tmp_path / "b.tar")


def test_images_are_quarantined_with_what_to_do(tmp_path, ingested):
    with TarWriter(f"{tmp_path}/a.tar") as writer:
        for i in range(3):
            writer.write({"__key__": f"{i}", "jpg": b"\xff\xd8\xff", "txt": f"a cat {i}", "cls": i})
    with pytest.raises(UserError, match=r"3 of 3 rows cannot be used \(3 image; first a.tar/0, image, this flow reads"):
        ingested(f"webdataset:{tmp_path}/a.tar")


def test_labeled_clips_and_texts(tmp_path, rows, taken_in):
    place = write_shards(tmp_path / "clips", [sample(i) for i in range(6)])
    found = rows(place, "labeled")
    assert [(r.text, r.content, r.apart == r.clips[0]) for r in found] == [("ab"[i % 2], "", True) for i in range(6)]
    texts = [
        {"__key__": f"{i}", "txt": f"text {i} of it", "cls": "xy"[i % 2], "json": {"page": i}} for i in range(30)
    ] + [{"__key__": "e", "txt": "", "cls": "x"}, {"__key__": "n", "txt": "no label"}]
    texts.append({"__key__": "long", "txt": "a" * 20_000, "cls": "x"})
    place = write_shards(tmp_path / "texts", texts)
    found = rows(place, "labeled")
    assert [(r.text, r.content, r.tags) for r in found[:2]] == [
        ("x", "text 0 of it", {"page": "0"}),
        ("y", "text 1 of it", {"page": "1"}),
    ]
    assert [r.reason for r in found[30:]] == ["empty text", "empty label", "too long"]
    made = taken_in(f"webdataset:{place}", error_budget=0.5)
    assert sum(n["kept"] for n in summary(made).values()) == 30
    assert {row["extension"] for row in index_of(made)} == {"txt"}


def test_texts_are_documents(tmp_path, in_this_process):
    texts = [{"__key__": f"{i}", "txt": f"Document {i}\nhas two lines.\n", "html": b"<p>"} for i in range(12)]
    corpus = parse_corpus(f"webdataset:{write_shards(tmp_path / 'texts', texts)}", "documents")
    made = ingest_text.fn(corpus, fingerprint(corpus), TextIngestConfig())
    in_order = sorted(texts, key=lambda text: (int(text["__key__"]) // 10, text["__key__"]))
    assert "".join(read_text_pieces(made)) == "".join(text["txt"] for text in in_order)


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_shards_on_s3_equal_those_of_a_folder(server, tmp_path, ingested, request, monkeypatch):
    place = write_shards(tmp_path / "theirs", [sample(i) for i in range(24)] + misfits())
    here = ingested(f"webdataset:{place}", error_budget=0.5)
    request.getfixturevalue(server).use(monkeypatch)
    there = f"s3://{BUCKET}/{tmp_path.name}"
    for path in Path(place).parent.glob("*.tar"):
        storage.upload(path, f"{there}/theirs/{path.name}")
    storage.write(f"{there}/theirs/more/other.tar", b"not of this corpus")
    pattern = place.replace(str(tmp_path), there)
    assert list(expand_shards(pattern)[1]) == [f"{i:06}.tar" for i in range(4)]
    assert ingested(f"webdataset:{pattern}", error_budget=0.5).manifest() == here.manifest()
    assert ingested(f"webdataset:{there}/theirs/*.tar", error_budget=0.5).manifest() == here.manifest()
    with pytest.raises(UserError, match=r"000004.tar does not exist"):
        parse_corpus(f"webdataset:{there}/theirs/{{000000..000009}}.tar")


@pytest.mark.parametrize("name", ["more.tar", "train-test-0.tar", "holdout/0.tar"])
def test_a_tar_of_no_split_beside_others_is_named(name, tmp_path, rows):
    for i, other in enumerate(("train-0.tar", name)):
        write_tar(tmp_path / "d" / other, [(f"k{i}.wav", wav(i)), (f"k{i}.txt", b"a")])
    with pytest.raises(UserError, match=f"the name of {name} says no split, as train-0.tar does"):
        rows(tmp_path / "d")
    assert {row.split for row in rows(tmp_path / "d", own_splits=True)} == {""}


def test_a_sample_s_own_split_counts_more_than_its_tar_s(tmp_path, rows):
    """Also where the first hundred samples say none."""
    told = [{}] * 120 + [{"Split": "test_other"}, {"split": "eval"}, {"split": "xl"}]
    members = [
        (f"k{i}.{e}", c) for i, t in enumerate(told) for e, c in (("wav", b"w"), ("json", json.dumps(t).encode()))
    ]
    write_tar(tmp_path / "train-0.tar", members)
    found = rows(tmp_path / "train-0.tar")
    assert [r.source for r in found if r.split == "test"] == ["train-0.tar/k120.wav"]
    assert Counter((type(r).__name__, r.split) for r in found) == {
        ("Utterance", "train"): 120,
        ("Utterance", "test"): 1,
        ("Utterance", "dev"): 1,
        ("Reject", "train"): 1,
    }
    assert [(r.reason, "'xl'" in r.detail) for r in found if isinstance(r, Reject)] == [("unknown split", True)]
    assert {r.split_from for r in found if r.split == "train" and isinstance(r, Utterance)} == {"tar train-0.tar"}


def test_what_pandas_writes_for_no_text_is_none(tmp_path, ingested):
    (tmp_path / "wds").mkdir()
    with TarWriter(str(tmp_path / "wds" / "train-0.tar"), encoder=False) as out:
        for i in range(12):
            told = b'{"text": NaN}' if i == 3 else b'{"text": "some words"}'
            out.write({"__key__": str(i), "wav": wav(i), "json": told})
    shards = ingested(f"webdataset:{tmp_path / 'wds'}", error_budget=0.5)
    assert {row["text"] for row in index_of(shards)} == {"some words"}
    assert [row["reason"] for row in quarantine_of(shards)] == ["empty transcript"]


def test_the_channel_that_a_sample_selects_is_heard(tmp_path, ingested):
    members = []
    for number, channel in enumerate((None, 0, 1, 2, "left")):
        sides = np.tile(np.array([[0.1, 0.3]], np.float32), (8000, 1))
        sides[0] = number / 10  # no two clips are the same
        sound = io.BytesIO()
        soundfile.write(sound, sides, 8000, format="WAV")
        known = {"text": f"line {number}", "channel_selector": channel}
        members += [(f"{number}.wav", sound.getvalue()), (f"{number}.json", json.dumps(known).encode())]
    write_tar(tmp_path / "train.tar", members)
    made = ingested(f"webdataset:{tmp_path}", error_budget=1.0)
    heard = {}
    for row in index_of(made):
        sample = read_sample(storage.read(str(made.file(row["shard"])), row["offset"], row["size"]))
        heard[row["text"]] = round(float(soundfile.read(io.BytesIO(sample.data))[0][-100:].mean()), 2)
        assert "channel_selector" not in sample.tags
    assert heard == {"line 0": 0.2, "line 1": 0.1, "line 2": 0.3}
    assert sorted(reasons_of(made).values()) == ["malformed row", "no such channel"]
