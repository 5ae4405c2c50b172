"""Kubernetes' manifests against schemas: a field that Kubernetes or KubeRay does not know is an error, as is a type.

The schemas hold the fields that the manifests use, by hand from the API references of Kubernetes 1.33 and KubeRay 1.6.2
(docs.ray.io/en/master/cluster/kubernetes/references/api.html). Where the package kubernetes-validate is there (extra
`peers`), the same manifests and pods are held against Kubernetes' own OpenAPI schemas as well.
"""

import re

import pytest
import yaml
from jsonschema import Draft202012Validator, ValidationError

from infra.staging.compose_file import INFRA

MANIFESTS = sorted((INFRA / "kubernetes").glob("*.yaml"))
DOCUMENTS = [document for path in MANIFESTS for document in yaml.safe_load_all(path.read_text())]
NAME = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}
TEXT, COUNT, FLAG = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
QUANTITY = {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(m|[KMGT]i?)?$"}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}


def an_object(required="", **fields):
    """Closed: no other field is known."""
    return {
        "type": "object",
        "properties": fields,
        "required": required.split(),
        "additionalProperties": False,
    }


def a_list(item, least=0):
    return {"type": "array", "items": item, "minItems": least}


def a_map(value):
    return {"type": "object", "additionalProperties": value}


KEY = an_object("name key", name=NAME, key=TEXT)
VARIABLE = an_object("name", name=TEXT, value=TEXT, valueFrom=an_object(secretKeyRef=KEY, configMapKeyRef=KEY)) | {
    "oneOf": [{"required": ["value"]}, {"required": ["valueFrom"]}]
}
RESOURCES = an_object(requests=a_map(QUANTITY), limits=a_map(QUANTITY))
PROBE = an_object(httpGet=an_object("port", path=TEXT, port=PORT), tcpSocket=an_object("port", port=PORT))
CONTAINER = an_object(
    "name image",
    name=NAME,
    image=TEXT,
    command=a_list(TEXT, 1),
    args=a_list(TEXT, 1),
    env=a_list(VARIABLE),
    envFrom=a_list(an_object(configMapRef=an_object("name", name=NAME))),
    ports=a_list(an_object("containerPort", containerPort=PORT, name=NAME)),
    readinessProbe=PROBE,
    resources=RESOURCES,
    volumeMounts=a_list(an_object("name mountPath", name=NAME, mountPath=TEXT)),
)
MEMORY = an_object(medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY)
POD = an_object(
    "containers",
    containers=a_list(CONTAINER, 1),
    enableServiceLinks=FLAG,
    terminationGracePeriodSeconds=COUNT,
    volumes=a_list(
        an_object("name", name=NAME, emptyDir=an_object(medium={"enum": ["", "Memory"]}, sizeLimit=QUANTITY))
    ),
)
META = an_object("name", name=NAME, labels=a_map(TEXT))
TEMPLATE = an_object("spec", metadata=an_object(labels=a_map(TEXT)), spec=POD)
GROUP = an_object(
    "groupName rayStartParams template",
    groupName=NAME,
    replicas=COUNT,
    minReplicas=COUNT,
    maxReplicas=COUNT,
    rayStartParams=a_map(TEXT),
    template=TEMPLATE,
)
SPECS = {
    ("v1", "Service"): an_object(
        "selector ports", selector=a_map(TEXT), ports=a_list(an_object("port", port=PORT, targetPort=PORT), 1)
    ),
    ("apps/v1", "Deployment"): an_object(
        "selector template",
        replicas=COUNT,
        strategy=an_object("type", type={"enum": ["Recreate", "RollingUpdate"]}),
        selector=an_object("matchLabels", matchLabels=a_map(TEXT)),
        template=TEMPLATE,
    ),
    ("ray.io/v1", "RayCluster"): an_object(
        "headGroupSpec",
        rayVersion=TEXT,
        authOptions=an_object(mode={"enum": ["disabled", "token"]}, secretName=NAME, enableK8sTokenAuth=FLAG),
        enableInTreeAutoscaling=FLAG,
        autoscalerOptions=an_object(idleTimeoutSeconds=COUNT),
        headGroupSpec=an_object("template", rayStartParams=a_map(TEXT), template=TEMPLATE),
        workerGroupSpecs=a_list(GROUP),
    ),
}


def check(document):
    """Raises ValidationError, KeyError for a kind that no manifest of ours is of."""
    about = {"apiVersion": TEXT, "kind": TEXT, "metadata": META}
    if document["kind"] == "ConfigMap":
        schema = an_object("apiVersion kind metadata data", **about, data=a_map(TEXT))
    else:
        spec = SPECS[document["apiVersion"], document["kind"]]
        schema = an_object("apiVersion kind metadata spec", **about, spec=spec)
    Draft202012Validator(schema).validate(document)


def named(document):
    return f"{document['kind']}-{document['metadata']['name']}"


def templates(value):
    if isinstance(value, dict):
        yield from [value["template"]] if "template" in value else []
        value = list(value.values())
    for each in value if isinstance(value, list) else ():
        yield from templates(each)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_a_manifest_is_what_kubernetes_and_kuberay_take(document):
    check(document)


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_a_manifest_is_valid_by_kubernetes_own_schemas(document):
    peer = pytest.importorskip("kubernetes_validate")
    if document["kind"] != "RayCluster":
        peer.validate(document, "1.33", strict=True)
    for template in templates(document):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": template["spec"]}
        peer.validate(pod, "1.33", strict=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("secretName: scriptorium", "secret: scriptorium"),
        ("mode: token", "mode: tokens"),
        ('num-cpus: "0"', "num-cpus: 0"),
        ("maxReplicas: 8", 'maxReplicas: "8"'),
        ("rayStartParams: {}", "rayStartParameters: {}"),
        ("containerPort: 6379", "containerPort: 637900"),
        ("secretKeyRef: {name: scriptorium, key: AWS_ACCESS_KEY_ID}", "secretKeyRef: {name: scriptorium}"),
        ("groupName: cpu", "groupName: CPU group"),
    ],
)
def test_what_is_wrong_is_found(old, new):
    text = (INFRA / "kubernetes" / "ray-cluster.yaml").read_text()
    assert old in text
    with pytest.raises(ValidationError):
        check(yaml.safe_load(text.replace(old, new)))


def test_selectors_find_pods_of_their_own_and_services_ports_that_are_open():
    deployments = {d["metadata"]["name"]: d["spec"] for d in DOCUMENTS if d["kind"] == "Deployment"}
    for spec in deployments.values():
        assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    for service in (d for d in DOCUMENTS if d["kind"] == "Service"):
        (found,) = [
            spec["template"]
            for spec in deployments.values()
            if service["spec"]["selector"].items() <= spec["template"]["metadata"]["labels"].items()
        ]
        open_ports = {p["containerPort"] for c in found["spec"]["containers"] for p in c["ports"]}
        assert {p["port"] for p in service["spec"]["ports"]} <= open_ports


def test_a_variable_stands_after_those_that_it_is_put_together_from():
    """Kubernetes leaves $(NAME) as it is where NAME comes later, or not at all."""
    (settings,) = [{*d["data"]} for d in DOCUMENTS if d["kind"] == "ConfigMap"]
    for template in (t for d in DOCUMENTS for t in templates(d)):
        for container in template["spec"]["containers"]:
            known = set(settings) if "envFrom" in container else set()
            for variable in container.get("env", ()):
                assert {*re.findall(r"\$\((\w+)\)", variable.get("value", ""))} <= known
                known.add(variable["name"])
            for part in (*container.get("command", ()), *container.get("args", ())):
                assert {*re.findall(r"\$\((\w+)\)", part)} <= known
