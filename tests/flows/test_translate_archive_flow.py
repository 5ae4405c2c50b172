"""The command `translate-archive`: whole, refused, only estimated."""

import json
from functools import partial

import pytest
from archives.text.small_translator import translator_bundle
from text_models import language_model, text_classifier
from untrained import CTC, bundle_of

from flows import translate_archive


@pytest.fixture
def folder(tmp_path):
    top = tmp_path / "in"
    top.mkdir()
    (top / "a.txt").write_text("It is so. Is it so?\n\nIt is.\n")
    (top / "b.md").write_text("# It is\n\n- so\n")
    (top / "notes.doc").write_text("no text")
    return top


@pytest.fixture
def run(run_archive_command):
    return partial(run_archive_command, translate_archive)


def test_what_cannot_be_is_one_line_and_an_estimate_writes_nothing(artifact_root, folder, tmp_path, run):
    out, model = tmp_path / "out", translator_bundle().uri
    tmx = tmp_path / "c.tmx"
    tmx.write_text("<tmx><header srclang='en'/><body/></tmx>")
    several = [
        ((model, folder, "--output", out, "--formats", "doc"), 2, "--formats doc: write some of parquet,document"),
        ((model, tmp_path / "no", "--output", out), 1, "no such file, folder or pattern"),
        ((model, folder, "--output", folder), 1, "give an empty --output"),
        ((model, folder, "--output", ""), 1, "output '': give a folder or s3:// prefix"),
        ((model, "", "--output", out), 1, "the source is empty"),
        ((model, folder, "--output", out, "--workers", 99), 2, "workers 99: this machine has 2"),
        ((model, folder, "--output", out, "--set", "error_budget=2"), 1, "error_budget is a share, from 0 to 1"),
        ((model, folder, "--output", out, "--set", "split_sentences=words"), 1, "is one of lines, sentences"),
        (
            (model, folder, "--output", out, "--target-language", "fr"),
            1,
            "was trained to translate en to de, and target language fr is another; give another model",
        ),
        ((model, folder, "--output", out, "--source-language", "English!"), 1, "'English!' is no language"),
        ((translator_bundle({}).uri, tmx, "--output", out), 1, "give --target-language"),
        ((language_model("words").uri, folder, "--output", out), 1, "not a translator"),
        ((text_classifier().uri, folder, "--output", out), 1, "not a translator"),
        ((bundle_of(CTC).uri, folder, "--output", out), 1, "not a translator"),
    ]
    for (given, source, *arguments), status, says in several:
        ended, _, err = run("--dry-run", "--model", given, "--source", source, *arguments)
        (line,) = err.strip().splitlines()
        assert (ended, says in line) == (status, True), line
    told = run("--dry-run", "--model", model, "--source", folder, "--output", out)[1]
    assert "1 .doc" in told
    assert "tokens a second" in told
    found = json.loads(run("--dry-run", "--model", model, "--source", folder, "--output", out, "--json")[1])
    assert (found["files"], found["parts"], found["ignored"]) == (2, 1, {".doc": 1})
    assert 15 < found["tokens"] < 60
    assert not out.exists()


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_whole(artifact_root, folder, tmp_path, run):
    out = tmp_path / "out"
    arguments = ("--model", translator_bundle().uri, "--source", folder, "--output", out)
    status, told, err = run(*arguments, "--target-language", "de-AT", "--json")
    assert status == 0, err
    found = json.loads(told.splitlines()[-1])
    assert (found["counts"]["files"], found["counts"]["lines"], found["counts"]["sentences"]) == (2, 6, 5)
    assert (out / "document" / "a.txt").read_text().count("\n") == 3
    assert (out / "document" / "b.md").read_text().startswith("# ")
    status, _, err = run(*arguments, "--set", "split_sentences=lines")
    assert (status, "was made with another decoding" in err) == (1, True)
