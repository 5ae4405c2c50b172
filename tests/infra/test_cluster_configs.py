"""The configs of clusters that no test can start: they parse, and every name in them exists."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from infra.settings import Settings

ROOT = Path(__file__).parent.parent.parent
INFRA = ROOT / "infra"
CONFIGS = sorted(INFRA.rglob("*.yaml"))
KNOWN = {f.metadata["variable"] for f in fields(Settings)} | {"SCRIPTORIUM_CHECKOUT"}
SECRET = re.compile(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY")


def documents(path):
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def containers(document):
    if isinstance(document, dict):
        yield from document.get("containers", [])
        for value in document.values():
            yield from containers(value)
    elif isinstance(document, list):
        for value in document:
            yield from containers(value)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_it_parses_and_names_settings_that_exist(path):
    assert documents(path)
    assert set(re.findall(r"SCRIPTORIUM_[A-Z_]+", path.read_text())) <= KNOWN


def test_ray_accepts_its_cluster_config():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = documents(INFRA / "ray-cluster.yaml")[0]
    validate_config(prepare_config(config))
    assert config["head_node_type"] in config["available_node_types"]


def test_deployments_name_flows_and_parameters_that_exist():
    config = documents(INFRA / "prefect.yaml")[0]
    assert {d["entrypoint"] for d in config["deployments"]} == {
        "flows/ingest.py:ingest",
        "flows/train_asr.py:train_asr",
        "flows/train_language_model.py:train_language_model",
        "flows/train_classifier.py:train_classifier",
        "flows/train_captioning.py:train_captioning",
        "flows/train_translation.py:train_translation",
        "flows/translate_archive.py:translate_archive",
        "flows/train_ngram.py:train_ngram",
        "flows/compare.py:compare",
        "flows/evaluate.py:evaluate_model",
        "flows/tune_decoding.py:tune_decoding",
        "flows/transcribe_archive.py:transcribe_archive",
        "flows/caption_archive.py:caption_archive",
        "flows/retrain.py:retrain",
        "flows/watch_releases.py:watch_releases",
    }
    for deployment in config["deployments"]:
        file, _, function = deployment["entrypoint"].partition(":")
        source = (ROOT / file).read_text()
        signature = source.partition(f"def {function}(")[2].partition(") ->")[0]
        for name in deployment.get("parameters", ()):
            assert re.search(rf"\b{name}: ", signature), name
        assert deployment["work_pool"]["name"] == "local"


def test_kubernetes_takes_secrets_by_reference_only():
    found = [c for path in (INFRA / "kubernetes").glob("*.yaml") for d in documents(path) for c in containers(d)]
    assert len(found) == 6
    for container in found:
        assert container["image"] == found[0]["image"]
        for variable in container["env"]:
            assert "value" not in variable or not SECRET.search(variable["name"]), variable
        settings_of_all = [{"configMapRef": {"name": "scriptorium"}}]
        assert container.get("envFrom", settings_of_all if container["name"] == "prefect" else []) == settings_of_all
    settings = documents(INFRA / "kubernetes" / "prefect-worker.yaml")[0]
    assert settings["metadata"]["name"] == "scriptorium"
    assert not any(SECRET.search(name) for name in settings["data"])


def test_compose_names_services_volumes_and_profiles_that_exist():
    compose = documents(INFRA / "compose.yaml")[0]
    services = compose["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= services.keys(), name
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= compose["volumes"].keys(), name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        for variable, value in service.get("environment", {}).items():
            assert not SECRET.search(variable) or value.startswith("${"), variable


def test_the_image_copies_files_that_exist_and_is_no_root():
    lines = (INFRA / "Dockerfile").read_text().splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert "USER scriptorium" in lines
