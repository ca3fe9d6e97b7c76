"""Settings: what makes no sense is known before anything connects."""

from pathlib import Path

import pytest

from modelcast.infra.settings import load_settings
from modelcast.infra.settings_fleets import DnsDiscovery
from modelcast.schemas.errors import UsageError


@pytest.mark.parametrize("url", ["cache", "http://cache:6379", "redis://:secret@cache:port", "redis://"])
def test_an_address_that_no_redis_has_is_refused_without_its_password(
    monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("MODELCAST_REDIS__URL", url)
    with pytest.raises(UsageError, match=r"redis\.url") as refused:
        load_settings()
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://cache", "rediss://user:secret@cache:6380/1", "unix:///run/redis.sock"])
def test_every_kind_of_redis_address_is_taken(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MODELCAST_REDIS__URL", url)
    assert load_settings().redis.url.get_secret_value() == url


@pytest.mark.parametrize("url", ["pod-0:8080", "http://pod-0:port", "ftp://pod-0", "http://"])
def test_an_address_that_no_pod_has_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MODELCAST_REGIONS__EU__PODS", f'["http://pod-1:8080/base", "{url}"]')
    with pytest.raises(UsageError, match=r"regions\.eu\.pods"):
        load_settings()


@pytest.mark.parametrize("steps", [0, -1])
def test_a_delta_from_no_older_version_is_refused_with_what_to_write(
    monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    monkeypatch.setenv("MODELCAST_PUBLISH__DELTA_BASES", f"[1, {steps}]")
    with pytest.raises(UsageError, match=rf"publish\.delta_bases: {steps} is .* 1 is the one before") as refused:
        load_settings()
    assert "mend it" in refused.value.hint
    monkeypatch.setenv("MODELCAST_PUBLISH__DELTA_BASES", "[1, 3]")
    assert load_settings().publish.delta_bases == (1, 3)


def test_the_pods_of_a_region_are_those_of_its_fleets_and_of_the_short_form(tmp_path: Path) -> None:
    (tmp_path / "modelcast.toml").write_text(
        '[regions.eu]\npods = ["http://a:1"]\n[[regions.eu.fleet]]\npods = ["http://b:1"]\n'
        '[[regions.eu.fleet]]\nkind = "v2"\npods = ["http://c:1"]\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        region = load_settings().region("eu")
    assert region.pod_urls == ("http://a:1", "http://b:1", "http://c:1")
    assert [fleet.kind for fleet in region.fleets] == ["modelcast", "modelcast", "v2"]


@pytest.mark.parametrize(
    ("fleet", "named"),
    [
        ('[{"kind": "triton", "pods": []}]', r"fleet\.0\.kind"),
        ('[{"pods": ["pod:8080"]}]', r"fleet\.0\.pods"),
        ('[{"kind": "v2"}]', r"fleet\.0: name its pods .* or say how they are discovered"),
        (
            '[{"pods": ["http://b:1"], "discover": {"by": "registration"}}]',
            r"fleet\.0: write pods or discover, not both",
        ),
        ('[{"discover": {"by": "consul"}}]', r"fleet\.0\.discover: .*'registration', 'file', 'dns', 'kubernetes'"),
        ('[{"discover": {"by": "registration", "every": 5}}]', r"discover\.registration\.every: no such setting"),
        ('[{"kind": "v2", "discover": {"by": "registration"}}]', "servers of kind v2 register nowhere"),
        ('[{"discover": {"by": "file", "path": "/pods.yml"}}]', r"end it in \.json or \.toml"),
        ('[{"discover": {"by": "dns", "name": "pods"}}]', "A records name no port: set port"),
        ('[{"discover": {"by": "dns", "name": "p", "record": "SRV", "port": 1}}]', "leave port out"),
        ('[{"discover": {"by": "dns", "name": "p", "port": 1, "nameservers": ["ns"]}}]', "'ns' is no address"),
        ('[{"discover": {"by": "kubernetes", "service": "Pods"}}]', r"discover\.kubernetes\.service"),
        ('[{"discover": {"by": "kubernetes", "service": "p", "ca_file": "/ca"}}]', "go with api_url"),
        (
            '[{"discover": {"by": "registration"}}, {"discover": {"by": "registration"}}]',
            "discovered twice: registration",
        ),
        ('[{"pods": ["http://a:1/"]}]', "named twice: http://a:1"),
    ],
)
def test_a_fleet_that_makes_no_sense_is_refused(monkeypatch: pytest.MonkeyPatch, fleet: str, named: str) -> None:
    monkeypatch.setenv("MODELCAST_REGIONS__EU__PODS", '["http://a:1"]')
    monkeypatch.setenv("MODELCAST_REGIONS__EU__FLEET", fleet)
    with pytest.raises(UsageError, match=named):
        load_settings()


def test_a_fleets_pods_may_be_discovered_in_four_ways(tmp_path: Path) -> None:
    (tmp_path / "modelcast.toml").write_text(
        '[regions.eu]\n[[regions.eu.fleet]]\ndiscover = { by = "registration" }\n'
        '[[regions.eu.fleet]]\ndiscover = { by = "file", path = "/etc/pods.toml" }\n'
        '[[regions.eu.fleet]]\nkind = "v2"\n'
        'discover = { by = "dns", name = "pods", port = 80, nameservers = ["10.0.0.2", "[fd00::2]:5353", "fd00::3"] }\n'
        '[[regions.eu.fleet]]\ndiscover = { by = "kubernetes", service = "pods", namespace = "models", port = "web" }\n'
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        fleets = load_settings().region("eu").fleets
    assert [fleet.label for fleet in fleets] == [
        "settings",
        "registration",
        "file /etc/pods.toml",
        "dns A pods:80",
        "kubernetes models/pods:web",
    ]
    assert isinstance(fleets[3].discover, DnsDiscovery)
    assert fleets[3].discover.resolvers == (("10.0.0.2", 53), ("fd00::2", 5353), ("fd00::3", 53))
