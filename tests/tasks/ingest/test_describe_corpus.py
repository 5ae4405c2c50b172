"""A corpus in numbers against counts made row by row; and what makes it doubtful stands in the warnings."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.artifact_store import new_draft
from tasks.corpora.utterance import NOT_CHARGED, QUARANTINE
from tasks.ingest.describe_corpus import describe_corpus, histogram
from tasks.ingest.shard_format import INDEX
from tasks.steps.parquet_io import to_parquet, to_table

NONE = dict.fromkeys(INDEX.names)


def row(split, text, speaker="", seconds=1.0, flag=""):
    return NONE | {"split": split, "text": text, "speaker": speaker, "seconds": seconds, "flag": flag, "source": text}


def reject(split, reason, stage="decode", source="a.wav"):
    return dict.fromkeys(QUARANTINE.names, "") | {"split": split, "reason": reason, "stage": stage, "source": source}


def artifact(kind, rows, rejects=(), schema=INDEX, **summary):
    with new_draft(kind) as out:
        out.put("index.parquet", to_parquet(to_table(rows, schema)))
        out.put("quarantine.parquet", to_parquet(to_table(list(rejects), QUARANTINE)))
        out.put_json("summary.json", summary)
    return out.result()


def described(rows, rejects=(), normalized=None, more=(), **summary):
    shards = artifact("shards", rows, rejects, **summary)
    return describe_corpus(shards, artifact("features", rows if normalized is None else normalized, more))


ROWS = [
    row("train", "Open the door.", "anna", 2.0),
    row("train", "open the door", "bert", 4.0),
    row("train", "close it", "bert", 1.0),
    row("dev", "OPEN the door!", "anna", 3.0),
    row("dev", "why not", "carl", 0.5, flag="too fast for its text"),
    row("test", "caf\u00e9", "dora", 2.0),
]


def test_what_splits_hold_and_share(artifact_root):
    told = described(ROWS, split_from={"dev": {"column split": 2}}, speaker_from={"column speaker": 6})
    train, dev, test = told["splits"]
    assert [row["split"] for row in told["splits"]] == ["train", "dev", "test"]
    assert (train["utterances"], train["seconds"], train["speakers"], train["repeated"]) == (3, 7.0, 2, 1)
    assert (train["words"], train["characters"]) == (8, len("Open the door.open the doorclose it"))
    assert (dev["shortest"], dev["longest"], dev["repeated"]) == (0.5, 3.0, 0)
    shared = {(row["split"], row["other"]): (row["speakers"], row["sentences"], row["utterances"])
              for row in told["shared"]}  # fmt: skip
    assert shared == {("dev", "train"): (1, 1, 1), ("test", "train"): (0, 0, 0), ("test", "dev"): (0, 0, 0)}
    assert sum(test["seconds_histogram"]["counts"]) == 1
    letters = {row["character"]: row for row in told["characters"]}
    assert letters["e"]["train"] == sum(r["text"].count("e") for r in ROWS if r["split"] == "train")
    assert (letters["\u00e9"]["test"], letters["\u00e9"]["train"]) == (1, 0)
    assert told["split_from"] == {"dev": {"column split": 2}}


def test_what_is_doubtful_is_said_first(artifact_root):
    lines = described(ROWS)["warnings"]
    assert lines[:2] == [
        "dev shares 1 of its 2 speakers with train",
        "dev shares 1 sentence with train (1 of its 2 utterances)",
    ]
    assert "test has 3 characters that train never has: a f \u00e9" in lines
    assert "dev: 1 of 2 utterances are flagged as odd (50.0%)" in lines
    clean = [row("train", "a b", "x"), row("dev", "b a", "y"), row("test", "ab a", "z")]
    assert described(clean)["warnings"] == []
    assert described(clean[:2])["warnings"] == [
        "there is no test split: the numbers are of dev, by which the best weights were chosen"
    ]
    unnamed = [one | {"speaker": ""} for one in clean]
    assert described(unnamed)["warnings"][0] == (
        "dev and train have utterances without a speaker: whether they share speakers is not known"
    )
    evaluated = [row("test", "b \u00e9", None)]
    assert described(evaluated)["warnings"] == [], "of one split nothing is known about train"


def test_what_every_stage_left_out_is_counted(artifact_root):
    rejects = [reject("train", "truncated", source=f"{i}.wav") for i in range(5)]
    rejects += [reject("train", NOT_CHARGED, "divide")] * 7
    told = described(ROWS, rejects, more=[reject("dev", "empty transcript", "features")])
    assert [(r["split"], r["stage"], r["reason"], r["count"]) for r in told["left_out"]] == [
        ("train", "divide", NOT_CHARGED, 7),
        ("train", "decode", "truncated", 5),
        ("dev", "features", "empty transcript", 1),
    ]
    assert told["left_out"][1]["first"] == ["0.wav", "1.wav", "2.wav"]
    assert "train: 5 of 8 utterances were left out (62.5%)" in told["warnings"], "our own division leaves out 7 more"
    assert told["flagged"] == [{"split": "dev", "flag": "too fast for its text", "count": 1, "first": ["why not"]}]


def test_an_earlier_index_and_one_without_anything(artifact_root):
    schema = pa.schema([field for field in INDEX if field.name != "flag"])
    rows = [{name: value for name, value in row("dev", None, None, None).items() if name != "flag"}]
    with new_draft("shards") as out:
        out.put("index.parquet", to_parquet(to_table(rows, schema)))
        out.put_json("summary.json", {})
    told = describe_corpus(out.result(), out.result())
    assert (told["flagged"], told["left_out"], told["characters"]) == ([], [], [])
    assert (told["splits"][0]["longest"], told["splits"][0]["without_speaker"]) == (None, 1)


@given(st.lists(st.floats(0.01, 1e5), min_size=1, max_size=30))
def test_a_histogram_has_every_value_in_a_few_round_bars(values):
    told = histogram(np.array(values))
    assert sum(told["counts"]) == len(values)
    assert 10 <= len(told["counts"]) <= 20 or max(values) < 0.02
    edges = told["edges"]
    for count, low, high in zip(told["counts"], edges, edges[1:], strict=False):
        near = sum(low - 1e-9 <= value <= high + 1e-9 for value in values)
        assert near >= count
    assert len(told["counts"]) == len(edges) - 1


@pytest.mark.parametrize("values", [[], [0.0, 0.0]])
def test_a_histogram_of_nothing(values):
    assert histogram(np.array(values, float)) == {"counts": [], "edges": []}
