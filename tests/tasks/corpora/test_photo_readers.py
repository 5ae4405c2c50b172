"""Readers of photos with captions say every photo once, with all its captions, in the split that the corpus says."""

import csv
import json
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from small_photos import captions_of, change_json, write_coco, write_photos

from infra.artifact_store import open_draft
from infra.errors import UserError
from tasks.corpora.corpus_files import open_corpus
from tasks.corpora.corpus_uri import Corpus, corpus_kinds, fingerprint, parse_corpus
from tasks.corpora.photo_row import PhotoIngestConfig, PhotoRow
from tasks.corpora.readers import captions, coco, flickr, scenes
from tasks.corpora.utterance import SPLITS


def opened(place):
    return open_corpus(Corpus(kind="any", uri=str(place)), open_draft("shards", "test"))


def read(reader, place, **options):
    return list(reader.photos(opened(place), PhotoIngestConfig(**options), SPLITS))


def said(rows):
    """Split and captions by photo."""
    return {row.photo: (row.split, row.captions) for row in rows if isinstance(row, PhotoRow)}


def reasons(rows):
    return [(row.source, row.reason) for row in rows if not isinstance(row, PhotoRow)]


def test_the_kinds_with_photos():
    assert corpus_kinds("photos") == ["captions", "coco", "flickr", "scenes"]
    with pytest.raises(UserError, match="captions, coco, flickr, scenes"):
        parse_corpus("coc:/tmp", "photos")
    assert fingerprint(parse_corpus("scenes:", "photos")) == "generated"


LAYOUTS = ["{split}2017", "images/{split}2017", "images", "{split}", "photos/{split}_set", "annotations"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_coco_finds_the_folder_of_the_photos(layout, tmp_path):
    root = write_coco(tmp_path / "coco", range(4), range(4, 6), layout)
    for place in (root, tmp_path):
        rows = read(coco, place)
        folder = "" if place == root else "coco/"
        names = [f"{folder}{layout.format(split=split)}/photo_{n}.jpg" for n, split in enumerate(["train"] * 4)]
        names += [f"{folder}{layout.format(split='val')}/photo_{n}.jpg" for n in (4, 5)]
        expected = {name: ("train" if n < 4 else "dev", tuple(captions_of(n))) for n, name in enumerate(names)}
        assert said(rows) == expected
        assert reasons(rows) == []
    if layout == "photos/{split}_set":
        return  # beside one file that is asked for only the usual names are looked for
    (row, *_) = read(coco, root / "annotations/captions_val2017.json")
    source = opened(root / "annotations/captions_val2017.json")
    assert (row.split, source.locate(row.photo)[2] > 100) == ("dev", True)


def test_coco_never_takes_a_photo_of_another_split(tmp_path):
    root = write_coco(tmp_path / "coco", range(4), range(4))
    (root / "train2017/photo_1.jpg").unlink()
    source = opened(root)
    rows = list(coco.photos(source, PhotoIngestConfig(), SPLITS))
    assert [row.photo for row in rows if not source.locate(row.photo)] == ["train2017/photo_1.jpg"]


def test_coco_beside_boxes_and_with_splits_of_our_own(tmp_path):
    root = write_coco(tmp_path / "coco")
    (root / "annotations/instances_train2017.json").write_text("not even JSON")
    assert {split for split, _ in said(read(coco, root, own_splits=True)).values()} == {""}
    (root / "annotations/captions_all.json").write_text("{}")
    with pytest.raises(UserError, match="captions_all.json: its name says no split"):
        read(coco, root)
    (root / "annotations/captions_all.json").unlink()
    (root / "annotations/captions_val2017.json").write_text('{"images": []')
    with pytest.raises(UserError, match="captions_val2017.json: not JSON"):
        read(coco, root)
    (root / "annotations/captions_val2017.json").write_text('{"images": []}')
    with pytest.raises(UserError, match="no list of annotations"):
        read(coco, root)
    with pytest.raises(UserError, match="captions are in files such as"):
        read(coco, root / "train2017")


def test_coco_with_an_id_of_two_photos(tmp_path):
    """Whose captions are they? Neither photo gets those of the other."""
    root = write_coco(tmp_path / "coco", range(3), range(3, 5))
    name = "annotations/captions_train2017.json"
    change_json(root / name, lambda told: told["images"][2].update(id=0))
    rows = read(coco, root)
    assert [photo for photo, (split, _) in said(rows).items() if split == "train"] == ["train2017/photo_1.jpg"]
    assert said(rows)["train2017/photo_1.jpg"][1] == tuple(captions_of(1))
    assert reasons(rows) == [
        *((f"{name}#images/{n}", "malformed row") for n in (0, 2)),
        *((f"{name}#annotations/{n}", "caption without a photo") for n in (0, 1, 4, 5)),
    ]


TABLE = [("photo_0.jpg", "A dog, running", "train"), ("photo_1.jpg", "two", "val"), ("photo_0.jpg", "a dog", "train")]


@pytest.mark.parametrize(
    "header", [("image", "caption", "split"), ("file_name", "text", "Split"), ("Image", "sentence", "set")]
)
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_a_table_of_captions(kind, header, tmp_path):
    write_photos(tmp_path / "images", range(2))
    path = tmp_path / f"all.{kind}"
    with path.open("w", newline="") as file:
        if kind == "jsonl":
            file.writelines(json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in TABLE)
        else:
            csv.writer(file, delimiter="\t" if kind == "tsv" else ",", lineterminator="\n").writerows([header, *TABLE])
    expected = {"images/photo_0.jpg": ("train", ("A dog, running", "a dog")), "images/photo_1.jpg": ("dev", ("two",))}
    assert said(read(captions, path)) == said(read(captions, tmp_path)) == expected


def test_lists_boxes_and_faults_in_json_lines(tmp_path):
    rows = [
        {"image": "a.jpg", "captions": ["one", "two"], "boxes": [["dog", 1, 2, 3.5, 4]]},
        {"image": "b.jpg", "caption": {"no": "text"}},
        {"image": "c.jpg", "caption": "three", "boxes": [["dog", 1]]},
        {"image": None, "caption": "four"},
        {"image": "", "caption": "five"},
    ]
    path = tmp_path / "all.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(captions, path)
    assert said(found) == {"a.jpg": ("", ("one", "two"))}
    assert [row.boxes for row in found if isinstance(row, PhotoRow)] == [(("dog", 1.0, 2.0, 3.5, 4.0),)]
    assert reasons(found) == [(f"all.jsonl:{n}", "malformed row") for n in (2, 3, 4, 5)]
    path.write_text('{"image": "a.jpg"}\n')
    with pytest.raises(UserError, match=r"columns image,caption; it has image"):
        read(captions, path)


def test_a_row_has_both_kinds_of_captions_and_any_row_the_boxes(tmp_path):
    rows = [
        {"image": "a.jpg", "caption": "one", "captions": ["two", "three"]},
        {"image": "b.jpg", "caption": "four", "captions": ""},
        {"image": "b.jpg", "caption": "five", "boxes": [["dog", 1, 2, 3, 4]]},
    ]
    (tmp_path / "all.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read(captions, tmp_path / "all.jsonl")
    assert said(found) == {"a.jpg": ("", ("one", "two", "three")), "b.jpg": ("", ("four", "five"))}
    assert [row.boxes for row in found] == [(), (("dog", 1.0, 2.0, 3.0, 4.0),)]


def test_coco_does_not_ask_a_path_that_leads_elsewhere_where_the_photos_are(tmp_path):
    root = write_coco(tmp_path / "coco", range(4), range(4, 6), "images/{split}2017")
    there = {photo for photo in said(read(coco, root)) if "train" in photo}
    change_json(root / "annotations" / "captions_train2017.json", lambda told: told["images"].insert(
        0, {"id": 99, "file_name": "../" * 30 + "etc/passwd"}))  # fmt: skip
    assert {photo for photo in said(read(coco, root)) if "photo_" in photo and "train" in photo} == there


def write_flickr(root, lists=True):
    """Flickr8k as it is distributed, one photo of six in no list."""
    text = root / "Flickr8k_text"
    text.mkdir(parents=True)
    lines = [f"photo_{n}.jpg#{i}\t{caption}\n" for n in range(6) for i, caption in enumerate(captions_of(n))]
    (text / "Flickr8k.token.txt").write_text("".join(lines))
    (text / "Flickr8k.lemma.token.txt").write_text("".join(lines).replace("photo of", "photos of"))
    (text / "ExpertAnnotations.txt").write_text("photo_0.jpg\tphoto_1.jpg#2\t1\t1\t1\n")
    (text / "readme.txt").write_text("If you publish work based on this corpus ...\n")
    for name, numbers in (("train", (0, 1, 2)), ("dev", (3,)), ("test", (4,))) if lists else ():
        (text / f"Flickr_8k.{name}Images.txt").write_text("".join(f"photo_{n}.jpg\n" for n in numbers))
    write_photos(root / "Flicker8k_Dataset", range(6))
    return root


def test_flickr8k_with_its_lists(tmp_path):
    rows = read(flickr, write_flickr(tmp_path))
    splits = dict(enumerate(["train"] * 3 + ["dev", "test"]))
    assert said(rows) == {f"Flicker8k_Dataset/photo_{n}.jpg": (s, tuple(captions_of(n))) for n, s in splits.items()}
    assert reasons(rows) == [("photo_5.jpg", "in no list of a split")]
    assert {split for split, _ in said(read(flickr, tmp_path, own_splits=True)).values()} == {""}


@pytest.mark.parametrize("form", ["photo_{n}", "imgs/photo_{n}.jpg", " photo_{n}.jpg\r"])
def test_what_lists_may_call_the_photos(form, tmp_path):
    write_flickr(tmp_path, lists=False)
    for name, numbers in (("train", (0, 1, 2)), ("val", (3,)), ("test", (4,))):
        (tmp_path / f"{name}.txt").write_text("".join(form.format(n=n) + "\n" for n in numbers))
    rows = read(flickr, tmp_path)
    assert {photo.rpartition("/")[2]: split for photo, (split, _) in said(rows).items()} == {
        **{f"photo_{n}.jpg": "train" for n in range(3)}, "photo_3.jpg": "dev", "photo_4.jpg": "test"
    }  # fmt: skip
    assert reasons(rows) == [("photo_5.jpg", "in no list of a split")]


def test_a_file_that_says_a_split_and_names_no_photo_is_refused(tmp_path):
    write_flickr(tmp_path, lists=False)
    (tmp_path / "train.txt").write_text("77\n78\n79\n80\n")
    with pytest.raises(UserError, match=r"train\.txt: its name says train, but its first lines name no photo of"):
        read(flickr, tmp_path)
    assert {split for split, _ in said(read(flickr, tmp_path, own_splits=True)).values()} == {""}


def test_prose_is_no_file_of_captions(tmp_path):
    write_flickr(tmp_path, lists=False)
    (tmp_path / "A.txt").write_text("Flickr8k\nof 2013\nCaptions are in Flickr8k.token.txt, five a photo.\n")
    (tmp_path / "B.txt").write_text("Look at photo_0.jpg, for one.\nNo more\nis here\n")
    token = tmp_path / "Flickr8k_text" / "Flickr8k.token.txt"
    token.write_text("\n".join([*token.read_text().splitlines()[:2], "odd", *token.read_text().splitlines()[2:]]))
    rows = read(flickr, tmp_path)
    assert said(rows) == {f"Flicker8k_Dataset/photo_{n}.jpg": ("", tuple(captions_of(n))) for n in range(6)}
    assert reasons(rows) == [("Flickr8k_text/Flickr8k.token.txt:3", "malformed row")]


def test_photos_of_one_name_are_refused_by_it(tmp_path):
    write_flickr(tmp_path, lists=False)
    write_photos(tmp_path / "small", [2])
    rows = read(flickr, tmp_path)
    assert reasons(rows) == [("photo_2.jpg", "several photos of one name")]
    assert len(said(rows)) == 5


FORMS = {
    "{name}#{i}\t{caption}": "image,caption",
    "{name} #{i} \t {caption}\r": "image,caption",
    "{name}| {i}| {caption}": "image_name| comment_number| comment",
    "{name} | {i} | {caption}": "image_name| comment_number| comment",
    '{name},"{caption}"': "image,caption",
    '{name},{i}, "{caption}"': "image_name,comment_number,comment",
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms_of_the_captions_of_flickr(form, tmp_path):
    write_photos(tmp_path / "Images", range(3))
    lines = [form.format(name=f"photo_{n}.jpg", i=i, caption=c) for n in range(3) for i, c in enumerate(captions_of(n))]
    (tmp_path / "captions.txt").write_text("\n".join([FORMS[form], *lines, "a line that is none"]) + "\n")
    rows = read(flickr, tmp_path)
    assert said(rows) == {f"Images/photo_{n}.jpg": ("", tuple(captions_of(n))) for n in range(3)}
    assert reasons(rows) == [("captions.txt:8", "malformed row")]
    (tmp_path / "captions.txt").unlink()
    with pytest.raises(UserError, match="no file of captions"):
        read(flickr, tmp_path)


@pytest.fixture
def few_scenes(tmp_path, monkeypatch):
    monkeypatch.setattr(scenes, "SIZES", {"train": 60, "dev": 12, "test": 12})
    scenes.generate(tmp_path, PhotoIngestConfig())
    return tmp_path


def test_scenes_are_what_their_sentences_say(few_scenes):
    rows = read(scenes, few_scenes)
    assert Counter(row.split for row in rows) == {"train": 60, "dev": 12, "test": 12}
    for row in rows:
        (sentence,) = row.captions
        photo = np.asarray(Image.open(few_scenes / row.photo).convert("RGB"), int)
        for box in row.boxes:
            size, color, _ = box.label.split()
            assert f"a {box.label}" in sentence
            assert size == ("large" if box.x1 - box.x0 > 45 else "small")
            assert 0 <= box.x0 < box.x1 <= 224
            middle = photo[int((box.y0 + box.y1) / 2), int((box.x0 + box.x1) / 2)]
            assert np.abs(middle - scenes.COLORS[color]).max() < 12
        assert sentence.count("a ") == len(row.boxes)
        first, *others = sorted(row.boxes, key=lambda box: sentence.index(box.label))
        if " left of " in sentence:
            assert first.x1 < others[0].x0
        if " above " in sentence:
            assert first.y1 < others[0].y0


def pairs(rows):
    for row in rows:
        kinds = sorted(" ".join(box.label.split()[1:]) for box in row.boxes)
        if len(kinds) == 1:
            yield kinds[0], row.captions[0].partition(" at ")[2] or "in the middle"
        yield from ((a, b) for i, a in enumerate(kinds) for b in kinds[i + 1 :])


def test_no_combination_of_scenes_is_in_two_splits(few_scenes):
    rows = read(scenes, few_scenes)
    of_split = {split: set(pairs(row for row in rows if row.split == split)) for split in SPLITS}
    assert not of_split["train"] & of_split["test"]
    assert not of_split["train"] & of_split["dev"]
    assert not of_split["dev"] & of_split["test"]


def test_the_same_seed_gives_the_same_scenes(few_scenes, tmp_path_factory):
    for seed, same in ((0, True), (1, False)):
        other = tmp_path_factory.mktemp("again")
        scenes.generate(other, PhotoIngestConfig(seed=seed))
        for name in ("scenes.jsonl", "photos/scene_00000.jpg", "photos/scene_00083.png"):
            assert ((other / name).read_bytes() == (few_scenes / name).read_bytes()) == same
