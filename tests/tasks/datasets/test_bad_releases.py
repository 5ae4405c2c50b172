"""A release that cannot be the next one: one line that says why, and the data set is what it was."""

import shutil
import tarfile

import pytest
from small_corpora import COLUMNS, bad_rows, rows_of, write_common_voice, write_table
from test_three_releases import update

from infra.errors import UserError
from tasks.corpora.corpus_uri import Corpus, parse_corpus
from tasks.datasets.dataset_head import find_version, list_datasets
from tasks.datasets.release import describe_release, find_release
from tasks.datasets.version_index import describe_version, list_versions, read_version
from tasks.ingest import ingest_shard


def release_of(root, **count):
    """A release with a locale in its rows."""
    write_common_voice(root, **count)
    first = 0
    for split, rows in (("train", count.get("train", 12)), ("dev", 3), ("test", 3)):
        table = [row | {"locale": "xx"} for row in rows_of(rows, first, name=split)]
        write_table(root / f"{split}.tsv", table)
        first += rows
    return f"commonvoice:{root}"


@pytest.fixture
def first(tmp_path, in_this_process):
    update(release_of(tmp_path / "cv-corpus-20.0-2024-12-06"))
    return find_version("cv")


def refused(place, first, **told):
    with pytest.raises(UserError) as problem:
        update(place, **told)
    assert "\n" not in str(problem.value)
    assert find_version("cv") == first
    assert len([*list_versions(first)]) == 1
    return str(problem.value)


def test_older_than_the_newest(first, tmp_path):
    place = release_of(tmp_path / "cv-corpus-19.0-2024-09-13", train=20)
    assert "(2024-09-13) is older than cv-corpus-20.0-2024-12-06 (2024-12-06)" in refused(place, first)


def test_of_another_language(first, tmp_path):
    root = tmp_path / "cv-corpus-21.0-2025-03-14"
    place = release_of(root, train=20)
    for table in root.glob("*.tsv"):
        table.write_text(table.read_text().replace("\txx\t", "\tyy\t"))
    assert "is of yy, the data set of xx" in refused(place, first)


def test_of_another_language_than_was_asked_for(tmp_path, in_this_process):
    place = release_of(tmp_path / "cv-corpus-20.0-2024-12-06")
    from dataclasses import replace

    from tasks.corpora.corpus_uri import IngestConfig
    from tasks.datasets.dataset_head import update_dataset

    with pytest.raises(UserError, match="is of xx, the data set of fa"):
        update_dataset("cv", replace(find_release(parse_corpus(place)), locale="fa"), IngestConfig())
    assert list_datasets() == []


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_a_truncated_archive(mode, first, tmp_path, monkeypatch):
    release_of(tmp_path / "up" / "cv-corpus-21.0-2025-03-14" / "xx", train=40)
    whole = tmp_path / ("cv-corpus-21.0-2025-03-14.tar" + (".gz" if "gz" in mode else ""))
    with tarfile.open(whole, mode) as file:
        file.add(tmp_path / "up", ".")
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    monkeypatch.setattr(ingest_shard, "decode_clip", None)  # no clip is looked into
    assert str(whole) in refused(f"commonvoice:{whole}", first)


def test_a_table_that_names_clips_which_are_not_there(first, tmp_path, monkeypatch, capsys):
    root = tmp_path / "cv-corpus-21.0-2025-03-14"
    place = release_of(root, train=40)
    for number in range(15, 20):
        (root / "clips" / f"clip_{number}.wav").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(ingest_shard, "decode_clip", None)
        told = refused(place, first)
    assert "split train: 5 of 40 rows cannot be used (5 missing clip; first clips/clip_15.wav)" in told
    few = tmp_path / "cv-corpus-21.1-2025-03-15"
    release_of(few, train=40)
    (few / "clips" / "clip_3.wav").unlink()
    made = update(f"commonvoice:{few}").version
    assert "1 clips that it names are not in it, first clips/clip_3.wav" in capsys.readouterr().err
    sources = {row["source"] for row in read_version(made)}
    assert "clips/clip_3.wav" in sources, "it is known from before, and nobody has withdrawn it"
    assert "retracted" not in describe_version(made)["changes"]


def test_most_clips_are_gone(first, tmp_path):
    root = tmp_path / "cv-corpus-21.0-2025-03-14"
    place = release_of(root, train=12)
    for split in ("train", "dev"):
        write_table(root / f"{split}.tsv", [])
    told = refused(place, first)
    assert "lacks 15 of the 18 clips of the data set (83%" in told
    assert not update(place, delta=True).changed


def test_a_clip_that_cannot_be_used_is_looked_at_once(first, tmp_path, monkeypatch):
    root = tmp_path / "cv-corpus-21.0-2025-03-14"
    release_of(root, train=200)
    rows, expected = bad_rows(root)
    write_table(root / "train.tsv", [row | {"locale": "xx"} for row in [*rows_of(200, name="train"), *rows]], COLUMNS)
    made = update(f"commonvoice:{root}").version
    bad = {name for name, reason in expected.items() if reason not in {"duplicate clip"}}
    import pyarrow.parquet as pq

    listed = {row["source"] for row in pq.read_table(made.file("quarantine.parquet")).to_pylist()}
    assert listed == bad
    later = tmp_path / "cv-corpus-22.0-2025-06-20"
    shutil.copytree(root, later)
    monkeypatch.setattr(ingest_shard, "decode_clip", None)
    assert not update(f"commonvoice:{later}").changed


@pytest.mark.parametrize(
    ("place", "name", "date", "delta"),
    [
        ("/d/cv-corpus-17.0-2024-03-15/fa", "cv-corpus-17.0-2024-03-15", "2024-03-15", False),
        ("/d/cv-corpus-17.0-delta-2024-03-15-fa.tar.gz", "cv-corpus-17.0-delta-2024-03-15-fa", "2024-03-15", True),
        ("s3://b/cv/cv-corpus-9.0-2022-04-27/fa", "cv-corpus-9.0-2022-04-27", "2022-04-27", False),
        ("/d/fa.zip", "fa", "", False),
    ],
)
def test_what_a_release_is_called(place, name, date, delta, monkeypatch):
    monkeypatch.setattr("tasks.datasets.release.fingerprint", lambda corpus: "f")
    release = find_release(Corpus(kind="commonvoice", uri=place))
    assert (release.name, release.date, release.delta) == (name, date, delta)


def test_the_folder_in_an_archive_says_its_name(monkeypatch):
    monkeypatch.setattr("tasks.datasets.release.fingerprint", lambda corpus: "f")
    release = find_release(Corpus(kind="commonvoice", uri="/d/fa.zip"))
    found = describe_release(release, ["cv-corpus-17.0-delta-2024-03-15/fa/clips/a.mp3"])
    assert (found.name, found.date, found.delta) == ("cv-corpus-17.0-delta-2024-03-15", "2024-03-15", True)
