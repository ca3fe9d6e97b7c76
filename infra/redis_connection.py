"""How Redis is reached, for readers and writers of the live view; and what its errors mean."""

from pathlib import Path
from typing import Any

import redis

from modelcast.infra.settings import Settings
from modelcast.schemas.errors import RedisUnavailable, UsageError

ERRORS = (redis.RedisError, OSError, TimeoutError)
_OTHER_WORDS = ("SSL", "closed by server", "reset by peer", "Timeout connecting")
"""In what a client says whose server does not understand it."""
TLS_SCHEME = "rediss://"


def connection_options(settings: Settings) -> dict[str, Any]:
    """What a client is made with: ``Redis.from_url(**connection_options(settings))``.

    Raises:
        UsageError: the CA's file can't be read, or is set for a connection without TLS.
    """
    here = settings.redis
    url = here.url.get_secret_value()
    options: dict[str, Any] = {
        "url": url,
        "socket_timeout": here.timeout_seconds,
        "socket_connect_timeout": here.timeout_seconds,
    }
    if here.ssl_ca_location is None:
        return options
    if not url.startswith(TLS_SCHEME):
        hint = "write rediss://… in redis.url, or remove redis.ssl_ca_location"
        raise UsageError("redis.ssl_ca_location is set, but redis.url is not over TLS", hint=hint)
    _check_readable(here.ssl_ca_location)
    return options | {"ssl_ca_certs": str(here.ssl_ca_location)}


def _check_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as error:
        message = error.strerror or str(error)
        hint = "name the CA's file, in PEM format"
        raise UsageError(
            message[:1].lower() + message[1:], subject=f"redis.ssl_ca_location: {path}", hint=hint
        ) from None


def redis_unavailable(error: BaseException) -> RedisUnavailable:
    """The error that Redis' own one means, with a hint that fits. The URL, which may hold a password, is left out."""
    text = str(error) or type(error).__name__
    hint = "is it up? set MODELCAST_REDIS__URL; the view refills itself"
    if isinstance(error, redis.AuthenticationError | redis.exceptions.NoPermissionError) or "NOAUTH" in text:
        hint = "check the user and the password in redis.url"
    elif "CERTIFICATE_VERIFY_FAILED" in text or "certificate verify failed" in text:
        hint = "redis.ssl_ca_location must name the CA that signed the server's certificate, which must name its host"
    elif any(word in text for word in _OTHER_WORDS):
        hint = "is it up, and is its protocol that of redis.url (rediss:// is TLS, redis:// is not)?"
    return RedisUnavailable(f"Redis: {text}"[:300], hint=hint)


def server_info(settings: Settings) -> dict[str, Any]:
    """What the server says of itself.

    Raises:
        RedisUnavailable: it does not answer.
    """
    client = redis.Redis.from_url(**connection_options(settings))
    try:
        return {**_info(client, "server"), **_info(client, "memory")}
    except ERRORS as error:
        raise redis_unavailable(error) from error
    finally:
        client.close()


def _info(client: "redis.Redis", section: str) -> dict[str, Any]:
    found: dict[str, Any] = client.info(section)
    return found
