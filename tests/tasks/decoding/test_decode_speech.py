"""Transcripts: what a row holds of a search's hypotheses."""

from types import SimpleNamespace

import numpy as np
import torch
from untrained import CTC, loaded

from models.interface import Beam, Hypothesis, Padded
from tasks.decoding.decode_speech import transcribe


def inputs(bundle, keys):
    source = bundle.source(np.random.default_rng(0).standard_normal((20, 20)).astype(np.float16))
    batch = SimpleNamespace(
        keys=keys, given=Padded(source.data.repeat(len(keys), 1, 1), torch.tensor([20] * len(keys)))
    )
    rows = SimpleNamespace(rows=lambda found: [found[key] for key in keys])
    return type("Inputs", (), {"__iter__": lambda _: iter([batch]), "rows": lambda _, found: rows.rows(found)})()


def test_the_n_best_holds_each_text_once(artifact_root, monkeypatch):
    """Ids 4 to 12 are a space and letters: spaces at the ends, and two of them, are not written."""
    bundle = loaded(CTC)
    nbest = [
        Hypothesis((5, 4, 6), -1.0, ((0, 1), (1, 2), (2, 3)), 0.9),
        Hypothesis((5, 4, 4, 6), -1.5),
        Hypothesis((5, 6), -2.0, truncated=True),
        Hypothesis((4, 5, 4, 6), -3.0),
        Hypothesis((), -4.0),
        Hypothesis((4,), -5.0),
    ]
    monkeypatch.setattr(bundle.model, "search", lambda *_: [nbest])
    (row,) = transcribe(bundle, inputs(bundle, ["one"]), Beam())
    assert [(h["text"], h["score"]) for h in row["hypotheses"]] == [("a b", -1.0), ("ab", -2.0), ("", -4.0)]
    assert [h["truncated"] for h in row["hypotheses"]] == [False, True, False]
    assert (row["text"], row["score"], row["truncated"], len(row["hypotheses"][0]["tokens"])) == ("a b", -1.0, False, 3)


def test_a_search_of_spaces_and_letters_says_each_text_once(artifact_root):
    bundle = loaded(CTC)
    (row,) = transcribe(bundle, inputs(bundle, ["one"]), Beam(width=64))
    texts = [h["text"] for h in row["hypotheses"]]
    assert len(texts) == len(set(texts)) < 64
    assert [h["score"] for h in row["hypotheses"]] == sorted((h["score"] for h in row["hypotheses"]), reverse=True)
