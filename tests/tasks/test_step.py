"""A step's key: what it must and must not depend on."""

from dataclasses import dataclass

import pytest

from infra.store import Artifact
from tasks import step as step_module
from tasks.evaluate import Scoring, evaluate
from tasks.step import Resources, canonical, reachable, source_digest, step
from tasks.train import train
from tasks.training_run import Workers


@dataclass(frozen=True)
class Config:
    size: int = 1
    options: dict | None = None


@step
def example(first: Artifact, config: Config) -> Artifact:
    raise NotImplementedError


def test_key_follows_inputs():
    one, two = Artifact("shards", "a" * 64), Artifact("shards", "b" * 64)
    keys = {example.key(one, Config()), example.key(two, Config()), example.key(one, Config(size=2))}
    assert len(keys) == 3
    assert example.key(one, Config(options={"a": 1, "b": 2})) == example.key(one, Config(options={"b": 2, "a": 1}))


def test_how_a_step_runs_is_not_in_its_key():
    inputs = (Artifact("features", "a"), Artifact("tokenizer", "b"), Config())
    assert (
        train.key(*inputs, Workers(count=1)) == train.key(*inputs, Workers(count=2, run_name="x")) == train.key(*inputs)
    )
    assert issubclass(Workers, Resources)


def test_key_follows_the_code_that_the_task_imports(monkeypatch):
    inputs = (Artifact("transcripts", "a"), Scoring())
    before, other = evaluate.key(*inputs), example.key(Artifact("shards", "a"), Config())
    assert "tasks.parts" in reachable(frozenset({"tasks.evaluate"}))
    assert "tasks.ingest_corpus" not in reachable(frozenset({"tasks.evaluate"}))
    real = step_module._source
    monkeypatch.setattr(step_module, "_source", lambda m: real(m) + ("\nX = 1\n" if m == "tasks.evaluate" else ""))
    source_digest.cache_clear()
    assert evaluate.key(*inputs) != before
    assert example.key(Artifact("shards", "a"), Config()) == other
    monkeypatch.setattr(
        step_module, "_source", lambda m: real(m) + ("\n# a comment\n" if m == "tasks.evaluate" else "")
    )
    source_digest.cache_clear()
    assert evaluate.key(*inputs) == before, "comments are not code"
    source_digest.cache_clear()


def test_a_corpus_brings_its_reader():
    from tasks.corpus import Corpus, Ingest
    from tasks.step import code_of

    assert "tasks.ingest.an4" in code_of(Corpus(kind="an4", uri="/x"))
    assert "tasks.ingest.an4" not in code_of(Ingest())


def test_data_is_refused_as_an_input():
    with pytest.raises(TypeError, match="artifacts and configs"):
        canonical(object())
