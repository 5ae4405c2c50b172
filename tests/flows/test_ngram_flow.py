"""Plain text becomes a registered n-gram model that other programs read and that writes; a second run does nothing."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_flows import states_of

pytestmark = pytest.mark.filterwarnings("ignore::Warning")  # of servers and clients that are not ours
ANIMALS = ("renard", "corbeau", "loup", "chien", "rat", "lion", "cigale", "fourmi")
LINES = [f"le {a} et le {b} se {v}" for a in ANIMALS for b in ANIMALS for v in ("parlent", "taisent")]


@pytest.fixture(autouse=True)
def _store(tmp_path, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path / "artifacts"))
    monkeypatch.setenv("SCRIPTORIUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("SCRIPTORIUM_CORES", "2")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ngrams")


def test_the_whole_way(prefect_server, tmp_path, capsys):
    from flows.generate import generate
    from flows.train_ngram import train_ngram
    from infra import model_registry, storage, tracking
    from infra.artifact_store import artifact_at
    from tasks.decoding.generate_text import Prompt
    from tasks.ngram.arpa_file import read_arpa
    from tasks.ngram.binary_file import load_ngram

    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("\n".join(LINES[:100]))
    (tmp_path / "text" / "b.txt").write_text("\n".join(LINES[100:]))
    call = {"corpus": f"text:{tmp_path}/text", "recipe": "word_trigram", "settings": ("split.dev_share=0.2",)}
    result, first = states_of(train_ngram, **call)
    assert set(first.values()) == {"Completed"}
    found = result["metrics"]["dev"]
    names = (
        "loss",
        "perplexity",
        "bits_per_token",
        "bits_per_character",
        "unknown",
        "tokens",
        "characters",
        "sentences",
    )
    assert set(found) == set(names)
    assert found["perplexity"] < len(ANIMALS), "what it foresees is the animals, and who speaks"
    assert storage.read(result["report"]).startswith(b"<!doctype html>")
    counted = artifact_at(result["paths"]["bundle"]).read_json("summary.json")["text"]["sentences"]
    assert counted + found["tokens"] // 8 == len(LINES)
    again, second = states_of(train_ngram, **call)
    assert again == result
    assert set(second.values()) == {"Cached"}
    assert len(second) == len(first)

    place = model_registry.resolve_model("ngram@champion")
    stored, data = load_ngram(Path(place, "ngram.bin")), tracking.client().get_run(result["run_id"]).data
    read = read_arpa(Path(place, "ngram.arpa.gz"), stored.spellings)
    for ours, theirs in zip(stored.model.levels, read.levels, strict=True):
        np.testing.assert_array_equal(ours.keys.numpy(), theirs.keys)
        np.testing.assert_array_equal(ours.log10.numpy(), theirs.log10)
    assert data.metrics["dev_perplexity"] == found["perplexity"]
    assert data.params["ngram.order"] == "3"

    capsys.readouterr()
    generate("ngram@champion", Prompt(context="le renard", length=40, seed=3))
    out = capsys.readouterr().out
    assert out.startswith("le renard")
    assert set(out.split()) <= set(" ".join(LINES).split())


def test_bad_input_is_one_line(prefect_server, tmp_path):
    from flows.train_ngram import train_ngram
    from infra.errors import UserError

    path, many = tmp_path / "text.txt", "\n".join(map(chr, range(0x4E00, 0x4F00))).encode()
    for data, setting, says in (
        (b"", "ngram.order=2", r"text\.txt: empty file .*; mend it"),
        (b"le renard\n" * 9 + b"\xff\n", "ngram.order=2", r"text\.txt: not UTF-8 \(at byte 90: .*; mend it"),
        (many, "tokens.most_characters=9", r"different characters, tokens\.most_characters allows 9: raise it"),
        (b"le renard\n", "split.dev_share=1e-9", r"text\.txt: none of its lines is held out .*; raise it"),
    ):
        path.write_bytes(data)
        with pytest.raises(UserError, match=says) as caught:
            train_ngram(f"text:{path}", "character_6gram", (setting,))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("ngram.order=99", "ngram.order is 1 to 16"),
        ("split.dev_share=1", "at least 0 and below 1"),
        ("split.dev_share=0", "measured on the lines that are held out"),
        ("tokens.specials=false", "an n-gram model needs ids for sentence ends"),
        ("ngram.prune=1,1", "begins with 0"),
    ],
)
def test_a_wrong_setting_is_one_line_and_nothing_is_started(tmp_path, setting, says):
    (tmp_path / "a.txt").write_text("a b\n")
    command = [sys.executable, "-W", "ignore", "-m", "flows.train_ngram", "--corpus", f"text:{tmp_path}/a.txt"]
    command += ["--recipe", "character_6gram", "--set", setting]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
