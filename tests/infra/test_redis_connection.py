"""Redis over TLS with a company's own CA; what is wrong is named with its setting, and no password is told."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from modelcast.infra.local.servers.redis import RedisServer
from modelcast.infra.redis_connection import connection_options, server_info
from modelcast.infra.redis_view import RedisMirror, RedisView
from modelcast.infra.settings import RedisSettings, Settings
from modelcast.schemas.errors import RedisUnavailable, UsageError
from tests.support.network.tls import TlsFront, make_authority

pytestmark = pytest.mark.integration

PASSWORD = "a password that nobody may see"


def settings(url: str, ca: Path | None = None, seconds: float = 5) -> Settings:
    return Settings(redis=RedisSettings(url=url, ssl_ca_location=ca, timeout_seconds=seconds))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis that asks for a password."""
    server = RedisServer.start(tmp_path_factory.mktemp("redis"))
    client = redis.Redis.from_url(server.url)
    client.config_set("requirepass", PASSWORD)
    client.close()
    yield server
    server.child.stop()


@pytest.fixture
def front(guarded: RedisServer, tmp_path: Path) -> Iterator[tuple[TlsFront, Path]]:
    ca, certificate = make_authority(tmp_path / "company")
    with TlsFront(f"http://127.0.0.1:{guarded.port}", certificate) as made:
        yield made, ca


async def test_both_sides_of_the_view_speak_tls_with_an_own_ca(front: tuple[TlsFront, Path]) -> None:
    server, ca = front
    here = settings(f"rediss://:{PASSWORD}@127.0.0.1:{server.port}/0", ca)
    mirror = RedisMirror(here, "registry")
    assert await mirror.take_fence() > 0
    await mirror.close()
    with RedisView(here, "registry") as view:
        assert view.models() == []
    assert server_info(here)["redis_version"]


def test_a_wrong_ca_is_named_with_its_setting(front: tuple[TlsFront, Path], tmp_path: Path) -> None:
    server, _ = front
    other, _ = make_authority(tmp_path / "another")
    with pytest.raises(RedisUnavailable) as refused:
        server_info(settings(f"rediss://:{PASSWORD}@127.0.0.1:{server.port}/0", other))
    assert "redis.ssl_ca_location" in refused.value.hint
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("credentials", [":wrong@", ""])
def test_a_wrong_or_missing_password_is_named_and_not_told(guarded: RedisServer, credentials: str) -> None:
    with pytest.raises(RedisUnavailable) as refused:
        server_info(settings(f"redis://{credentials}127.0.0.1:{guarded.port}/0"))
    assert refused.value.hint == "check the user and the password in redis.url"
    assert ":wrong" not in str(refused.value)


def test_plain_words_to_a_server_that_speaks_tls_are_named(front: tuple[TlsFront, Path]) -> None:
    with pytest.raises(RedisUnavailable) as refused:
        server_info(settings(f"redis://127.0.0.1:{front[0].port}/0"))
    assert "rediss://" in refused.value.hint


def test_tls_to_a_server_that_speaks_none_is_named(guarded: RedisServer) -> None:
    with pytest.raises(RedisUnavailable) as refused:
        server_info(settings(f"rediss://127.0.0.1:{guarded.port}/0", seconds=1))  # which never answers
    assert "redis.url" in refused.value.hint


@pytest.mark.parametrize(
    ("url", "ca", "told"),
    [
        ("redis://here", "/ca.pem", "redis.url is not over TLS"),
        ("rediss://here", "/nowhere/ca.pem", "redis.ssl_ca_location: /nowhere/ca.pem: no such file"),
    ],
)
def test_a_ca_that_cannot_be_used_is_refused_before_anything_connects(url: str, ca: str, told: str) -> None:
    with pytest.raises(UsageError) as refused:
        connection_options(settings(url, Path(ca)))
    assert told in str(refused.value)
    assert refused.value.hint
