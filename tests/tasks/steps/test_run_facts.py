"""What a run says of how it came about: true, and without secrets."""

import os
import shlex
import subprocess
from importlib import metadata

import pytest

from infra import processes
from infra.artifact_store import Artifact, new_draft
from tasks.steps.pipeline_step import step
from tasks.steps.run_facts import RunFacts, code_revision, command_text, describe_machine, environment_facts


@step
def page(told: str, facts: RunFacts) -> Artifact:
    with new_draft("page") as out:
        out.put_json("page.json", [told, list(facts.facts)])
    return out.result()


def test_facts_are_on_the_page_and_in_no_key(artifact_root):
    one, other = RunFacts(facts=(("date", "today"),)), RunFacts(facts=(("date", "tomorrow"),))
    assert page.key("a", one) == page.key("a", other)
    assert page.key("a", one) != page.key("b", one)
    assert page.fn("a", one).read_json("page.json") == ["a", [["date", "today"]]]


def test_a_command_can_be_given_again_and_holds_no_password():
    text = command_text(
        "train-asr", {"corpus": "csv:/my data/a.csv", "set": ["a=1", "b=x y"], "alias": "", "workers": 0}
    )
    assert shlex.split(text) == [
        *("scriptorium", "train-asr", "--corpus", "csv:/my data/a.csv", "--set", "a=1", "--set", "b=x y"),
        *("--workers", "0"),
    ]
    secret = "hunter2/@:"
    told = command_text("evaluate", {"model": f"https://me:{secret}@host/x", "set": [f"lm=https://h/x?token={secret}"]})
    assert "hunter2" not in told
    assert "https://me:***@host/x" in told


@pytest.fixture
def repository(tmp_path, monkeypatch):
    def git(*arguments):
        named = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.c"}
        named |= {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.c"}
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, check=True, capture_output=True, env=os.environ | named).stdout.decode().strip()

    git("init", "-q")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", "-A")
    git("commit", "-qm", "one")
    monkeypatch.setattr(processes, "CODE", tmp_path)
    code_revision.cache_clear()
    yield tmp_path, git("rev-parse", "HEAD")
    code_revision.cache_clear()


def test_the_commit_of_the_code_and_whether_it_was_changed(repository):
    folder, commit = repository
    assert code_revision() == f"commit {commit}"
    (folder / "code.py").write_text("x = 2\n")
    code_revision.cache_clear()
    assert code_revision() == f"commit {commit}, with changes that are not committed"


def test_code_installed_below_somebody_elses_repository_has_a_version(repository, monkeypatch):
    folder, commit = repository
    (folder / "venv" / "site-packages").mkdir(parents=True)
    monkeypatch.setattr(processes, "CODE", folder / "venv" / "site-packages")
    code_revision.cache_clear()
    told = code_revision()
    assert commit not in told
    try:
        assert told.startswith(f"version {metadata.version('scriptorium')}")
    except metadata.PackageNotFoundError:
        assert told == "version not known"


def test_the_machine_and_the_libraries(monkeypatch):
    assert f"{len(os.sched_getaffinity(0))} cores" in describe_machine()
    told = dict(environment_facts())
    assert f"numpy {metadata.version('numpy')}" in told["libraries"]
    monkeypatch.setenv("RAY_ADDRESS", "ray://me:secret@head:10001")
    assert "the Ray cluster at ray://me:***@head:10001" in describe_machine()
