"""A step's key: what it must and must not depend on."""

from dataclasses import dataclass

import pytest

from infra.artifact_store import Artifact
from tasks.scoring.evaluate_asr import ScoringConfig, evaluate_asr
from tasks.steps import pipeline_step as step_module
from tasks.steps.pipeline_step import Resources, canonical, import_closure, source_digest, step
from tasks.training.run_training import Workers
from tasks.training.train_asr import train_asr


@dataclass(frozen=True)
class Config:
    size: int = 1
    options: dict | None = None


@step
def example(first: Artifact, config: Config) -> Artifact:
    """Only its key is asked for."""
    raise AssertionError("never called")


def test_key_follows_inputs():
    one, two = Artifact("shards", "a" * 64), Artifact("shards", "b" * 64)
    keys = {example.key(one, Config()), example.key(two, Config()), example.key(one, Config(size=2))}
    assert len(keys) == 3
    assert example.key(one, Config(options={"a": 1, "b": 2})) == example.key(one, Config(options={"b": 2, "a": 1}))


def test_how_a_step_runs_is_not_in_its_key():
    inputs = (Artifact("features", "a"), Artifact("tokenizer", "b"), Config())
    assert (
        train_asr.key(*inputs, Workers(count=1))
        == train_asr.key(*inputs, Workers(count=2, run_name="x"))
        == train_asr.key(*inputs)
    )
    assert issubclass(Workers, Resources)


def test_key_follows_the_code_that_the_task_imports(monkeypatch):
    inputs = (Artifact("transcripts", "a"), ScoringConfig())
    before, other = evaluate_asr.key(*inputs), example.key(Artifact("shards", "a"), Config())
    assert "tasks.text.error_counts" in import_closure(frozenset({"tasks.scoring.evaluate_asr"}))
    assert "tasks.ingest.ingest_corpus" not in import_closure(frozenset({"tasks.scoring.evaluate_asr"}))
    real = step_module._source
    monkeypatch.setattr(
        step_module, "_source", lambda m: real(m) + ("\nX = 1\n" if m == "tasks.scoring.evaluate_asr" else "")
    )
    source_digest.cache_clear()
    assert evaluate_asr.key(*inputs) != before
    assert example.key(Artifact("shards", "a"), Config()) == other
    monkeypatch.setattr(
        step_module, "_source", lambda m: real(m) + ("\n# a comment\n" if m == "tasks.scoring.evaluate_asr" else "")
    )
    source_digest.cache_clear()
    assert evaluate_asr.key(*inputs) == before, "comments are not code"
    monkeypatch.setattr(step_module, "_source", lambda m: real(m).replace('"""', '"""Other words. ', 1))
    source_digest.cache_clear()
    assert evaluate_asr.key(*inputs) == before, "docstrings are not code"
    source_digest.cache_clear()


def test_a_corpus_brings_its_reader():
    from tasks.corpora.corpus_uri import Corpus, IngestConfig
    from tasks.steps.pipeline_step import code_modules

    assert "tasks.corpora.readers.an4" in code_modules(Corpus(kind="an4", uri="/x"))
    assert "tasks.corpora.readers.an4" not in code_modules(IngestConfig())


def test_data_is_refused_as_an_input():
    with pytest.raises(TypeError, match="artifacts and configs"):
        canonical(object())
