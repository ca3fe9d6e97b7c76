"""How a serving pod is wired."""

from dataclasses import replace
from pathlib import Path

import pytest

from modelcast.cli import pod_sources
from modelcast.consumers.discovery.registrar import make_registrar
from modelcast.infra.settings import RegionSettings, StoreSettings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.errors import UsageError
from tests.agents.region.words import memory_of


def test_a_pod_fetches_as_its_region_is_set_to(tmp_path: Path) -> None:
    source = pod_sources.make_source(RegionSettings(fetch_threads=7), tmp_path)
    assert source._link is not None
    assert source._link.readers == 7


def test_a_pod_is_told_which_version_it_may_not_load_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = MemoryStore("region")
    monkeypatch.setattr(pod_sources, "store_of", lambda _: bucket)
    recalled = memory_of(1, 1, served_quarantined=2, log_quarantined=(1,))
    bucket.put("state/churn", replace(memory_of(1, 1), model="churn").encode())
    bucket.put("state/fraud", recalled.encode())
    found = pod_sources.RegionAspired(StoreSettings(url="s3://unused")).aspired()
    assert [(d.order.model, d.order.version, d.refused, d.quarantined) for d in found] == [
        ("churn", 1, "", frozenset()),
        ("fraud", 1, "fraud/1 is quarantined (generation 2): modelcast release fraud/1", {1}),
    ]


@pytest.mark.parametrize(
    ("name", "url", "store", "said"),
    [
        ("eu/0", "http://pod:8080", "s3://eu", "bad pod name 'eu/0'"),
        ("eu-0", "pod:8080", "s3://eu", "can't be advertised, 'pod:8080': write http://host:port"),
        ("eu-0", "http://pod:8080", "", "the settings name none"),
    ],
)
def test_a_pod_that_can_not_register_as_it_is_told_to_is_refused_at_start(
    name: str, url: str, store: str, said: str
) -> None:
    region = RegionSettings(store=StoreSettings(url=store) if store else None)
    with pytest.raises(UsageError, match=said):
        make_registrar(region, "eu", name, url)
