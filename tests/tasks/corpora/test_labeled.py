"""Labeled corpora: what the readers make of tables and recordings, and what ingest makes of texts."""

import io
import json
import shutil
import tarfile
from collections import Counter, defaultdict
from functools import partial

import pytest
import soundfile
from small_corpora import read, summary, tone

from infra.errors import UserError
from tasks.corpora.corpus_uri import corpus_kinds, parse_corpus
from tasks.corpora.readers import fsdd, labeled
from tasks.corpora.utterance import NOT_CHARGED, SPLITS, Reject, Utterance
from tasks.ingest.shard_format import read_sample
from tasks.steps.parquet_io import from_parquet


@pytest.fixture
def rows(artifact_root):
    """`rows(reader, place, splits, **options)`: what a reader says, without opening a clip."""
    return partial(read, "labeled")


def table_of(shards, name):
    return from_parquet(shards.read(f"{name}.parquet")).to_pylist()


def everything(shards):
    """The samples that the index names."""
    found = []
    for row in table_of(shards, "index"):
        with shards.file(row["shard"]).open("rb") as file:
            file.seek(row["offset"])
            found.append(read_sample(file.read(row["size"])))
    return found


def test_who_reads_labels():
    assert set(corpus_kinds("labeled")) == {"fsdd", "labeled", "webdataset"}
    assert {"fsdd", "labeled", "commonvoice"} <= set(corpus_kinds("utterances", "labeled"))
    with pytest.raises(UserError, match="KIND one of fsdd, labeled"):
        parse_corpus("an4:/tmp", "labeled")


TABLE = """text,label,split,speaker,page
"One, two",numbers and more,train,ann,3
red,color,validation,bob,
blue,color,TEST,,
"""


@pytest.mark.parametrize(("start", "end"), [("", "\n"), ("\ufeff", "\n"), ("", "\r\n"), ("\ufeff", "\r\n")])
def test_a_table_of_texts(start, end, tmp_path, rows):
    (tmp_path / "texts.csv").write_bytes((start + TABLE.replace("\n", end)).encode())
    for place in (tmp_path, tmp_path / "texts.csv"):
        test, dev, train = rows(labeled, place)
        assert [r.split for r in (test, dev, train)] == ["test", "dev", "train"]
        assert train == Utterance(
            split="train",
            clips=("texts.csv:2",),
            text="numbers and more",
            speaker="ann",
            tags={"page": "3"},
            content="One, two",
            apart="One, two",
            split_from="column split: train",
            speaker_from="column speaker",
        )
        assert (dev.text, dev.content, dev.speaker, dev.tags) == ("color", "red", "bob", {})
    assert [r.split for r in rows(labeled, tmp_path, ("dev",))] == ["dev"]


def test_a_text_of_several_lines_keeps_them(tmp_path, rows):
    (tmp_path / "t.csv").write_bytes(b'text,label\r\n"one\r\n\r\ntwo ""2""",a\r\nthree,b\r\n')
    assert [r.content for r in rows(labeled, tmp_path)] == ['one\n\ntwo "2"', "three"]


def test_json_lines_and_what_is_wrong_with_them(tmp_path, rows):
    lines = [
        {"text": "good", "label": "yes", "split": "train"},
        {"text": "a number", "label": 3, "split": "train"},
        {"text": "a truth", "label": True, "split": "train"},
        {"text": "  ", "label": "yes", "split": "dev"},
        {"text": "no label", "label": " ", "split": "dev"},
        {"text": "no label", "split": "dev"},
        {"text": "null", "label": None, "split": "dev"},
        {"text": ["a", "list"], "label": "yes", "split": "dev"},
        {"text": "long" * 10, "label": "yes", "split": "dev"},
        {"text": "torn \ufffd", "label": "yes", "split": "dev"},
        {"text": "elsewhere", "label": "yes", "split": "holdout"},
        {"text": "nowhere", "label": "yes"},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\nnot json\n\n[1]\n"
    (tmp_path / "t.jsonl").write_text(text)
    found = rows(labeled, tmp_path, max_characters=30)
    assert [(r.content, r.text) for r in found if isinstance(r, Utterance)] == [
        ("good", "yes"),
        ("a number", "3"),
        ("a truth", "true"),
    ]
    reasons = {r.source: (r.split, r.reason) for r in found if isinstance(r, Reject)}
    assert reasons == {
        "t.jsonl:4": ("dev", "empty text"),
        "t.jsonl:5": ("dev", "empty label"),
        "t.jsonl:6": ("dev", "empty label"),
        "t.jsonl:7": ("dev", "empty label"),
        "t.jsonl:8": ("dev", "malformed row"),
        "t.jsonl:9": ("dev", "too long"),
        "t.jsonl:10": ("dev", "text is not UTF-8"),
        "t.jsonl:11": ("train", "unknown split"),
        "t.jsonl:12": ("train", "no split"),
        "t.jsonl:13": ("train", "malformed row"),
        "t.jsonl:15": ("train", "malformed row"),
    }


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.txt": "x"}, "one table .* it has none"),
        ({"a.csv": "text,label\n", "b.jsonl": "{}"}, "it has 2: a.csv, b.jsonl; name one of them"),
        ({"a.csv": "text,label\n"}, "a.csv: .*text,label or audio,label; it has no rows"),
        ({"a.csv": "text,class\nx,y\n"}, "it has text, class"),
        ({"a.csv": "label,note\nx,y\n"}, "text,label or audio,label; it has label, note"),
        ({"a.csv": "audio,text,label\na.wav,x,y\n"}, "both audio and text"),
        ({"a.csv": 'text,label\n"never closed,y\nb,c\n'}, "a.csv, near line"),
    ],
)
def test_what_is_no_labeled_corpus(files, says, tmp_path, rows):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says) as caught:
        rows(labeled, tmp_path)
    assert "\n" not in str(caught.value)


def test_clips_beside_their_table_and_one_that_is_missing(tmp_path, taken_in):
    place = tmp_path / "sounds"
    (place / "clips").mkdir(parents=True)
    for i in range(4):
        soundfile.write(place / "clips" / f"{i}.wav", tone(i), 8000)
    shutil.copy(place / "clips" / "0.wav", tmp_path / "absolute.wav")
    soundfile.write(tmp_path / "absolute.wav", tone(9), 8000)
    lines = ["audio,label,split,speaker", "0.wav,low,train,ann", "clips/1.wav,low,train,bob", "2.wav,high,dev,ann"]
    lines += [f"{tmp_path}/absolute.wav,high,test,eve", "gone.wav,high,train,ann", "3.wav,,train,ann"]
    (place / "sounds.csv").write_text("\n".join(lines))
    shards = taken_in(f"labeled:{place}", error_budget=0.5)
    kept = {s.source: (s.split, s.text, s.speaker, s.seconds) for s in everything(shards)}
    assert kept == {
        "clips/0.wav": ("train", "low", "ann", 0.4),
        "clips/1.wav": ("train", "low", "bob", 0.4),
        "clips/2.wav": ("dev", "high", "ann", 0.4),
        f"{tmp_path}/absolute.wav": ("test", "high", "eve", 0.4),
    }
    assert {(r["source"], r["reason"]) for r in table_of(shards, "quarantine")} == {
        ("gone.wav", "missing clip"),
        ("sounds.csv:7", "empty label"),
    }
    with pytest.raises(UserError, match=r"split train: 2 of 4 rows cannot be used .*ingest\.error_budget"):
        taken_in(f"labeled:{place}")


def test_texts_become_samples_and_none_is_in_two_splits(tmp_path, taken_in):
    """The same text may come again, as people repeat themselves, but not where the model is tested on it."""
    told = ["text,label,split", "ja,yes,train", "ja,yes,train", "oui,yes,train", "n\u00e3o,no,train"]
    told += ["oui,yes,dev", "nein,no,dev", "oui,no,test"]
    path = tmp_path / "answers.csv"
    path.write_text("\n".join(told), encoding="utf-8")
    shards = taken_in(f"labeled:{path}")
    found = sorted((s.split, s.data.decode(), s.text) for s in everything(shards))
    assert found == [
        ("dev", "nein", "no"),
        ("test", "oui", "no"),
        ("train", "ja", "yes"),
        ("train", "ja", "yes"),
        ("train", "n\u00e3o", "no"),
    ]
    assert {(s.extension, s.seconds, s.sample_rate) for s in everything(shards)} == {("txt", 0.0, 0)}
    assert {s.key for s in everything(shards)} == {f"answers_csv_{n}" for n in (2, 3, 5, 7, 8)}
    rejects = {(r["source"], r["split"], r["reason"]) for r in table_of(shards, "quarantine")}
    assert rejects == {("answers.csv:4", "train", NOT_CHARGED), ("answers.csv:6", "dev", NOT_CHARGED)}
    assert taken_in(f"labeled:{path}") == shards


def test_without_a_split_column_the_rows_are_divided(tmp_path, taken_in):
    """About as stated; no text and, where there are speakers, no speaker in two splits."""
    lines = [{"text": f"text {i % 150}", "label": "ab"[i % 2], "speaker": f"s{i % 10}"} for i in range(300)]
    for known in (True, False):
        path = tmp_path / f"{known}.jsonl"
        path.write_text("\n".join(json.dumps(row if known else row | {"speaker": ""}) for row in lines))
        shards = taken_in(f"labeled:{path}")
        where = defaultdict(set)
        for sample in everything(shards):
            where[sample.data].add(sample.split)
            if known:
                where[sample.speaker].add(sample.split)
        assert {len(splits) for splits in where.values()} == {1}
        kept = {split: told["kept"] for split, told in summary(shards).items()}
        assert set(kept) == set(SPLITS)
        assert sum(kept.values()) == 300
        assert min(kept.values()) >= 20
        assert {s.text for s in everything(shards) if s.split == "train"} == {"a", "b"}


def test_own_splits_put_a_split_column_aside(tmp_path, rows):
    (tmp_path / "t.csv").write_text(TABLE)
    found = rows(labeled, tmp_path, own_splits=True)
    assert [r.split for r in found] == [""] * 3
    assert all("split" not in r.tags for r in found)


def test_an_archive_with_its_table_inside_a_folder(tmp_path, taken_in):
    wave = io.BytesIO()
    with tarfile.open(tmp_path / "sounds.tar.gz", "w:gz") as tar:
        rows = ["audio,label,split"]
        for i in range(6):
            wave = io.BytesIO()
            soundfile.write(wave, tone(i), 8000, format="WAV")
            member = tarfile.TarInfo(f"set/wavs/{i}.wav")
            member.size = len(wave.getvalue())
            tar.addfile(member, io.BytesIO(wave.getvalue()))
            rows.append(f"{i}.wav,{'ab'[i % 2]},{('train', 'train', 'train', 'train', 'dev', 'test')[i]}")
        data = "\n".join(rows).encode()
        member = tarfile.TarInfo("set/labels.csv")
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    shards = taken_in(f"labeled:{tmp_path}/sounds.tar.gz")
    assert {s: told["kept"] for s, told in summary(shards).items()} == {"test": 1, "dev": 1, "train": 4}


def write_fsdd(root, speakers=("ann", "bob", "theo"), indices=8):
    for speaker in speakers:
        for name in (f"{d}_{speaker}_{i}.wav" for d in range(10) for i in range(indices)):
            (root / "recordings").mkdir(parents=True, exist_ok=True)
            (root / "recordings" / name).write_bytes(b"x")


def test_fsdd_recordings_alone(tmp_path, rows):
    write_fsdd(tmp_path)
    found = rows(fsdd, tmp_path, test_speaker="bob")
    assert Counter((r.split, r.speaker) for r in found) == {
        ("test", "bob"): 80,
        ("dev", "ann"): 50,
        ("dev", "theo"): 50,
        ("train", "ann"): 30,
        ("train", "theo"): 30,
    }
    assert len({r.source for r in found}) == len(found)
    for row in found:
        digit, _, index = row.clips[0].split("/")[1].removesuffix(".wav").split("_")
        assert row.text == fsdd.WORDS[int(digit)]
        assert row.split == "test" or (int(index) < 5) == (row.split == "dev")
    with pytest.raises(UserError, match=r"leave ingest\.digits"):
        rows(fsdd, tmp_path, digits=3)
    with pytest.raises(UserError, match="ann, bob, theo"):
        rows(fsdd, tmp_path, test_speaker="nobody")
