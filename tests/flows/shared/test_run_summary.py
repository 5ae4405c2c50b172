"""What Prefect's UI is given to show: a table, and links that a browser follows from a page of a server."""

import pytest

from flows.shared.run_summary import markdown
from infra import tracking

RESULT = {
    "metrics": {"test": {"wer": 0.0115, "utterances": 120}, "dev": {"wer": 0.5}},
    "report": "/data/artifacts/report/0123456789abcdef/report.html",
    "model": "asr@champion",
    "version": "2",
    "registry": "better",
}


@pytest.fixture
def result(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/record.db")
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(tmp_path))
    return RESULT | {"run_id": tracking.open_run("key", "a run", {})}


def test_without_servers_there_is_a_path_and_no_link(result):
    told = markdown(result)
    assert told.splitlines()[:4] == [
        "| split | WER | utterances |",
        "|---|---:|---:|",
        "| test | 1.15% | 120 |",
        "| dev | 50.00% |  |",
    ]
    assert f"**Report** `{RESULT['report']}`" in told
    assert "**Model** `asr@champion`, version 2, better" in told
    assert "](" not in told


def test_shares_and_counts_of_a_translator_are_told_as_such(result):
    scores = {"bleu": 39.2, "sentences": 1000, "exact": 0.053, "truncated": 0, "unknown_tokens": 7}
    assert markdown(result | {"metrics": {"test": scores}}).splitlines()[:3] == [
        "| split | BLEU | sentences | exact | unknown tokens |",
        "|---|---:|---:|---:|---:|",
        "| test | 39.20 | 1000 | 5.30% | 7 |",
    ]


def test_the_report_is_linked_where_it_is_served(result, monkeypatch):
    monkeypatch.setenv("SCRIPTORIUM_MLFLOW_PAGE", "https://me:secret@mlflow.example/base/")
    experiment = tracking.client().get_run(result["run_id"]).info.experiment_id
    page = f"https://mlflow.example/base/#/experiments/{experiment}/runs/{result['run_id']}"
    assert f"[{result['run_id']}]({page}?workflowType=machine_learning)" in markdown(result)
    assert f"[Report]({page}/artifacts/report/report.html?workflowType=machine_learning)" in markdown(result)
    monkeypatch.setenv("SCRIPTORIUM_REPORTS", "http://127.0.0.1:5001/")
    assert "[Report](http://127.0.0.1:5001/report/0123456789abcdef/report.html)" in markdown(result)
    assert "file:" not in markdown(result)
