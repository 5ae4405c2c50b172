"""Ingest as a whole: nothing is lost, the same input gives the same bytes, and a killed run is continued."""

import errno
import gc
import tarfile
import time
import zipfile
from contextvars import Context
from pathlib import Path

import pytest
from s3_servers import BUCKET
from small_corpora import bad_rows, index_of, reasons_of, rows_of, summary, write_table
from webdataset import WebDataset

from infra import storage
from infra.artifact_store import Draft, file_sha256, open_draft
from infra.errors import UserError
from tasks.corpora.utterance import QUARANTINE
from tasks.ingest import ingest_corpus, ingest_shard, shard_jobs
from tasks.ingest.ingest_corpus import list_splits
from tasks.ingest.shard_format import read_sample, read_shard
from tasks.steps.parquet_io import to_parquet, to_table


def test_every_clip_is_in_a_shard_with_its_own_bytes(common_voice, ingested):
    shards = ingested(f"commonvoice:{common_voice}")
    index = index_of(shards)
    assert {s: n["kept"] for s, n in summary(shards).items()} == {"train": 12, "dev": 3, "test": 3}
    assert list_splits(shards) == ("test", "dev", "train")
    assert [len({row[column] for row in index}) for column in ("key", "source", "sha256")] == [18, 18, 18]
    for row in index:
        region = storage.read(str(shards.file(row["shard"])), row["offset"], row["size"])
        sample = read_sample(region)
        original = (common_voice / row["source"]).read_bytes()
        assert sample.data == original
        assert (sample.key, sample.text, sample.split) == (row["key"], row["text"], row["split"])
        assert sample.speaker == row["speaker"]
        assert row["sha256"] == file_sha256(common_voice / row["source"])
        assert (row["seconds"], row["sample_rate"], row["extension"]) == (0.4, 8000, "wav")
        assert row["shard"].startswith(row["split"])
        assert "." not in row["key"]
        assert row["key"] in row["source"]
    with pytest.raises(ValueError, match="not the region of a sample"):
        read_sample(region[512:])


# webdataset leaves the tars that it has read to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_webdataset_reads_and_decodes_the_shards(common_voice, ingested):
    shards = ingested(f"commonvoice:{common_voice}")
    for name in shards.names(".tar"):
        path = shards.file(name)
        rows = [row for row in index_of(shards) if row["shard"] == name]
        raw = WebDataset([str(path)], shardshuffle=False)
        decoded = WebDataset([str(path)], shardshuffle=False).decode()
        assert [s["__key__"] for s in raw] == [row["key"] for row in rows]
        assert [s["wav"] for s in raw] == [(common_voice / row["source"]).read_bytes() for row in rows]
        assert [s["json"]["text"] for s in decoded] == [row["text"] for row in rows]
        assert [s["json"]["seconds"] for s in decoded] == [row["seconds"] for row in rows]
        streamed = list(read_shard(path))
        assert [s.data for s in streamed] == [s["wav"] for s in raw]
        assert [(s.key, s.text, s.speaker) for s in streamed] == [(r["key"], r["text"], r["speaker"]) for r in rows]
        with tarfile.open(path) as tar:
            assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar} == {(0, 0, 0, "", "", 0o644)}
    del raw, decoded
    gc.collect()


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_ray_gives_the_bytes_of_one_process(common_voice, ingested, tmp_path, monkeypatch):
    import ray

    alone = ingested(f"commonvoice:{common_voice}", shard_mb=0.01)
    assert len(alone.names(".tar")) > 3
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "others"))
    shards = Context().run(lambda: ingested(f"commonvoice:{common_voice}", shard_mb=0.01))  # not alone there
    assert ray.is_initialized()
    assert shards.uri.startswith(str(tmp_path / "others"))
    assert shards.manifest() == alone.manifest()


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_a_corpus_on_s3_equals_its_folder(server, common_voice, ingested, request, monkeypatch):
    rows, expected = bad_rows(common_voice)
    write_table(common_voice / "train.tsv", rows_of(12) + rows)
    folder = ingested(f"commonvoice:{common_voice}", error_budget=0.5)
    request.getfixturevalue(server).use(monkeypatch)
    place = f"s3://{BUCKET}/{common_voice.parent.name}"
    for name in storage.list_files(str(common_voice)):
        storage.upload(common_voice / name, f"{place}/cv/{name}")
    read, reading, most = storage.read, set(), []

    def watched(*arguments):
        reading.add(arguments)
        most.append(len(reading))
        time.sleep(0.01)
        data = read(*arguments)
        reading.discard(arguments)
        return data

    monkeypatch.setattr(storage, "read", watched)
    assert ingested(f"commonvoice:{place}/cv", error_budget=0.5).manifest() == folder.manifest()
    assert reasons_of(folder) == expected
    assert 1 < max(most) <= ingest_shard.AHEAD, "the next clips are fetched while one is decoded"


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_equals_its_folder(kind, common_voice, ingested, tmp_path):
    folder = ingested(f"commonvoice:{common_voice}")
    path = tmp_path / f"cv.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name in sorted(common_voice.rglob("*")):
                file.write(name, name.relative_to(common_voice))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as file:
            file.add(common_voice, ".")
    assert ingested(f"commonvoice:{path}") == folder
    assert not list(Path(folder.uri).parents[1].glob(".drafts/*"))


def test_a_killed_run_is_continued(common_voice, ingested, monkeypatch, tmp_path):
    place, options = f"commonvoice:{common_voice}", {"shard_mb": 0.01}
    whole = ingested(place, **options).manifest()
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "second"))
    done = []

    def killed(work, jobs, label):
        for job in jobs[:3]:
            done.append(job["name"])
            yield work(job)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest_corpus, "run_jobs", killed)
        with pytest.raises(KeyboardInterrupt):
            ingested(place, **options)
    root = tmp_path / "second"
    assert not list(root.glob("shards/*/manifest.json"))
    draft = next(root.glob(".drafts/shards-*"))
    (draft / f"parts/{done[0]}.index.parquet").unlink()  # written, but its mark was not: as good as not there
    (draft / f".marks/parts/{done[0]}.index.parquet").unlink()
    (draft / f"{done[0]}.tar").write_bytes(b"half a shard")
    for_a_moment = dict.fromkeys(QUARANTINE.names, "") | {"source": "a.mp3", "split": "train", "reason": "missing clip"}
    rejects = to_parquet(to_table([for_a_moment], QUARANTINE))
    Draft("shards", str(draft)).put(f"parts/{done[0]}.rejects.parquet", rejects)
    again = []
    once = ingest_shard.ingest_shard
    monkeypatch.setattr(ingest_corpus, "ingest_shard", lambda job: again.append(job["name"]) or once(job))
    assert ingested(place, **options).manifest() == whole
    assert done[0] in again
    assert not set(done[1:]) & set(again)


def test_a_full_disk_is_said_in_one_line(common_voice, ingested, monkeypatch):
    def full(self, name):
        if name.endswith(".tar"):
            raise OSError(errno.ENOSPC, "No space left on device", name)
        return writing(self, name)

    writing = Draft.writing
    monkeypatch.setattr(Draft, "writing", full)
    with pytest.raises(UserError, match="the disk is full while writing .*; make room"):
        ingested(f"commonvoice:{common_voice}")


def test_shards_grow_so_that_few_clips_still_make_many(monkeypatch):
    rows = (({"split": "train"}, 10) for _ in range(40_000))
    sizes = [len(group) for _, group in shard_jobs.group_rows(rows, 1e9)]
    assert sum(sizes) == 40_000
    assert sizes[0] == 128
    assert max(sizes) == 4096
    by_bytes = [len(g) for _, g in shard_jobs.group_rows((({"split": "dev"}, 10) for _ in range(100)), 100)]
    assert by_bytes == [10] * 10


def test_places_of_clips_survive_their_way_into_a_table():
    names = ["/a/b.mp3", "s3://bucket/a b.wav", "quo\"te's\\.mp3", "two\nlines\t.flac", "گفتار/سخن.mp3", ""]
    places = [(name, 7 * i, 2**40 + i, "mp3") for i, name in enumerate(names)]
    for count in range(len(places) + 1):
        assert ingest_shard.deserialize_clips(ingest_shard.serialize_clips(places[:count])) == places[:count]


def test_keys_are_unique_and_readable(tmp_path):
    from tasks.corpora.utterance import Utterance
    from tasks.ingest.ingest_corpus import _Keys

    keys = _Keys()
    names = ["a/x.1.wav", "b/x.1.wav", "x_1.wav", "گفتار.mp3", "سخن.mp3", "y.wav"]
    made = [keys.new(Utterance("train", (name,), "text")) for name in names]
    assert len(set(made)) == len(names)
    assert made[0] == "x_1"
    assert made[-1] == "y"
    assert all(key.isascii() and "." not in key and "/" not in key for key in made)
    assert keys.new(Utterance("dev", ("y.wav",), "other")) == ""


def test_tables_and_shards_are_the_only_files(common_voice, ingested):
    names = ingested(f"commonvoice:{common_voice}").names()
    assert names == ["dev-00000.tar", "index.parquet", "quarantine.parquet", "summary.json", "test-00000.tar"] + [
        "train-00000.tar"
    ]
    assert open_draft("shards", "none").finished() == set()
