"""A corpus taken in alone: what a user is told of it, and what a training need not do again."""

import json
import sys

import numpy as np
import pytest
import soundfile
from digit_pairs import write_digit_corpus

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
ROWS = [  # audio, text, split, spk
    *((f"{i}.wav", f"line {i}", "train", f"s{i % 2}") for i in range(4)),
    ("4.wav", "line 4", "dev-clean", "s2"),
    ("5.wav", "line 5", "eval", "s3"),
    ("6.wav", "line 6", "Test_Other ", ""),
    *((f"{i}.wav", f"line {i}", "holdout", "s4") for i in (7, 8, 9, 10)),
    ("gone.wav", "no clip", "dev-clean", "s2"),
]


@pytest.fixture
def corpus(tmp_path, monkeypatch):
    """A manifest with a split of no known name, a clip that is not there, and speakers under `spk`."""
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "m").mkdir()
    for i in range(11):
        wave = 0.3 * np.sin(2 * np.pi * (200 + 20 * i) * np.arange(8000) / 8000)
        soundfile.write(tmp_path / "m" / f"{i}.wav", wave, 8000)
    table = [("audio", "text", "split", "spk"), *ROWS]
    (tmp_path / "m" / "train.csv").write_text("\n".join(map(",".join, table)))
    return f"manifest:{tmp_path}/m"


def said(command, capsys, monkeypatch):
    """What `python -m flows.ingest` prints."""
    from flows import ingest
    from tasks.steps.in_process import run_in_process

    monkeypatch.setattr(sys, "argv", ["ingest", *command])
    with run_in_process():
        ingest.main()
    return capsys.readouterr().out


def test_what_is_told_of_a_corpus(prefect_server, corpus, capsys, monkeypatch):
    import pyarrow.parquet as pq

    told = json.loads(said(["--corpus", corpus, "--set", "ingest.error_budget=0.6", "--json"], capsys, monkeypatch))
    assert told["splits"] == {
        "train": {"rows": 4, "seconds": 4.0, "speakers": 2},
        "dev": {"rows": 1, "seconds": 1.0, "speakers": 1},
        "test": {"rows": 2, "seconds": 2.0, "speakers": 1},
    }
    assert told["split_from"] == {
        "train": {"column split: train": 4},
        "dev": {"column split: dev-clean": 2},
        "test": {"column split: eval": 1, "column split: Test_Other": 1},
    }
    assert told["speaker_from"] == {"column spk": 7, "no speaker": 1}
    assert {reason: those["count"] for reason, those in told["rejects"].items()} == {
        "unknown split": 4,
        "missing clip": 1,
    }
    assert [row["source"] for row in told["rejects"]["unknown split"]["first"]] == [
        f"train.csv:{n}" for n in (9, 10, 11)
    ]
    assert all("'holdout' in column split" in row["detail"] for row in told["rejects"]["unknown split"]["first"])
    assert told["rejects"]["missing clip"]["first"] == [{"source": "gone.wav", "split": "dev", "detail": "gone.wav"}]
    assert pq.read_table(told["index"]).num_rows == 7
    assert pq.read_table(told["quarantine"]).num_rows == 5
    table = said(["--corpus", corpus, "--set", "ingest.error_budget=0.6"], capsys, monkeypatch).splitlines()
    assert [line.split()[:2] for line in table[1:4]] == [["train", "4"], ["dev", "1"], ["test", "2"]]
    assert told["artifact"] in table[-3]
    assert sum("holdout" in line for line in table) == 3


def test_a_training_need_not_take_it_in_again(corpus, monkeypatch):
    """With its recipe: the same key."""
    from flows.ingest import plan_ingest
    from flows.kinds.model_kind import SPLITS
    from flows.recipes import asr, classification
    from flows.shared.validate_inputs import resolve_recipe
    from tasks.ingest.ingest_corpus import ingest_corpus

    for module, recipe in ((asr, "asr_small"), (classification, "tdnn_digits")):
        place = corpus if module is asr else corpus.replace("manifest:", "labeled:")
        theirs, plan = resolve_recipe(place, recipe, ["ingest.seed=3"], module)
        ours, config = plan_ingest(place, recipe, "", ["ingest.seed=3"])
        assert ingest_corpus.key(ours, "f", config, SPLITS) == ingest_corpus.key(theirs, "f", plan.ingest, SPLITS)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["--corpus", "manifest:/no/where"], "/no/where does not exist"),
        (["--corpus", "comonvoice:/tmp"], "did you mean commonvoice:/tmp? write KIND:URI"),
        (["--corpus", "nothing:/tmp"], "write KIND:URI with KIND one of an4"),
        (["--corpus", "demo:", "--set", "ingest.seeds=1"], "did you mean ingest.seed"),
        (["--corpus", "demo:", "--what", "text"], "write KIND:URI with KIND one of text"),
        (["--corpus", "demo:", "--recipe", "asr_smal"], "did you mean asr_small"),
        (["--corpus", "demo:", "--recipe", "word_trigram"], "write KIND:URI with KIND one of text"),
    ],
)
def test_what_cannot_be_is_said_before_work(command, says, capsys, monkeypatch):
    with pytest.raises(SystemExit) as ended:
        said(command, capsys, monkeypatch)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_plain_text_and_labels(prefect_server, corpus, tmp_path, capsys, monkeypatch):
    (tmp_path / "text.txt").write_text("one line\nand another\n")
    told = json.loads(said(["--corpus", f"text:{tmp_path}/text.txt", "--json"], capsys, monkeypatch))
    assert (told["splits"], told["documents"], told["characters"]) == ({}, 1, 21)
    lines = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(20)]
    (tmp_path / "l.jsonl").write_text("\n".join(map(json.dumps, lines)))
    told = json.loads(said(["--corpus", f"labeled:{tmp_path}/l.jsonl", "--json"], capsys, monkeypatch))
    assert sum(one["rows"] for one in told["splits"].values()) == 20
    assert {origin for split in told["split_from"].values() for origin in split} == {
        "our own division: speakers and sentences apart"
    }


def test_a_corpus_beyond_its_error_budget_is_told_as_well(prefect_server, corpus, capsys, monkeypatch):
    """And the command fails."""
    import pyarrow.parquet as pq

    from flows import ingest
    from tasks.steps.in_process import run_in_process

    monkeypatch.setattr(sys, "argv", ["ingest", "--corpus", corpus, "--json"])
    with run_in_process(), pytest.raises(SystemExit) as ended:
        ingest.main()
    out, err = capsys.readouterr()
    assert ended.value.code == 1
    assert "the budget is 5 %" in err.splitlines()[-1]
    told = json.loads(out)
    assert {reason: those["count"] for reason, those in told["rejects"].items()} == {
        "unknown split": 4,
        "missing clip": 1,
    }
    assert (told["splits"]["train"]["rows"], told["speaker_from"]["column spk"]) == (4, 7)
    assert (pq.read_table(told["index"]).num_rows, pq.read_table(told["quarantine"]).num_rows) == (7, 5)


def test_photos_are_taken_in_and_told(prefect_server, tmp_path, capsys, monkeypatch):
    from small_photos import write_coco

    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    root = write_coco(tmp_path / "coco")
    (root / "train2017/photo_0.jpg").write_bytes(b"<html>")
    command = ["--corpus", f"coco:{root}", "--set", "ingest.error_budget=0.2"]
    told = json.loads(said([*command, "--json"], capsys, monkeypatch))
    assert told["splits"] == {"train": {"rows": 7, "captions": 14}, "dev": {"rows": 3, "captions": 6}}
    assert told["rejects"]["not a photo"]["first"][0]["source"] == "train2017/photo_0.jpg"
    table = said(command, capsys, monkeypatch).splitlines()
    assert [line.split()[:3] for line in table[:3]] == [
        ["split", "rows", "captions"],
        ["train", "7", "14"],
        ["dev", "3", "6"],
    ]


def test_sentence_pairs_are_taken_in_by_their_languages(prefect_server, tmp_path, capsys, monkeypatch):
    """Named as a training names them; what only clips have is not told."""
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    place = write_digit_corpus(tmp_path / "pairs", {"train": 20, "dev": 2, "test": 3})
    command = ["--corpus", f"parallel:{place}", "--source-language", "xa", "--target-language", "xb"]
    told = json.loads(said([*command, "--json"], capsys, monkeypatch))
    assert {split: row["rows"] for split, row in told["splits"].items()} == {"train": 20, "dev": 2, "test": 3}
    table = said(command, capsys, monkeypatch)
    assert table.startswith("split         rows  taken from\ntrain           20  name train (20)\n")
    assert "speaker" not in table
