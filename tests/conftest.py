"""What every test runs under: one thread, and no settings, servers or records of the user."""

import os
import sys
import tempfile
from pathlib import Path

import pytest
from s3_servers import moto, rclone  # noqa: F401  (fixtures)

_home = tempfile.mkdtemp(prefix="scriptorium-tests-")
FOREIGN = ("PREFECT_", "MLFLOW_", "RAY_ADDRESS", "RAY_AUTH_", "AWS_")
OWN = {"SCRIPTORIUM_CORPORA"}

for _name in list(os.environ):
    if _name.startswith((*FOREIGN, "SCRIPTORIUM_")) and _name not in OWN:
        del os.environ[_name]
os.environ |= {
    "OMP_NUM_THREADS": "1",
    "PREFECT_HOME": f"{_home}/prefect",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "180",
    "DO_NOT_TRACK": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_TRACKING_URI": f"sqlite:///{_home}/mlflow.db",
    "RAY_USAGE_STATS_ENABLED": "0",
    "SCRIPTORIUM_HOME": _home,
    "SCRIPTORIUM_ARTIFACTS": f"{_home}/artifacts",
    "SCRIPTORIUM_CACHE": f"{_home}/cache",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": f"{_home}/no-such-file",
    "AWS_SHARED_CREDENTIALS_FILE": f"{_home}/no-such-file",
}


def pytest_configure():
    try:
        import torch  # the rules of the code base are checked without it
    except ModuleNotFoundError:
        return
    from hypothesis import settings

    torch.set_num_threads(1)  # two threads have been 20 times slower on a shared machine
    settings.register_profile("shared machine", deadline=None)
    settings.load_profile("shared machine")


def pytest_unconfigure():
    import shutil

    shutil.rmtree(_home, ignore_errors=True)


@pytest.fixture
def artifact_root(tmp_path, monkeypatch):
    """An empty artifact store of this test alone."""
    root = tmp_path / "artifacts"
    monkeypatch.setenv("SCRIPTORIUM_ARTIFACTS", str(root))
    return Path(root)


@pytest.fixture(autouse=True, scope="module")
def _registered_models_end_with_their_module():
    """The tests of a process share one MLflow, and two modules may give their first version the same name."""
    yield
    if "mlflow" in sys.modules and Path(_home, "mlflow.db").exists():
        from mlflow import MlflowClient

        registry = MlflowClient(f"sqlite:///{_home}/mlflow.db")
        for model in registry.search_registered_models(max_results=1000):
            registry.delete_registered_model(model.name)


@pytest.fixture(autouse=True)
def _ray_ends_with_its_test():
    """Its workers keep the artifact root they were started with, and the next test has another."""
    yield
    if (ray := sys.modules.get("ray")) and ray.is_initialized():
        ray.shutdown()
