"""No log line shows a person's address, a token, a key or a password, whoever logs it and wherever it stands."""

import io
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import pytest
import structlog

from modelcast.infra.settings import LogSettings
from modelcast.infra.telemetry import logs
from modelcast.infra.telemetry.redaction import redacted

SECRET = "s3cr3tV4lue/+"
SHOWN = {
    "e-mail": ("asked by anna.lee+ops@mail.example.com, later", "asked by ***, later"),
    "password in a URL": (
        f"redis://app:{SECRET.replace('/', '')}@cache:6379/0 is down",
        "redis://***@cache:6379/0 is down",
    ),
    "password alone in a URL": ("redis://:hunter2@cache", "redis://***@cache"),
    "token in a URL": ("https://ghost@example.com/x.git", "https://***@example.com/x.git"),
    "bearer": (f"Authorization: Bearer {SECRET}", "Authorization: Bearer ***"),
    "basic": ("sent basic YWxhZGRpbjpvcGVu", "sent basic ***"),
    "assignment": (f"sasl.password={SECRET} is wrong", "sasl.password=*** is wrong"),
    "quoted": (f"{{'secret_access_key': '{SECRET}', 'n': 1}}", "{'secret_access_key': ***, 'n': 1}"),
    "json": (f'{{"api_key": "{SECRET}"}}', '{"api_key": ***}'),
    "presigned": (
        f"GET /b/k?X-Amz-Expires=60&X-Amz-Signature={SECRET}&x=1 X-Amz-Security-Token=abc",
        "GET /b/k?X-Amz-Expires=60&X-Amz-Signature=***&x=1 X-Amz-Security-Token=***",
    ),
    "variable": ("MODELCAST_POD_TOKEN=abc123", "MODELCAST_POD_TOKEN=***"),
    "id of a key": ("by AKIAIOSFODNN7EXAMPLE.", "by ***."),
    "json web token": ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "***"),
    "token of a forge": ("ghp_0123456789abcdefghij and hf_0123456789abcdefghij", "*** and ***"),
    "private key": (
        "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\nafter",
        "***\nafter",
    ),
    "half a private key": ("x -----BEGIN PRIVATE KEY-----\nMHcCAQEE\n", "x ***"),
}
HARMLESS = [
    "fraud@champion is version 7 of ann@desk",
    "s3://models-eu/registry/fraud/log/00000000000000000007",
    "http://127.0.0.1:9470/api/v1/models?after=3",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "kafka.sasl_password is set, but kafka.security_protocol PLAINTEXT has no use for it",
    "the token is not known: ask for one",
    "tokenizer.json: 3 tokens, token_seconds=5",
    "host:port a:b c=d 12:30:59.5",
]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.parametrize("what", SHOWN)
def test_it_is_masked(what: str) -> None:
    text, wanted = SHOWN[what]
    assert redacted(text) == wanted
    assert redacted(wanted) == wanted


@pytest.mark.parametrize("text", HARMLESS)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


@dataclass
class Login:
    user: str
    password: str


@pytest.mark.parametrize("format_", ["console", "json"])
def test_no_line_shows_a_secret_whoever_logs_it_and_wherever_it_stands(format_: Literal["console", "json"]) -> None:
    out = io.StringIO()
    logs.set_up(LogSettings(format=format_), stream=out, worker=f"w token={SECRET}")
    log = structlog.get_logger()
    log.info(f"password={SECRET}", token=SECRET, nested={"headers": [{"Authorization": f"Bearer {SECRET}"}]})
    log.info("tried", login=Login("ann", SECRET), body=f"token={SECRET}".encode(), at=(f"api_key={SECRET}",))
    log.warning("lost", error=ConnectionError(f"rediss://app:{SECRET.replace('/', '')}@cache: timed out"))
    logging.getLogger("another.library").warning("%s", f"secret={SECRET}", extra={"sasl_password": SECRET})
    try:
        raise ValueError(f"password={SECRET}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("another.library").exception("failed, too")
    shown = out.getvalue()
    assert len(shown.splitlines()) >= 6
    assert "s3cr3t" not in shown
    assert shown.count("***") >= 10
    assert "ann" in shown


def test_what_is_not_secret_is_logged_as_before() -> None:
    out = io.StringIO()
    logs.set_up(LogSettings(format="json"), stream=out)
    structlog.get_logger().info("done", count=3, share=0.5, ok=True, none=None, names=["a"], login=Login("ann", ""))
    line = logs.orjson.loads(out.getvalue())
    assert {k: line[k] for k in ("count", "share", "ok", "none", "names")} == {
        "count": 3, "share": 0.5, "ok": True, "none": None, "names": ["a"],
    }  # fmt: skip
    assert line["login"] == {"user": "ann", "password": ""}


def test_long_lines_take_little_time() -> None:
    for text in (
        "a" * 100_000,
        "a@" * 50_000,
        "token" * 20_000,
        "://" * 30_000,
        '"' * 100_000,
        "eyJ" * 30_000,
        "a." * 50_000,
    ):
        began = time.process_time()
        redacted(text)
        assert time.process_time() - began < 2, text[:10]
