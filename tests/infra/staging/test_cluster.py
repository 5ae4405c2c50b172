"""What a service of staging is started with."""

from infra.staging import postgres
from infra.staging.cluster import SHARED_MEMORY, Cluster


def test_the_environment_is_that_of_the_compose_file_and_nothing_of_the_shell(tmp_path, monkeypatch):
    monkeypatch.setenv("PREFECT_API_URL", "http://elsewhere")
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.1")
    monkeypatch.setattr(postgres, "programs", lambda: tmp_path)
    cluster = Cluster(tmp_path, tmp_path)
    worker = cluster.environment("worker")
    assert worker["PREFECT_API_URL"] == "http://prefect:4200/api"
    assert worker["PREFECT_HOME"] == str(tmp_path / "worker/state/prefect")
    assert {name for name in worker if name.startswith("RAY_memory")} == {*SHARED_MEMORY}
    assert cluster.environment("postgres")["HOME"] == str(tmp_path / "postgres")
