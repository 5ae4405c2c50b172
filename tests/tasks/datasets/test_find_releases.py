"""What a watched place has that is new: folders and archives, the oldest first, and nothing that is still copied."""

import shutil
import tarfile
import threading
import time

import pytest
from s3_servers import BUCKET
from small_corpora import rows_of, tone, write_table
from test_three_releases import update

from infra import storage
from infra.errors import UserError
from tasks.datasets.find_releases import find_new_releases, parse_watched


def write_release(root, clips=8):
    import soundfile

    (root / "clips").mkdir(parents=True)
    rows = [row | {"locale": "xx"} for row in rows_of(clips)]
    for split, those in (("train", rows[2:]), ("dev", rows[:1]), ("test", rows[1:2])):
        write_table(root / f"{split}.tsv", those)
    for number in range(clips):
        soundfile.write(root / "clips" / f"clip_{number}.wav", tone(number), 8000)
    return root


def look(place, dataset="cv", locale="xx", settle=0.0):
    return find_new_releases(parse_watched(str(place)), dataset, locale, settle)


@pytest.fixture
def watched(tmp_path, in_this_process):
    place = tmp_path / "watched"
    write_release(place / "cv-corpus-21.0-2025-03-14" / "xx")
    write_release(place / "cv-corpus-20.0-2024-12-06")
    shutil.copytree(place / "cv-corpus-21.0-2025-03-14" / "xx", place / "cv-corpus-21.0-2025-03-14" / "yy")
    write_release(tmp_path / "up" / "cv-corpus-22.0-2025-06-20" / "xx", clips=10)
    with tarfile.open(place / "cv-corpus-22.0-2025-06-20-xx.tar.gz", "w:gz") as file:
        file.add(tmp_path / "up", ".")
    (place / "README.txt").write_text("what is here")
    (place / ".cache").mkdir()
    (place / ".cache" / "x.tsv").write_text("path\tsentence\n")
    return place


def names(found):
    return [one.corpus.uri.rpartition("watched/")[2] for one in found.ready]


def test_the_oldest_first_and_each_once(watched):
    expected = ["cv-corpus-20.0-2024-12-06", "cv-corpus-21.0-2025-03-14/xx", "cv-corpus-22.0-2025-06-20-xx.tar.gz"]
    found = look(watched)
    assert (names(found), found.unfinished) == (expected, ())
    for release in found.ready[:2]:
        update(str(release.corpus))
    assert names(look(watched)) == expected[2:]
    (watched / expected[0] / "train.tsv").touch()
    assert names(look(watched)) == [expected[0], expected[2]], "it is looked at again"
    assert names(look(watched, "another")) == expected


@pytest.mark.parametrize("name", ["clips/a.mp3.part", "clips/.a.mp3.Ab12Cd", "train.tsv.crdownload", "x.tmp", "a~"])
def test_a_release_with_an_unfinished_file_waits(watched, name):
    (watched / "cv-corpus-20.0-2024-12-06" / name).write_bytes(b"half")
    assert "cv-corpus-20.0-2024-12-06" not in names(look(watched))
    found = look(watched)
    assert found.unfinished == ("cv-corpus-20.0-2024-12-06",)
    assert len(found.ready) == 2


def test_an_archive_that_is_being_downloaded_waits(watched):
    archive = watched / "cv-corpus-22.0-2025-06-20-xx.tar.gz"
    archive.rename(f"{archive}.part")
    assert look(watched).unfinished == (f"{archive.name}.part",)


def test_one_that_grows_between_two_looks_waits(watched):
    stop = threading.Event()

    def grow():
        number = 0
        while not stop.wait(0.02):
            number += 1
            (watched / "cv-corpus-20.0-2024-12-06" / "clips" / f"more_{number}.wav").write_bytes(b"x")

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        found = look(watched, settle=0.3)
    finally:
        stop.set()
        writer.join()
    assert found.unfinished == ("cv-corpus-20.0-2024-12-06",)
    assert "cv-corpus-20.0-2024-12-06" in names(look(watched))


def test_nothing_new_is_not_looked_at_twice(watched):
    for release in look(watched).ready:
        update(str(release.corpus))
    began = time.monotonic()
    assert look(watched, settle=60.0).ready == ()
    assert time.monotonic() - began < 30


def test_places_that_cannot_be_watched(watched, tmp_path):
    with pytest.raises(UserError, match="is a release itself"):
        look(watched / "cv-corpus-20.0-2024-12-06")
    with pytest.raises(UserError, match="does not exist"):
        look(tmp_path / "nowhere")
    with pytest.raises(UserError, match="name the folder"):
        look(watched / "README.txt")
    (tmp_path / "empty").mkdir()
    assert look(tmp_path / "empty").ready == ()


def test_on_s3(watched, moto, monkeypatch, tmp_path):
    moto.use(monkeypatch)
    place = f"s3://{BUCKET}/{tmp_path.name}/watched"
    assert look(place).ready == ()
    for path in sorted(watched.rglob("*")):
        if path.is_file():
            storage.upload(path, f"{place}/{path.relative_to(watched)}")
    found = look(place)
    assert names(found) == names(look(watched))
    assert str(found.ready[0].corpus).startswith("commonvoice:s3://")
