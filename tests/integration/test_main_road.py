"""From a folder to every pod and back again, with the commands that people type."""

import json
from pathlib import Path

import pytest

from modelcast.infra.local.stack import LocalStack
from tests.support.processes.command_line import CommandLine, pods_of, predicts

pytestmark = pytest.mark.integration


def test_versions_are_published_served_looked_at_and_rolled_back(modelcast: CommandLine, stack: LocalStack) -> None:
    pods = pods_of(stack.env)
    first = modelcast("publish", "fraud", modelcast.model(10), "--wait", "-o", "json", "--metric", "auc=0.91").json
    assert (first["version"], first["generation"], first["outcome"]) == (1, 1, "published")
    assert [predicts(pod, "fraud") for pod in pods] == [(1, 10.0), (1, 10.0)]

    second = modelcast("publish", "fraud", modelcast.model(20), "--label", "git=4f2c1a", "-o", "json").json
    assert "served" not in second["outcome"]
    waited = modelcast("wait", "fraud/2", "-o", "json").json
    assert sorted(waited["regions"]) == ["eu", "us"]
    assert [predicts(pod, "fraud") for pod in pods] == [(2, 20.0), (2, 20.0)]

    seen = modelcast("get", "fraud", "-o", "json").json
    assert seen["state"]["consistent_version"] == 2
    assert {r["region"]: (r["state"], r["served_version"]) for r in seen["state"]["regions"]} == {
        "eu": ("SERVING", 2),
        "us": ("SERVING", 2),
    }
    assert 0 <= seen["age_seconds"] < 60
    assert "fraud" in {s["state"]["model"] for s in modelcast("get", "-o", "json").json}
    assert {row["region"] for row in modelcast("get", "regions", "-o", "json").json} >= {"eu", "us"}
    assert len([p for p in modelcast("get", "pods", "-o", "json").json if p["model"] == "fraud"]) == 2
    assert "served by every pod" in modelcast("describe", "fraud/2").out
    assert modelcast("describe", "fraud", "-o", "json").json["state"]["model"] == "fraud"

    again = modelcast("publish", "fraud", modelcast.model(20), "-o", "json").json
    assert (again["version"], again["outcome"]) == (2, "already published")

    modelcast("rollback", "fraud", "--yes", "--reason", "the drill", "--wait")
    assert [predicts(pod, "fraud") for pod in pods] == [(1, 10.0), (1, 10.0)]

    history = modelcast("history", "fraud", "-o", "json").json
    assert [(h["generation"], h["kind"]) for h in history] == [
        (3, "ModelCommand"),
        (2, "ModelUpdate"),
        (1, "ModelUpdate"),
    ]
    assert (history[0]["entry"]["kind"], history[0]["entry"]["reason"]) == ("ROLLBACK", "the drill")
    assert history[0]["entry"]["requested_by"]
    assert history[2]["entry"]["metrics"] == {"auc": 0.91}


def test_a_version_is_inspected_named_and_pulled(modelcast: CommandLine, tmp_path: Path) -> None:
    folder = modelcast.model(30)
    published = modelcast("publish", "pulled", folder, "-o", "json").json
    modelcast("alias", "pulled/1", "champion", "--yes")

    seen = modelcast("inspect", "pulled@champion", "-o", "json").json
    assert seen["update"]["artifact"]["manifest_digest"] == published["manifest_digest"]
    assert [f["path"] for f in seen["files"]] == ["model.onnx"]
    assert seen["aliases"] == ["champion"]
    modelcast("pull", "models:/pulled/1", tmp_path / "here")
    assert (tmp_path / "here" / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()


@pytest.mark.soak
def test_a_staged_version_is_held_ready_and_served_when_told(modelcast: CommandLine, stack: LocalStack) -> None:
    pods = pods_of(stack.env)
    modelcast("publish", "held", modelcast.model(1), "--wait")
    modelcast("publish", "held", modelcast.model(2), "--activation", "staged", "--wait")
    assert {predicts(pod, "held") for pod in pods} == {(1, 1.0)}
    modelcast("activate", "held/2", "--yes", "--wait")
    assert {predicts(pod, "held") for pod in pods} == {(2, 2.0)}
    for again in (["activate", "held/2", "--wait"], ["rollback", "held", "--to", "2"], ["unpin", "held"]):
        assert "held: nothing to change" in modelcast(*again, "--yes").out
    assert [entry["generation"] for entry in modelcast("history", "held", "-o", "json").json] == [3, 2, 1]


@pytest.mark.soak
def test_a_pin_holds_a_region_and_the_rest_goes_on(modelcast: CommandLine, stack: LocalStack) -> None:
    eu, us = pods_of(stack.env)
    modelcast("publish", "pinned", modelcast.model(1), "--wait")
    modelcast("pin", "pinned/1", "--region", "eu", "--yes", "--reason", "audit")
    for view in ("describe", "get"):
        shown = modelcast(view, "pinned").out
        assert "eu: pinned to version 1 by " in shown
        assert "(audit)" in shown
    modelcast("publish", "pinned", modelcast.model(2), "--wait")
    assert (predicts(eu, "pinned"), predicts(us, "pinned")) == ((1, 1.0), (2, 2.0))
    state = modelcast("get", "pinned", "-o", "json").json["state"]
    assert state["consistent_version"] == 2
    assert {r["region"]: r["left_out"] for r in state["regions"]} == {"eu": "pinned", "us": ""}
    assert {r["region"]: r["pinned_version"] for r in state["regions"]} == {"eu": 1, "us": None}
    assert "eu: pinned to 1" in modelcast("get", "models").out
    assert "pinned pinned to 1" in modelcast("get", "regions").out
    regions = modelcast("get", "regions", "-o", "json").json
    held = {(r["region"], m["model"]): m["pinned_version"] for r in regions for m in r["models"]}
    assert (held["eu", "pinned"], held["us", "pinned"]) == (1, None)


@pytest.mark.soak
def test_placement_keeps_a_version_out_of_the_other_regions(modelcast: CommandLine, stack: LocalStack) -> None:
    eu, us = pods_of(stack.env)
    modelcast("publish", "placed", modelcast.model(1), "--region", "eu", "--wait")
    assert predicts(eu, "placed") == (1, 1.0)
    with pytest.raises(OSError, match="404"):
        predicts(us, "placed")


def test_doctor_finds_nothing_wrong_with_the_stack(modelcast: CommandLine) -> None:
    modelcast("publish", "checked", modelcast.model(1))
    found = modelcast("doctor", "-o", "json").json
    assert {check["subject"] for check in found} >= {"kafka", "kafka: partitioner", "redis", "registry"}
    assert {c["result"] for c in found if c["subject"] == "kafka: version"} == {"ok"}
    assert {check["result"] for check in found} <= {"ok", "warning", "skipped"}, json.dumps(found, indent=1)
