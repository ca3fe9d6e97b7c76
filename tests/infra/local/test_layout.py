"""The stack's shape and the settings that point at it."""

from pathlib import Path

import pytest

from modelcast.infra.local.layout import (
    CONFIG_FILE,
    check_shape,
    dashboard_url,
    inherited_env,
    modelcast_daemons,
    settings_env,
)
from modelcast.infra.local.ports import HIGHEST, LOWEST
from modelcast.infra.settings import load_settings
from modelcast.schemas.errors import UsageError


def env(directory: Path) -> dict[str, str]:
    (directory / CONFIG_FILE).touch()  # the stack does
    return settings_env(
        directory=directory,
        regions=("eu", "us"),
        daemons=modelcast_daemons(directory, ("eu", "us"), 2),
        bootstrap_servers="127.0.0.1:9092",
        redis_url="redis://127.0.0.1:6379/0",
        endpoint_url="http://127.0.0.1:9000",
    )


def test_settings_read_what_the_stack_exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported = env(tmp_path)
    for name, value in exported.items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert settings.redis.url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert settings.store("origin").url == "s3://modelcast-origin"
    assert settings.store("origin").endpoint_url == "http://127.0.0.1:9000"
    assert set(settings.regions) == {"eu", "us"}
    tokens = set()
    for name in ("eu", "us"):
        region = settings.region(name)
        assert region.store is not None
        assert region.store.url == f"s3://modelcast-{name}"
        assert len(region.pods) == 2
        assert region.cache_dir == tmp_path / "regions" / name / "cache"
        assert region.token is not None
        tokens.add(region.token.get_secret_value())
    assert len(tokens) == 2
    assert dashboard_url(exported) == f"http://127.0.0.1:{settings.dashboard.port}/"


def test_every_daemon_has_a_port_of_its_own_outside_the_range_for_outgoing_connections(tmp_path: Path) -> None:
    daemons = modelcast_daemons(tmp_path, ("eu", "us", "ap"), 2)
    assert [daemon.name for daemon in daemons[:4]] == ["tracker", "dashboard", "region-eu", "pod-eu-0"]
    assert len(daemons) == 11
    assert len({daemon.port for daemon in daemons}) == 11
    assert all(LOWEST <= daemon.port <= HIGHEST for daemon in daemons)


def test_an_existing_no_proxy_keeps_its_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet,localhost")
    assert env(tmp_path)["NO_PROXY"] == "intranet,localhost,127.0.0.1"


def test_daemons_do_not_inherit_what_points_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAST_KAFKA__BOOTSTRAP_SERVERS", "production:9092")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("MODELCAST_CACHE_DIR", "/cache")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:3128")
    inherited = inherited_env()
    assert "MODELCAST_KAFKA__BOOTSTRAP_SERVERS" not in inherited
    assert "AWS_PROFILE" not in inherited
    assert inherited["MODELCAST_CACHE_DIR"] == "/cache"
    assert inherited["HTTPS_PROXY"] == "http://proxy:3128"


@pytest.mark.parametrize(
    ("regions", "pods"),
    [
        ((), 1),
        ("eu", 1),
        (("eu", "eu"), 1),
        (("EU",), 1),
        (("eu-west",), 1),
        (("../x",), 1),
        (("eu",), 0),
        (("eu",), 21),
    ],
)
def test_shapes_that_make_no_sense_are_refused(regions: tuple[str, ...], pods: int) -> None:
    with pytest.raises(UsageError):
        check_shape(regions, pods)


def test_a_settings_file_of_the_working_folder_does_not_reach_into_the_stack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "project"
    elsewhere.mkdir()
    (elsewhere / "modelcast.toml").write_text('[kafka]\nsecurity_protocol = "SSL"\n[regions.tokyo]\n')
    monkeypatch.chdir(elsewhere)
    for name, value in env(tmp_path).items():
        monkeypatch.setenv(name, value)
    settings = load_settings()
    assert settings.kafka.security_protocol == "PLAINTEXT"
    assert "tokyo" not in settings.regions
