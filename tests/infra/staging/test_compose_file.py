"""What the compose file says is what staging runs, and Kubernetes runs the same."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from infra.errors import UserError
from infra.staging.compose_file import COMPOSE, fill_in, load_databases, load_image_environment, load_services

KUBERNETES = COMPOSE.parent / "kubernetes"
SET = {"POSTGRES_PASSWORD": "word", "RAY_AUTH_TOKEN": "token", "SCRIPTORIUM_ARTIFACTS": "s3://bucket/prefix"}
# Of a small team's compose file alone: KubeRay sets these on its pods, or the pod's ConfigMap has them from the start.
BY_KUBERAY = {"RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"}
PODS = {"prefect": "prefect", "mlflow": "mlflow", "worker": "worker", "ray": "ray-head", "ray-worker": "ray-worker"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("${A}", "1"),
        ("$A/x", "1/x"),
        ("${B:-two}", "two"),
        ("${A:-two}", "1"),
        ("${B}", ""),
        ("${EMPTY:-two}", "two"),
        ("$$A", "$A"),
        ("a ${A:?why} b", "a 1 b"),
    ],
)
def test_variables_are_filled_in(text, filled):
    assert fill_in([{"name": text}], {"A": "1", "EMPTY": ""}) == [{"name": filled}]


def test_a_variable_that_must_be_set_is_named():
    with pytest.raises(UserError, match="POSTGRES_PASSWORD is not set: export a password"):
        load_services({"RAY_AUTH_TOKEN": "token"})


def test_a_service_has_what_image_and_compose_file_say():
    worker = load_services(SET)["worker"]
    assert worker.command[:2] == ["sh", "-ec"]
    assert worker.environment["RAY_AUTH_TOKEN"] == "token"
    assert worker.environment["PREFECT_HOME"] == load_image_environment()["PREFECT_HOME"] == "/state/prefect"
    postgres = load_services(SET)["postgres"]
    assert "PREFECT_HOME" not in postgres.environment
    assert postgres.check == ["sh", "-c", "pg_isready -U prefect"]


def test_prefect_and_mlflow_keep_their_records_in_databases_that_are_made():
    services = load_services(SET)
    made = {services["postgres"].environment["POSTGRES_DB"], *re.findall(r"CREATE DATABASE (\w+)", load_databases())}
    urls = [
        services["prefect"].environment["PREFECT_API_DATABASE_CONNECTION_URL"],
        services["mlflow"].environment["MLFLOW_BACKEND_STORE_URI"],
    ]
    for url in urls:
        assert re.fullmatch(r"postgresql(\+asyncpg)?://prefect:word@postgres:5432/\w+", url)
    assert {url.rpartition("/")[2] for url in urls} == made


def documents():
    return [d for path in sorted(KUBERNETES.glob("*.yaml")) for d in yaml.safe_load_all(path.read_text())]


def pods():
    """Kubernetes' containers by name; of several with one name, the first."""
    found = {}

    def collect(value):
        if isinstance(value, dict):
            for container in value.get("containers", ()):
                found.setdefault(container["name"], container)
            value = list(value.values())
        for each in value if isinstance(value, list) else ():
            collect(each)

    collect(documents())
    return found


def config_map():
    (found,) = [d["data"] for d in documents() if d["kind"] == "ConfigMap"]
    return found


def variables(pod):
    return {variable["name"] for variable in pod.get("env", ())} | (config_map().keys() if "envFrom" in pod else set())


@pytest.mark.parametrize("name", ["prefect", "mlflow", "worker"])
def test_kubernetes_runs_the_same_command(name):
    pod = pods()[PODS[name]]
    command = [*pod["command"], *pod.get("args", ())]
    values = SET | config_map() | {"SCRIPTORIUM_ARTIFACTS": SET["SCRIPTORIUM_ARTIFACTS"]}
    assert [re.sub(r"\$\((\w+)\)", lambda found: values[found[1]], part) for part in command] == load_services(SET)[
        name
    ].command


@pytest.mark.parametrize("name", PODS)
def test_kubernetes_sets_the_same_variables(name):
    mine = load_services(SET)[name].environment.keys() - load_image_environment().keys()
    given = variables(pods()[PODS[name]])
    assert mine - given <= BY_KUBERAY
    assert given - mine <= {"POSTGRES_PASSWORD"}, "the URL of a database is put together in the pod"


def test_the_values_that_are_no_address_and_no_secret_are_the_same():
    compose = load_services({**SET, **{key: f"${{{key}}}" for key in ("AWS_DEFAULT_REGION",)}})["worker"].environment
    kubernetes = config_map()
    for name in ("PREFECT_API_URL", "MLFLOW_TRACKING_URI", "SCRIPTORIUM_CACHE", "SCRIPTORIUM_MLFLOW_PAGE"):
        assert compose[name] == kubernetes[name]
    servers = {v["name"]: v["value"] for v in pods()["prefect"]["env"] if "value" in v}
    for name, value in servers.items():
        told = load_services(SET)["prefect"].environment[name]
        assert value.replace("$(POSTGRES_PASSWORD)", SET["POSTGRES_PASSWORD"]) == told


def test_ray_starts_as_kuberay_starts_it():
    """KubeRay writes `ray start` itself, from the group's parameters: the head leads, the others join it by address."""
    services = load_services(SET)
    assert services["ray"].command[:3] == ["ray", "start", "--head"]
    assert services["ray-worker"].command[:4] == ["ray", "start", "--address", "ray:6379"]
    (cluster,) = [d for d in documents() if d["kind"] == "RayCluster"]
    assert cluster["spec"]["authOptions"]["mode"] == services["ray"].environment["RAY_AUTH_MODE"] == "token"
    key = {v["name"]: v for v in pods()["worker"]["env"]}["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert key == {"name": cluster["spec"]["authOptions"]["secretName"], "key": "auth_token"}


def test_every_service_of_ours_is_one_image():
    told = yaml.safe_load(COMPOSE.read_text())["services"]
    assert {told[name]["image"] for name in PODS} == {"scriptorium"}
    assert {pod["image"].rpartition("/")[2].partition(":")[0] for pod in pods().values()} == {"scriptorium"}


def test_there_is_no_schedule_but_prefects():
    assert not [d for d in documents() if d["kind"] in {"CronJob", "RayCronJob"}]
    (config,) = yaml.safe_load_all((COMPOSE.parent / "prefect.yaml").read_text())
    assert [d["name"] for d in config["deployments"] if "schedules" in d]


def test_the_image_has_what_postgresql_is_spoken_to_with():
    line = next(line for line in Path(COMPOSE.parent, "Dockerfile").read_text().splitlines() if "pip install" in line)
    assert "postgres" in re.search(r"\.\[([\w,]+)\]", shlex.join(shlex.split(line)))[1].split(",")
