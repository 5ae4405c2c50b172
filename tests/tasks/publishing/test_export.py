"""What is given out is read back the same, by our own readers and as the formats are documented; or it is refused."""

import gzip
import io
import json
import shutil
from pathlib import Path

import pytest
import soundfile
from foreign_shards import misfits, sample, write_shards
from s3_servers import BUCKET
from small_corpora import bad_rows, index_of, quarantine_of, rows_of, write_table
from webdataset import WebDataset

from flows.export import artifact_at, export
from infra import storage
from infra.artifact_store import new_draft
from infra.errors import UserError
from tasks.corpora.corpus_uri import fingerprint, parse_corpus
from tasks.ingest.ingest_text import TextIngestConfig, ingest_text, read_text_pieces
from tasks.ingest.shard_format import INDEX, read_sample
from tasks.publishing import export_corpus
from tasks.publishing.export_manifests import rename_tags
from tasks.steps.parquet_io import to_parquet, to_table

NOT_OURS = "not made by ingest"


@pytest.fixture
def corpus(common_voice, ingested):
    """Shards of clips with speakers and tags in three splits, and a quarantine."""
    tagged = [row | {"age": "forties", "accents": 'a "quoted", one'} for row in rows_of(12)]
    tagged[3]["sentence"] = 'Two "words", and\u2028more.'
    rows, _ = bad_rows(common_voice)
    write_table(common_voice / "train.tsv", tagged + rows)
    return ingested(f"commonvoice:{common_voice}", error_budget=0.5, shard_mb=0.02)


def everything(shards):
    """What is known of each clip, its bytes among it, by key."""
    found = {}
    for row in index_of(shards):
        data = read_sample(storage.read(str(shards.file(row["shard"])), row["offset"], row["size"])).data
        names = ("split", "text", "speaker", "seconds", "sample_rate", "extension", "sha256", "tags")
        found[row["key"]] = (data, *(row[name] for name in names))
    return found


def files(folder):
    return {name: Path(folder, name).read_bytes() for name in storage.list_files(str(folder))}


@pytest.mark.parametrize(("form", "kind"), [("webdataset", "webdataset"), ("nemo", "manifest"), ("csv", "manifest")])
def test_read_back_the_same(form, kind, corpus, ingested, tmp_path):
    told = export(str(corpus), form, str(tmp_path / "given"))
    assert told["splits"] == {"train": 12, "dev": 3, "test": 3, "quarantined": len(quarantine_of(corpus))}
    assert len((tmp_path / "given" / "quarantine.csv").read_text().splitlines()) == 1 + len(quarantine_of(corpus))
    back = ingested(f"{kind}:{tmp_path / 'given'}")
    assert everything(back) == everything(corpus)
    assert quarantine_of(back) == []
    export(corpus.uri, form, str(tmp_path / "again"))
    assert files(tmp_path / "again") == files(tmp_path / "given")


# webdataset leaves the tars that it has read to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_tars_are_webdatasets(corpus, tmp_path):
    given = tmp_path / "given"
    export(corpus.uri, "webdataset", str(given))
    expected = everything(corpus)
    for split, count in (("train", 12), ("dev", 3), ("test", 3)):
        paths = sorted(str(path) for path in (given / split).glob("*.tar"))
        assert paths[0].endswith("/000000.tar")
        decoded = list(WebDataset(paths, shardshuffle=False).decode())
        assert len(decoded) == count
        for one in decoded:
            data, its_split, text, speaker, seconds, *_ = expected[one["__key__"]]
            assert (one["wav"], one["txt"]) == (data, text)
            assert (one["json"]["split"], one["json"]["speaker"], one["json"]["seconds"]) == (
                its_split,
                speaker,
                seconds,
            )


def test_nemo_manifests(corpus, tmp_path):
    given = tmp_path / "given"
    export(corpus.uri, "nemo", str(given))
    expected = everything(corpus)
    lines = [json.loads(line) for line in (given / "train_manifest.json").read_text().split("\n") if line]
    assert len(lines) == 12
    for line in lines:
        data, _, text, speaker, seconds, *_ = expected[Path(line["audio_filepath"]).stem]
        assert (given / line["audio_filepath"]).read_bytes() == data
        assert (line["duration"], line["text"], line["speaker"]) == (seconds, text, speaker)
        assert line["age"] == "forties"


def test_lhotse_manifests(corpus, tmp_path):
    given = tmp_path / "given"
    export(corpus.uri, "lhotse", str(given))
    expected = everything(corpus)
    for split, count in (("train", 12), ("dev", 3), ("test", 3)):
        found = {}
        for name in ("recordings", "supervisions"):
            packed = (given / split / f"{name}.jsonl.gz").read_bytes()
            assert packed[4:8] == bytes(4), "no clock in it"
            found[name] = [json.loads(line) for line in gzip.decompress(packed).decode().split("\n") if line]
            assert len(found[name]) == count
        for recording, supervision in zip(*found.values(), strict=True):
            data, its_split, text, speaker, seconds, rate, _, _, tags = expected[recording["id"]]
            assert its_split == split
            (source,) = recording["sources"]
            path = Path(source["source"])
            assert (source["type"], source["channels"], path.is_absolute()) == ("file", [0], True)
            assert path.read_bytes() == data
            info = soundfile.info(io.BytesIO(data))
            assert (recording["num_samples"], recording["sampling_rate"]) == (info.frames, info.samplerate)
            assert recording["duration"] == seconds == info.frames / rate
            assert supervision == {
                "id": recording["id"],
                "recording_id": recording["id"],
                "start": 0.0,
                "duration": seconds,
                "channel": 0,
                "text": text,
                "speaker": speaker,
            } | ({"custom": json.loads(tags)} if tags != "{}" else {})


def test_foreign_shards_come_back_through_an_export(tmp_path, ingested):
    place = write_shards(tmp_path / "theirs", [sample(i) for i in range(40)] + misfits())
    first = ingested(f"webdataset:{place}", error_budget=0.5)
    export(str(first), "webdataset", str(tmp_path / "given"))
    assert everything(ingested(f"webdataset:{tmp_path / 'given'}")) == everything(first)


@pytest.mark.parametrize(("form", "place"), [("webdataset", "webdataset:{}"), ("csv", "labeled:{}/texts.csv")])
def test_labeled_texts(form, place, tmp_path, taken_in):
    rows = [f'some words {i},"{"xy"[i % 2]}, quoted",{("train", "dev", "test")[i % 3]},s{i},{i}' for i in range(9)]
    (tmp_path / "t.csv").write_text("\n".join(["text,label,split,speaker,page", *rows]) + "\n")
    made = taken_in(f"labeled:{tmp_path / 't.csv'}")
    export(str(made), form, str(tmp_path / "given"))
    back = taken_in(place.format(tmp_path / "given"))
    assert sorted(value for value in everything(back).values()) == sorted(value for value in everything(made).values())
    for other in ("nemo", "lhotse"):
        with pytest.raises(UserError, match=f"holds texts, and {other} describes recordings"):
            export(str(made), other, str(tmp_path / other))


def test_plain_text_comes_back_to_the_character(tmp_path, in_this_process, monkeypatch):
    monkeypatch.setattr(export_corpus, "DOCUMENT_BYTES", 1000)
    monkeypatch.setattr(export_corpus, "TAR_BYTES", 600_000)
    monkeypatch.setattr("tasks.corpora.text_file.PIECE_CHARACTERS", 700)
    texts = {f"{i}.txt": f"Zeile {i} ü\n" * (40 * i) + "no end of line" * (i % 2) for i in range(1, 12)}
    texts["long.txt"] = "x" * 5000 + "\n" + "y" * 9000
    (tmp_path / "texts").mkdir()
    for name, content in texts.items():
        (tmp_path / "texts" / name).write_text(content)
    corpus = parse_corpus(f"text:{tmp_path / 'texts'}", "documents")
    made = ingest_text.fn(corpus, fingerprint(corpus), TextIngestConfig())
    told = export(str(made), "webdataset", str(tmp_path / "given"))
    assert told["splits"]["parts"] > len(texts)
    again = parse_corpus(f"webdataset:{tmp_path / 'given'}", "documents")
    assert "".join(read_text_pieces(ingest_text.fn(again, fingerprint(again), TextIngestConfig()))) == "".join(
        read_text_pieces(made)
    )
    with pytest.raises(UserError, match="is plain text, which nemo has no place for"):
        export(str(made), "nemo", str(tmp_path / "no"))


def test_a_place_with_something_in_it_is_refused(corpus, tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "a.txt").write_text("mine")
    with pytest.raises(UserError, match=r"there: not empty \(1 files, first a.txt\); name another place"):
        export(str(corpus), "csv", str(tmp_path / "there"))
    with pytest.raises(UserError, match=r"a.txt: a file; name a folder"):
        export(str(corpus), "csv", str(tmp_path / "there" / "a.txt"))
    assert files(tmp_path / "there") == {"a.txt": b"mine"}
    with pytest.raises(UserError, match="no artifact there"):
        artifact_at(str(tmp_path / "none"))


@pytest.mark.parametrize("form", ["webdataset", "nemo"])
def test_a_killed_export_is_no_whole_one_and_goes_on(form, corpus, tmp_path, ingested, monkeypatch):
    export(str(corpus), form, str(tmp_path / "whole"))
    done = []

    def killed(work, jobs, label):
        for job in jobs[:2]:
            done.append(job["shard"])
            yield work(job)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(export_corpus, "run_jobs", killed)
        with pytest.raises(KeyboardInterrupt):
            export(str(corpus), form, str(tmp_path / "half"))
    assert not (tmp_path / "half" / "export.json").exists()
    reader = {"webdataset": "webdataset", "nemo": "manifest"}[form]
    with pytest.raises(UserError, match="has not ended|no train, dev or test manifest"):
        ingested(f"{reader}:{tmp_path / 'half'}")
    with pytest.raises(UserError, match="another export has not ended there"):
        export(str(corpus), "csv", str(tmp_path / "half"))
    (tmp_path / "half" / "unfinished" / ".marks" / "export.json").unlink()  # written, but killed before its mark
    (tmp_path / "half" / ".partial-x").write_text("half a file")
    again = []
    work = export_corpus.export_shard
    monkeypatch.setattr(export_corpus, "export_shard", lambda job: again.append(job["shard"]) or work(job))
    export(str(corpus), form, str(tmp_path / "half"))
    assert files(tmp_path / "half") == files(tmp_path / "whole")
    assert not list((tmp_path / "half").glob(".partial-*"))
    assert not set(again) & set(done)


def test_a_clip_that_is_not_what_was_taken_in_is_said(corpus, tmp_path):
    shutil.copytree(corpus.uri, tmp_path / "copy")
    path = Path(corpus.uri, "dev-00000.tar")
    content = bytearray(path.read_bytes())
    at = content.find(b"RIFF") + 300
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"dev-00000.tar: clip_\d+ is not what was taken in"):
        export(str(corpus), "csv", str(tmp_path / "given"))
    assert not (tmp_path / "given" / "export.json").exists()
    assert not list((tmp_path / "given").glob("*.csv"))


@pytest.mark.parametrize("changed", [{"key": "../../out"}, {"extension": "wav/../x"}, {"split": "../out"}, {"key": ""}])
def test_names_of_an_artifact_from_elsewhere_stay_in_the_folder(changed, corpus, tmp_path):
    row = index_of(corpus)[0] | changed
    with new_draft("shards") as out:
        out.put(row["shard"], Path(corpus.uri, row["shard"]))
        out.put("index.parquet", to_parquet(to_table([row], INDEX)))
        out.put("quarantine.parquet", Path(corpus.uri, "quarantine.parquet"))
    with pytest.raises(UserError, match=f"{NOT_OURS}|is not what was taken in|are missing"):
        export(str(out.result()), "nemo", str(tmp_path / "a" / "given"))
    assert [p for p in tmp_path.rglob("*") if p.is_file() and "out" in p.name] == []


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_given_out_to_s3(server, corpus, ingested, tmp_path, request, monkeypatch):
    request.getfixturevalue(server).use(monkeypatch)
    for form, kind in (("webdataset", "webdataset"), ("nemo", "manifest")):
        place = f"s3://{BUCKET}/{tmp_path.name}/{form}"
        export(str(corpus), form, place)
        assert "export.json" in storage.list_files(place)
        assert not [name for name in storage.list_files(place) if name.startswith("unfinished")]
        assert everything(ingested(f"{kind}:{place}")) == everything(corpus)
        with pytest.raises(UserError, match="not empty"):
            export(str(corpus), form, place)
    place = f"s3://{BUCKET}/{tmp_path.name}/lhotse"
    export(str(corpus), "lhotse", place)
    lines = gzip.decompress(storage.read(f"{place}/dev/recordings.jsonl.gz")).decode().splitlines()
    (source,) = json.loads(lines[0])["sources"]
    assert source["type"] == "url"
    assert storage.read(source["source"]) == everything(corpus)[json.loads(lines[0])["id"]][0]


def test_a_tag_never_takes_the_place_of_what_a_manifest_says():
    tags = {"offset": "0.25", "audio_filepath": "other.wav", "sentence": "not this", "mood": "glad", "split": "test"}
    assert rename_tags(tags) == {
        "tag_offset": "0.25",
        "tag_audio_filepath": "other.wav",
        "tag_sentence": "not this",
        "mood": "glad",
        "tag_split": "test",
    }
