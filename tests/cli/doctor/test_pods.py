"""Doctor looks at every pod, named or discovered, and says what keeps it from finding them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelcast.cli.doctor.checks import Check, Result
from modelcast.cli.doctor.pods import units
from modelcast.infra.settings import RegionSettings, Settings
from tests.support.servers.http_server import ScriptedServer


@pytest.fixture
def pod_url() -> Iterator[str]:
    with ScriptedServer(lambda request: (200 if request.path == "/v2/health/ready" else 404, {}, b"")) as server:
        yield server.url


def found(fleet: dict[str, object]) -> list[Check]:
    region = RegionSettings.model_validate({"fleet": [fleet]})
    return [check for unit in units(Settings(regions={"eu": region})) for check in unit.look()]


def test_a_discovered_fleet_is_looked_at_once_and_each_of_its_pods_is_asked(tmp_path: Path, pod_url: str) -> None:
    path = tmp_path / "pods.json"
    path.write_text(json.dumps([{"name": "eu-0", "url": pod_url}, "http://127.0.0.1:1"]))
    fleet, ready, away = found({"discover": {"by": "file", "path": str(path)}})
    assert (fleet.subject, fleet.result, fleet.detail) == (f"fleet eu file {path}", Result.ok, "2 pods")
    assert (ready.subject, ready.result) == (f"pod eu eu-0 {pod_url}", Result.ok)
    assert (away.subject, away.result) == ("pod eu http://127.0.0.1:1", Result.unreachable)


def test_a_fleet_that_can_not_be_looked_at_is_unreachable_and_one_without_pods_a_warning(tmp_path: Path) -> None:
    path = tmp_path / "pods.json"
    fleet: dict[str, object] = {"discover": {"by": "file", "path": str(path)}}
    (check,) = found(fleet)
    assert (check.result, check.detail) == (Result.unreachable, "No such file or directory")
    path.write_text("[]")
    (check,) = found(fleet)
    assert (check.result, check.detail) == (Result.warning, "no pods")


def test_registrations_without_a_bucket_and_a_cluster_that_is_none_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    (check,) = found({"discover": {"by": "registration"}})
    assert (check.result, check.detail) == (Result.error, "pods that register themselves need their region's bucket")
    (check,) = found({"discover": {"by": "kubernetes", "service": "pods"}})
    assert check.detail == "this process does not run in a Kubernetes cluster"
