"""Opaque tokens: a server knows digests, two are alive while one replaces the other, and nothing tells a token."""

import hashlib
import urllib.error
import urllib.request

import pytest

from modelcast.consumers.pod.admission.orders import authorized
from modelcast.infra.settings import load_settings
from modelcast.infra.telemetry.health import HealthServer
from modelcast.schemas.errors import UsageError
from modelcast.schemas.text.tokens import TokenDigests


def digest(token: str) -> str:
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def test_one_of_two_tokens_opens_it_and_nothing_else_does() -> None:
    readers = TokenDigests([digest("old"), digest("new")])
    assert all(readers.admit(f"{scheme} {token}") for scheme in ("Bearer", "bearer") for token in ("old", "new"))
    for wrong in (
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer other",
        "Basic old",
        "old",
        f"Bearer {digest('old')}",
        "\udcff",
    ):
        assert not readers.admit(wrong), wrong
    assert TokenDigests(()).admit(None)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ('["a token itself"]', "sha256: and 64 hexadecimal digits"),
        (f'["{digest("a")}", "{digest("b")}", "{digest("c")}"]', "at most 2"),
    ],
)
def test_settings_that_hold_no_digests_are_refused_without_what_they_hold(
    monkeypatch: pytest.MonkeyPatch, value: str, told: str
) -> None:
    monkeypatch.setenv("MODELCAST_DAEMON__METRICS_TOKENS", value)
    with pytest.raises(UsageError, match=r"daemon\.metrics_tokens") as refused:
        load_settings()
    assert told in str(refused.value)
    assert "a token itself" not in str(refused.value)


def test_metrics_ask_for_a_token_where_that_is_set_and_probes_never_do() -> None:
    def status(url: str, token: str = "") -> tuple[int, str | None]:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, None
        except urllib.error.HTTPError as error:
            return error.code, error.headers["WWW-Authenticate"]

    with HealthServer(metrics_tokens=[digest("scrape")]) as server:
        assert status(f"{server.url}/metrics") == (401, "Bearer")
        assert status(f"{server.url}/metrics?x=1", "wrong") == (401, "Bearer")
        assert status(f"{server.url}/metrics", "scrape") == (200, None)
        assert {status(server.url + probe)[0] for probe in ("/livez", "/readyz")} == {200}
    with HealthServer() as open_to_all:
        assert status(f"{open_to_all.url}/metrics") == (200, None)


def test_a_regions_pods_take_two_tokens_and_the_region_sends_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELCAST_REGIONS__EU__TOKEN", "new old")
    region = load_settings().region("eu")
    assert region.token is not None
    assert region.token_sent == "new"
    for token in ("new", "old"):
        assert authorized(f"Bearer {token}", region.token.get_secret_value())
    for header in ("Bearer new old", "Bearer ", "Bearer  ", "new", None, "Bearer newold"):
        assert not authorized(header, region.token.get_secret_value()), header
    assert not authorized("Bearer ", "")
    for value in ("a b c", "one two three four"):
        monkeypatch.setenv("MODELCAST_REGIONS__EU__TOKEN", value)
        with pytest.raises(UsageError, match=r"regions\.eu\.token: .*two, separated by a space"):
            load_settings()
    monkeypatch.setenv("MODELCAST_REGIONS__EU__TOKEN", "")
    assert load_settings().region("eu").token_sent == ""
