"""The rules of docker/kubernetes/cadmill.yaml: valid by the schemas of Kubernetes, and what compose.yml runs."""

from __future__ import annotations

from typing import Any

import kubernetes_validate
import pytest
import yaml

from api.cli.processes import Shape, table
from foundation.settings import Settings
from tests.docker import compose
from tests.docker.image import DOCKER
from tests.stack import ROOT

DOCUMENTS = yaml.safe_load((DOCKER / "kubernetes" / "cadmill.yaml").read_text())["items"]
PODS = {
    document["metadata"]["name"].removeprefix("cadmill-"): document["spec"]["template"]["spec"]
    for document in DOCUMENTS
    if "template" in document["spec"]
}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: f"{document['kind']}-{document['metadata']['name']}")
def test_every_document_is_valid_by_the_schemas_of_kubernetes(document: dict[str, Any]) -> None:
    kubernetes_validate.validate(document, "1.34", strict=True)
    broken = document | {"spec": document["spec"] | {"replica": 1}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(broken, "1.34", strict=True)


def test_every_pod_runs_what_compose_runs_without_rights() -> None:
    services = compose.services()
    for name, pod in PODS.items():
        service = services["beat-a" if name == "beat" else name]
        (container,) = pod["containers"]
        assert container["command"] == [word for word in service["command"] if word != "-E"], name
        assert container["image"] == service["image"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
        }  # fmt: skip
        assert "memory" in container["resources"]["limits"]
        held = {mount["name"] for mount in container["volumeMounts"]}
        assert held == {volume["name"] for volume in pod["volumes"]}


def test_no_pod_starts_with_a_door_left_open() -> None:
    text = (DOCKER / "kubernetes" / "cadmill.yaml").read_text()
    for pod in PODS.values():
        (container,) = pod["containers"]
        assert {"name": "CADMILL_PRODUCTION", "value": "1"} in container["env"]
    for variable in ("ADMIN_TOKEN", "CADMILL_SECRET"):
        assert f"--from-literal={variable}=" in text, "the secret has what production asks for"


def test_every_grace_period_is_longer_than_what_runs_in_it() -> None:
    settings = Settings()
    needed = {"compute": settings.process.grace_seconds + 5, "courier": settings.webhook.timeout_seconds + 10, "api": 5 + 5 + 5 + 5}
    needed["grpc"] = 5 + settings.grpc.grace_seconds + 2 + 5
    shape = Shape(ROOT, 3, 8000, 2, ("extraction",), ("webhooks",), None, 50051)
    ours = {process.name: process.grace for process in table(shape)}
    services = compose.services()
    for name, seconds in needed.items():
        assert PODS[name]["terminationGracePeriodSeconds"] >= seconds, name
        assert float(services[name]["stop_grace_period"].removesuffix("s")) >= min(seconds, 15), name
        if name != "api":
            assert ours[name] >= seconds, name


def test_an_api_is_asked_only_while_it_is_ready() -> None:
    (api,) = PODS["api"]["containers"]
    assert api["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert api["lifecycle"]["preStop"]["exec"]["command"][0] == "python", "the proxies must have stopped sending before it closes its door"
