"""A person quarantines the only version there is: neither what people are shown nor a pod that restarts forgets it."""

import json
import urllib.error
import urllib.request

import pytest

from modelcast.infra.local.stack import LocalStack
from modelcast.infra.settings import Settings
from modelcast.producers.publish.publisher import Publisher
from modelcast.schemas.errors import Quarantined
from tests.support.processes.command_line import CommandLine, pods_of, predicts
from tests.support.waiting import until

pytestmark = pytest.mark.integration
MODEL = "recalled"


def readiness(pod: str) -> tuple[int, list[str]]:
    """What ``/readyz`` answers, and what it says to lack."""
    try:
        with urllib.request.urlopen(f"{pod}/readyz", timeout=10) as response:
            return response.status, []
    except urllib.error.HTTPError as error:
        return error.code, json.load(error).get("lacking", [])
    except OSError:
        return 0, []


@pytest.mark.soak
def test_a_quarantined_version_counts_as_served_nowhere_and_is_loaded_by_no_pod_until_it_is_released(
    modelcast: CommandLine, stack: LocalStack, settings: Settings
) -> None:
    folder = modelcast.model(8.25)
    modelcast("publish", MODEL, folder, "--wait")
    modelcast("quarantine", f"{MODEL}/1", "--yes", "--reason", "biased")
    asked = modelcast("wait", f"{MODEL}/1", "--timeout", "60s", code=4)  # at once: the log is asked, too
    assert "biased" in asked.err

    def alarm() -> str:
        told: str = modelcast("get", MODEL, "-o", "json").json["state"]["alarm"]
        return told

    until(lambda: "eu" in alarm() and "us" in alarm(), "both regions are told of", 60)
    assert "serve version 1, which is quarantined" in alarm()
    asked = modelcast("wait", f"{MODEL}/1", "--timeout", "60s", code=4)
    assert "eu: serves a quarantined version; us: serves a quarantined version" in asked.err
    again = modelcast("publish", MODEL, folder, "--wait", "--timeout", "60s", code=4)
    assert f"is quarantined: no region serves it before modelcast release {MODEL}/1" in again.err
    assert "serves a quarantined version" in again.err
    with Publisher(settings) as publisher:
        publication = publisher.publish(MODEL, folder)
        assert f"modelcast release {MODEL}/1" in publication.notes[0]
        with pytest.raises(Quarantined, match="serves a quarantined version"):
            publication.wait(timeout=60)

    pods = pods_of(stack.env)
    assert {predicts(pod, MODEL) for pod in pods} == {(1, 8.25)}, "pods that serve it go on"
    for name in [name for name in stack.services if name.startswith("pod-")]:
        stack.services[name].restart()
    why = f"{MODEL}/1 is quarantined (generation 2): modelcast release {MODEL}/1"
    for pod in pods:
        until(lambda pod=pod: readiness(pod) == (503, [why]), f"{pod} says why it is not ready", 60)  # type: ignore[misc]
    stack.services["region-eu"].restart()  # its next owner knows it from the state object
    modelcast("publish", "beside-recalled", modelcast.model(1.5), "--wait", "--timeout", "90s")
    assert [readiness(pod) for pod in pods] == [(503, [why])] * len(pods)

    modelcast("release", f"{MODEL}/1", "--yes", "--reason", "it was not")
    modelcast("wait", f"{MODEL}/1", "--timeout", "90s")
    assert {predicts(pod, MODEL) for pod in pods} == {(1, 8.25)}
    assert [readiness(pod) for pod in pods] == [(200, [])] * len(pods)
    assert alarm() == ""
