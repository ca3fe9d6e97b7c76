"""One cause, one message: what the real Alertmanager keeps quiet, and what it does not."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.infra.monitoring.test_alerts import MONITORING
from tests.support.servers.prometheus import Alertmanager
from tests.support.waiting import until

pytestmark = pytest.mark.real

PAGE, TICKET = {"severity": "page"}, {"severity": "ticket"}
STOPPED = {"alertname": "ConsumerStopped", **PAGE}


def region(name: str, region: str, **labels: str) -> Mapping[str, str]:
    return {"alertname": name, "region": region, **PAGE, **labels}


CASES: dict[str, tuple[list[Mapping[str, str]], dict[str, set[str]]]] = {
    "many silent regions speak for each": (
        [{"alertname": "ManyRegionsSilent", **PAGE}, region("RegionSilent", "eu"), region("RegionLate", "us")],
        {"ManyRegionsSilent": {"active"}, "RegionSilent": {"suppressed"}, "RegionLate": {"suppressed"}},
    ),
    "a silent region speaks for what is its own, and not for another's": (
        [
            region("RegionSilent", "eu"),
            region("RegionLate", "eu"),
            region("ConsumerStopped", "eu", group="modelcast-region-eu"),
            region("ConsumerLag", "us", group="modelcast-region-us"),
        ],
        {
            "RegionSilent": {"active"},
            "RegionLate": {"suppressed"},
            "ConsumerStopped": {"suppressed"},
            "ConsumerLag": {"active"},
        },
    ),
    "a tracker that is not there speaks for what it does not write and read": (
        [
            {"alertname": "TrackerAbsent", **PAGE},
            {"alertname": "StateStale", "model": "fraud", **PAGE},
            {**STOPPED, "group": "modelcast-tracker"},
            {**STOPPED, "alertname": "ConsumerLag", "group": "modelcast-region-eu", "region": "eu"},
        ],
        {
            "TrackerAbsent": {"active"},
            "StateStale": {"suppressed"},
            "ConsumerStopped": {"suppressed"},
            "ConsumerLag": {"active"},
        },
    ),
    "who is woken gets no ticket for the same model, and one for another": (
        [
            {"alertname": "ModelLate", "model": "fraud", **PAGE},
            {"alertname": "ModelOftenLate", "model": "fraud", **TICKET},
            {"alertname": "ModelOftenLate", "model": "churn", **TICKET},
        ],
        {"ModelLate": {"active"}, "ModelOftenLate": {"active", "suppressed"}},
    ),
}


@pytest.mark.parametrize(("alerts", "expected"), CASES.values(), ids=CASES)
def test_one_cause_is_told_once(tmp_path: Path, alerts: list[Mapping[str, str]], expected: dict[str, set[str]]) -> None:
    alertmanager = Alertmanager(tmp_path / "alertmanager", MONITORING / "alertmanager.yml")
    try:
        alertmanager.post(*alerts)
        until(lambda: alertmanager.states() == expected, lambda: str(alertmanager.states()), 30)
    finally:
        alertmanager.stop()
