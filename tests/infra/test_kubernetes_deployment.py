"""The deployment file for Kubernetes: its settings are taken, and its account may do what discovery asks for."""

import tomllib
from pathlib import Path
from typing import Any

import yaml

from modelcast.infra.settings import Settings
from modelcast.infra.settings_fleets import KubernetesDiscovery

FILE = Path(__file__).parents[2] / "infra" / "deploy" / "kubernetes" / "region.yaml"
OBJECTS: dict[str, dict[str, Any]] = {each["kind"]: each for each in yaml.safe_load_all(FILE.read_text())}


def test_its_settings_discover_the_pods_of_its_service_by_the_port_that_it_names() -> None:
    settings = Settings.model_validate(tomllib.loads(OBJECTS["ConfigMap"]["data"]["modelcast.toml"]))
    (_, fleet) = settings.region("eu").fleets
    assert isinstance(fleet.discover, KubernetesDiscovery)
    service = OBJECTS["Service"]
    assert fleet.discover.service == service["metadata"]["name"]
    assert fleet.discover.port in {port["name"] for port in service["spec"]["ports"]}
    assert service["spec"]["clusterIP"] == "None"


def test_its_account_may_list_and_watch_endpoint_slices_of_its_namespace_and_nothing_else() -> None:
    (rule,) = OBJECTS["Role"]["rules"]
    assert (rule["apiGroups"], rule["resources"]) == (["discovery.k8s.io"], ["endpointslices"])
    assert {"list", "watch"} <= set(rule["verbs"]) <= {"get", "list", "watch"}
    (subject,) = OBJECTS["RoleBinding"]["subjects"]
    pod = OBJECTS["Deployment"]["spec"]["template"]["spec"]
    assert subject["name"] == pod["serviceAccountName"] == OBJECTS["ServiceAccount"]["metadata"]["name"]
    assert len({each["metadata"]["namespace"] for each in OBJECTS.values()}) == 1
