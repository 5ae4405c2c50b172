"""Release after release: exactly the difference is ingested, and the index has exactly the rows that it should."""

import json
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from s3_servers import BUCKET
from small_corpora import tone
from three_releases import generated_clips, persian_clips, write_three

from infra import storage
from infra.artifact_store import file_sha256
from tasks.corpora.corpus_uri import IngestConfig, parse_corpus
from tasks.datasets import release_rows
from tasks.datasets.dataset_head import find_version, update_dataset
from tasks.datasets.release import find_release
from tasks.datasets.version_index import describe_version, list_versions, read_changes, read_version
from tasks.ingest import ingest_shard
from tasks.ingest.shard_format import read_sample
from tasks.ingest.shard_index import shard_file

REAL = Path(os.environ.get("SCRIPTORIUM_CORPORA", ""), "commonvoice_fa")
needs_real = pytest.mark.skipif(not os.environ.get("SCRIPTORIUM_CORPORA"), reason="SCRIPTORIUM_CORPORA")


def update(place, name="cv", **told):
    return update_dataset(name, find_release(parse_corpus(place), **told), IngestConfig(error_budget=0.05))


@pytest.fixture
def counted(monkeypatch):
    """How many clips were hashed, and how many decoded by ingest."""
    counts = {"hashed": 0, "decoded": 0}
    decode, digest = ingest_shard.decode_clip, release_rows._file_digest

    def decoding(*arguments, **named):
        counts["decoded"] += 1
        return decode(*arguments, **named)

    def hashing(place):
        counts["hashed"] += 1
        return digest(place)

    monkeypatch.setattr(ingest_shard, "decode_clip", decoding)
    monkeypatch.setattr(release_rows, "_file_digest", hashing)
    return counts


@pytest.fixture
def releases(tmp_path, in_this_process):
    (tmp_path / "clips").mkdir()
    return write_three(tmp_path, *generated_clips(tmp_path / "clips"))


def test_each_release_is_ingested_as_far_as_it_is_new(releases, counted):
    check_releases(releases, counted)


@needs_real
def test_the_same_of_persian(tmp_path, in_this_process, counted):
    check_releases(write_three(tmp_path, *persian_clips(REAL)), counted)


def check_releases(releases, counted):
    for number, place in enumerate(releases.places):
        before = counted["decoded"]
        update_of = update(place)
        version = update_of.version
        rows = read_version(version)
        assert update_of.changed
        found = {row["source"].rpartition("/")[2]: (row["split"], row["text"]) for row in rows}
        assert found == releases.rows[number]
        about = describe_version(version)
        assert about["changes"] == releases.changes[number]
        assert (about["number"], about["release"]["delta"]) == (number + 1, number == 2)
        assert counted["decoded"] - before == releases.new[number]
        assert about["retracted_speakers"] == ([releases.retracted] if number == 1 else [])
        assert len({row["key"] for row in rows}) == len(rows)
    assert releases.retracted not in {row["speaker"] for row in rows}
    assert [describe_version(one)["number"] for one in list_versions(version)] == [3, 2, 1]
    for row in rows[:: max(1, len(rows) // 20)]:
        data = read_sample(shard_file(version, row["shard"]).read_bytes()[row["offset"] :][: row["size"]]).data
        roots = [Path(place.partition(":")[2]) / row["source"] for place in releases.places]
        assert file_sha256(next(path for path in roots if path.exists())) == row["clip_sha256"]
        assert data == next(path for path in roots if path.exists()).read_bytes()


@pytest.mark.parametrize("kind", ["zip", "gztar", "tar"])
def test_the_same_of_archives(kind, releases, counted, tmp_path):
    """Of a packed one what the data set has is not copied out, and what is copied out is hashed on the way."""
    for number, place in enumerate(releases.places):
        root, decoded = Path(place.partition(":")[2]), counted["decoded"]
        packed = shutil.make_archive(str(tmp_path / "packed" / root.name), kind, root.parent, root.name)
        rows = read_version(update(f"commonvoice:{packed}").version)
        found = {row["source"].rpartition("/")[2]: (row["split"], row["text"]) for row in rows}
        assert found == releases.rows[number]
        assert counted["decoded"] - decoded == releases.new[number]
    assert (counted["hashed"] == 0) == (kind != "tar")


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_pieces_of_clips_that_were_whole_before(kind, tmp_path, in_this_process):
    root = tmp_path / "release"
    root.mkdir()
    clips = [{"audio_filepath": f"{n}.wav", "text": f"sentence {n}"} for n in range(20)]
    for n, row in enumerate(clips):
        soundfile.write(root / row["audio_filepath"], tone(n), 8000)
    for rows in (clips, [row | {"offset": 0.1, "duration": 0.2, "text": "cut"} for row in clips]):
        for split, those in (("train", rows[:16]), ("dev", rows[16:])):
            (root / f"{split}.jsonl").write_text("\n".join(map(json.dumps, those)))
        packed = shutil.make_archive(str(tmp_path / f"packed-{rows[0]['text']}"), kind, root)
        index = read_version(update(f"manifest:{packed}", delta=True).version)
    assert [row["seconds"] for row in index if row["text"] == "cut"] == [0.2] * 20


def test_nothing_new_reads_nothing(releases, counted):
    first = update(releases.places[0])
    seen = dict(counted)
    assert update(releases.places[0]) == (first.version, first.version, update(releases.places[0]).told)
    assert "is in already" in update(releases.places[0]).told
    assert counted == seen
    root = Path(releases.places[0].partition(":")[2])
    root.rename(root.with_name("the-same"))
    again = update(f"commonvoice:{root.with_name('the-same')}")
    assert not again.changed
    assert "has nothing that cv has not" in again.told
    assert counted == seen, "clips are known by name, size and time"
    assert find_version("cv") == first.version


def test_the_same_releases_on_s3_are_the_same_data_set(releases, moto, tmp_path, counted, monkeypatch):
    """Nothing that a version is made of tells where a release lay and when it came there. What is there again is known
    by its ETag.
    """
    versions = [update(place).version for place in releases.places]
    moto.use(monkeypatch)
    there = f"s3://{BUCKET}/{tmp_path.name}"
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", f"{there}/store")
    hashed = []
    for place, version in zip(releases.places, versions, strict=True):
        root, before = Path(place.partition(":")[2]), counted["hashed"]
        for path in (path for path in root.rglob("*") if path.is_file()):
            storage.upload(path, f"{there}/{root.name}/{path.relative_to(root)}")
        assert update(f"commonvoice:{there}/{root.name}").version == version
        hashed.append(counted["hashed"] - before)
    copies = [0, releases.changes[1]["duplicate"], 0]
    assert hashed == [new + copied for new, copied in zip(releases.new, copies, strict=True)]


def test_places_are_no_more_than_a_memory(releases, tmp_path, counted):
    first = update(releases.places[0]).version
    (memory,) = (tmp_path / "artifacts").glob(".datasets/*.parquet")
    memory.unlink()
    root = Path(releases.places[0].partition(":")[2])
    again = root.rename(root.with_name("the-same"))
    hashed = counted["hashed"]
    assert update(f"commonvoice:{again}").version == first
    assert counted["hashed"] == 2 * hashed, "what is not remembered is read"
    clips = pq.read_table(memory)["clip_sha256"].to_pylist()
    assert {*clips} == {row["clip_sha256"] for row in read_version(first)}
    pq.write_table(pa.table({"place": ["somewhere"], "clip_sha256": ["0" * 64]}), memory)
    assert update(releases.places[1]).changed


def test_what_changed_is_listed(releases):
    update(releases.places[0])
    version = update(releases.places[1]).version
    changes = read_changes(version)
    texts = [row for row in changes if row["change"] == "text changed"]
    assert [row["after"] for row in texts] == [f"{row['before']} mended" for row in texts]
    assert {(row["before"], row["after"]) for row in changes if row["change"] == "moved"} == {("train", "dev")}
    copies = [row for row in changes if row["change"] == "duplicate"]
    assert [row["after"] for row in copies] == [f"again_{row['before']}" for row in copies]
    gone = [row for row in changes if row["change"] == "retracted"]
    assert {row["speaker"] for row in gone} == {releases.retracted}
