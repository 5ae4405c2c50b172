"""Ingest of photos: nothing is lost, the bytes are the corpus', and nothing held out is trained on."""

import json
import shutil
import tarfile
import zipfile

import pytest
from PIL import Image, ImageOps
from s3_servers import BUCKET
from small_corpora import index_of, quarantine_of, summary
from small_photos import SIZE, captions_of, change_json, encoded, scenery, write_coco, write_photos
from webdataset import WebDataset

from infra import storage
from infra.errors import UserError
from tasks.ingest.photos import ingest_photos, photo_shard
from tasks.ingest.photos.ingest_photos import draw_splits
from tasks.ingest.photos.photo_shard import INDEX, read_photo_sample


@pytest.fixture
def coco(tmp_path):
    return write_coco(tmp_path / "coco")


def rejected(shards):
    return {(row["source"], row["split"], row["reason"]) for row in quarantine_of(shards)}


def kept(shards):
    return {s: n["kept"] for s, n in summary(shards).items()}


def captions_file(coco, split="train"):
    return coco / "annotations" / f"captions_{split}2017.json"


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return f"captions:{path}"


def test_every_photo_is_in_a_shard_with_its_own_bytes(coco, photographed):
    shards = photographed(f"coco:{coco}")
    index = index_of(shards)
    assert list(index[0]) == INDEX.names
    assert kept(shards) == {"train": 8, "dev": 3}
    for row in index:
        region = storage.read(str(shards.file(row["shard"])), row["offset"], row["size"])
        sample = read_photo_sample(region)
        original = (coco / row["source"]).read_bytes()
        assert (sample.data, sample.key, sample.extension) == (original, row["key"], "jpg")
        number = int(row["key"].removeprefix("photo_"))
        assert row["captions"] == sample.captions == captions_of(number)
        assert (row["width"], row["height"]) == SIZE
        assert (len(row["phash"]), row["boxes"]) == (64, [])
        assert (row["split"] == "dev") == (number >= 8)
    with pytest.raises(ValueError, match="not the region of a photo"):
        read_photo_sample(region[512:])


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # webdataset leaves files to Python
def test_webdataset_decodes_the_shards(coco, photographed):
    shards = photographed(f"coco:{coco}")
    for name in shards.names(".tar"):
        rows = [row for row in index_of(shards) if row["shard"] == name]
        samples = list(WebDataset([str(shards.file(name))], shardshuffle=False).decode("pil"))
        assert [sample["__key__"] for sample in samples] == [row["key"] for row in rows]
        assert [sample["json"]["captions"] for sample in samples] == [row["captions"] for row in rows]
        assert all(sample["jpg"].size == SIZE for sample in samples)


def test_sizes_are_of_the_upright_photo_and_names_may_lie(coco, photographed):
    exif = Image.Exif()
    exif[0x0112] = 6
    (coco / "train2017/photo_0.jpg").write_bytes(encoded(scenery(0), exif=exif))
    (coco / "train2017/photo_1.jpg").write_bytes(encoded(scenery(1), "PNG"))
    index = {row["key"]: row for row in index_of(photographed(f"coco:{coco}"))}
    assert (index["photo_0"]["width"], index["photo_0"]["height"]) == SIZE[::-1]
    assert index["photo_1"]["extension"] == "png"


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_an_archive_equals_its_folder(kind, coco, photographed, tmp_path):
    folder = photographed(f"coco:{coco}")
    path = tmp_path / f"coco.{kind}"
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as file:
            for name in sorted(coco.rglob("*")):
                file.write(name, name.relative_to(coco))
    else:
        with tarfile.open(path, "w:gz" if kind == "tar.gz" else "w") as file:
            file.add(coco, ".")
    assert photographed(f"coco:{path}").manifest() == folder.manifest()


def test_a_corpus_on_s3_equals_its_folder(coco, photographed, request, monkeypatch):
    (coco / "train2017/photo_2.jpg").write_bytes(b"<html>")
    folder = photographed(f"coco:{coco}", error_budget=0.5)
    request.getfixturevalue("moto").use(monkeypatch)
    place = f"s3://{BUCKET}/{coco.parent.name}"
    for name in storage.list_files(str(coco)):
        storage.upload(coco / name, f"{place}/{name}")
    assert photographed(f"coco:{place}", error_budget=0.5).manifest() == folder.manifest()


def test_what_cannot_be_used_is_in_the_quarantine(coco, photographed):
    photos = coco / "train2017"
    write_photos(photos, range(20, 60))
    broken = {
        0: (b"", "empty file"),
        1: (b"<!DOCTYPE html>", "not a photo"),
        2: (encoded(scenery(2, (300, 200)))[:2000], "truncated"),
        3: (encoded(Image.new("RGB", (1, 1)), "PNG"), "too small"),
        4: (encoded(Image.new("1", (2000, 2000)), "PNG"), "too many pixels"),
    }
    for number, (data, _) in broken.items():
        (photos / f"photo_{number}.jpg").write_bytes(data)
    (photos / "photo_5.jpg").unlink()

    def change(told):
        told["images"] += [{"id": n, "file_name": f"photo_{n}.jpg"} for n in range(20, 60)]
        told["images"] += [{"file_name": "no_id.jpg"}, {"id": 7, "file_name": "photo_7.jpg"}]
        long, empty = " ".join(["word"] * 500), " . "
        told["annotations"] += [{"image_id": n, "caption": f"one of {n}"} for n in range(21, 60)]
        told["annotations"] += [{"image_id": 30, "caption": c} for c in (long, empty, "caf\ufffd")]
        told["annotations"] += [{"image_id": 999, "caption": "of nothing"}, {"image_id": 31, "caption": ["a"]}]

    change_json(captions_file(coco), change)
    shards = photographed(f"coco:{coco}", error_budget=0.5, max_pixels=3_000_000)
    name = "annotations/captions_train2017.json"
    assert rejected(shards) == {
        *((f"train2017/photo_{number}.jpg", "train", reason) for number, (_, reason) in broken.items()),
        ("train2017/photo_5.jpg", "train", "missing photo"),
        ("train2017/photo_20.jpg", "train", "photo without captions"),
        (f"{name}#images/48", "train", "malformed row"),
        (f"{name}#images/49", "train", "malformed row"),
        ("train2017/photo_30.jpg", "train", "caption too long"),
        ("train2017/photo_30.jpg", "train", "empty caption"),
        ("train2017/photo_30.jpg", "train", "caption is not UTF-8"),
        (f"{name}#annotations/58", "train", "caption without a photo"),
        (f"{name}#annotations/59", "train", "malformed row"),
    }
    assert kept(shards)["train"] == 2 + 39
    numbers = summary(shards)["train"]
    assert numbers["rows"] == numbers["kept"] + 9
    with pytest.raises(UserError, match=r"of 50 photos cannot be used .*--set ingest.error_budget="):
        photographed(f"coco:{coco}", max_pixels=3_000_000)


def test_a_caption_budget_of_its_own(coco, photographed):
    def change(told):
        told["annotations"] += [{"image_id": 0, "caption": ""} for _ in range(3)]

    change_json(captions_file(coco), change)
    with pytest.raises(UserError, match="3 of 19 captions cannot be used"):
        photographed(f"coco:{coco}")
    assert kept(photographed(f"coco:{coco}", error_budget=0.2))["train"] == 8


CHANGES = {
    "exact": lambda photo: None,
    "quality": lambda photo: encoded(photo, quality=40),
    "other format": lambda photo: encoded(photo, "PNG"),
    "half the size": lambda photo: encoded(photo.resize((120, 80), Image.Resampling.BICUBIC)),
    "mirrored": lambda photo: encoded(ImageOps.mirror(photo)),
    "gray": lambda photo: encoded(photo.convert("L")),
    "brighter": lambda photo: encoded(photo.point(lambda value: min(255, int(1.1 * value)))),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_held_out_photo_is_not_trained_on(change, coco, photographed):
    photo = scenery(100, (240, 160))
    (coco / "val2017/photo_9.jpg").write_bytes(encoded(photo, quality=90))
    copy = CHANGES[change](photo) or (coco / "val2017/photo_9.jpg").read_bytes()
    (coco / "train2017/photo_3.jpg").write_bytes(copy)
    shards = photographed(f"coco:{coco}")
    assert rejected(shards) == {("train2017/photo_3.jpg", "train", "photo in another split")}
    (row,) = quarantine_of(shards)
    assert "val2017/photo_9.jpg of dev" in row["detail"]
    assert kept(shards) == {"train": 7, "dev": 3}, "nobody is charged"
    near_is_allowed = photographed(f"coco:{coco}", near_bits=0)
    assert kept(near_is_allowed)["train"] in {7, 8}


def test_a_copy_inside_a_split_is_refused_and_a_near_one_stays(coco, photographed):
    photos = coco / "train2017"
    shutil.copy(photos / "photo_1.jpg", photos / "photo_2.jpg")
    (photos / "photo_3.jpg").write_bytes(encoded(scenery(4), quality=60))
    shards = photographed(f"coco:{coco}", error_budget=0.5)
    assert rejected(shards) == {("train2017/photo_2.jpg", "train", "duplicate photo")}


def test_test_wins_over_dev_and_dev_over_train(tmp_path, photographed):
    write_photos(tmp_path, range(9))
    said = [(n, "train") for n in range(5)] + [(n, s) for n in (5, 6) for s in ("dev", "train")]
    said += [(n, s) for n in (7, 8) for s in ("val", "test")]
    rows = [{"image": f"photo_{n}.jpg", "caption": f"number {n}", "split": split} for n, split in said]
    shards = photographed(write_rows(tmp_path / "all.jsonl", rows))
    assert kept(shards) == {"train": 5, "dev": 2, "test": 2}
    named = {(f"photo_{n}.jpg", "train") for n in (5, 6)} | {(f"photo_{n}.jpg", "dev") for n in (7, 8)}
    assert rejected(shards) == {(*row, "photo in another split") for row in named}


def test_without_splits_photos_are_divided_by_lot(tmp_path, photographed):
    write_photos(tmp_path, range(30))
    rows = [{"image": f"photo_{n}.jpg", "caption": c} for n in range(30) for c in captions_of(n)]
    place = write_rows(tmp_path / "all.jsonl", rows)
    shards = photographed(place)
    assert kept(shards) == {"train": 24, "dev": 3, "test": 3}
    assert all(len(row["captions"]) == 2 for row in index_of(shards))
    of_test = {row["source"] for row in index_of(shards) if row["split"] == "test"}
    assert {row["source"] for row in index_of(photographed(place, splits=("test",)))} == of_test
    assert photographed(place).manifest() == shards.manifest()
    assert {row["source"] for row in index_of(photographed(place, seed=1)) if row["split"] == "test"} != of_test


def test_without_a_dev_split_some_of_train_become_it(tmp_path, photographed):
    write_photos(tmp_path, range(22))
    rows = [{"image": f"photo_{n}.jpg", "caption": "so", "split": "test" if n > 19 else "train"} for n in range(22)]
    place = write_rows(tmp_path / "all.jsonl", rows)
    assert kept(photographed(place)) == {"train": 18, "dev": 2, "test": 2}
    assert kept(photographed(place, own_splits=True)) == {"train": 18, "dev": 2, "test": 2}


def test_a_split_that_is_not_there_is_said(coco, photographed):
    with pytest.raises(UserError, match="no test split; it has dev, train"):
        photographed(f"coco:{coco}", splits=("test",))


def test_shares_are_drawn_exactly():
    names = [f"p{n}" for n in range(1000)]
    drawn = draw_splits(names, {"test": 0.1, "dev": 0.05}, 0)
    counts = {split: list(drawn.values()).count(split) for split in ("train", "dev", "test")}
    assert counts == {"train": 850, "dev": 50, "test": 100}
    assert draw_splits(reversed(names), {"test": 0.1, "dev": 0.05}, 0) == drawn


def test_a_killed_run_is_continued(coco, photographed, monkeypatch, tmp_path):
    options = {"shard_mb": 0.002}
    whole = photographed(f"coco:{coco}", **options)
    assert len(whole.names(".tar")) > 3
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "second"))

    def killed(work, jobs, label):
        for job in jobs[:2]:
            yield work(job)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ingest_photos, "run_jobs", killed)
        with pytest.raises(KeyboardInterrupt):
            photographed(f"coco:{coco}", **options)
    again, once = [], photo_shard.ingest_photo_shard
    monkeypatch.setattr(ingest_photos, "ingest_photo_shard", lambda job: again.append(job["name"]) or once(job))
    assert photographed(f"coco:{coco}", **options).manifest() == whole.manifest()
    assert len(again) == len(whole.names(".tar")) - 2
