"""Who may command: tokens, listed proxies, and no other site's page."""

import hashlib

import pytest

from modelcast.dashboard.actions import Identities, Requester, Unwelcome
from modelcast.dashboard.actions.attempts import BURST, PERIOD_SECONDS
from modelcast.infra.settings_dashboard import ActionSettings
from modelcast.schemas.errors import UsageError

HOST = "dash.example:9470"


def digest(token: str) -> str:
    return "sha256:" + hashlib.sha256(token.encode()).hexdigest()


def tokens(**names: str) -> Identities:
    return Identities(ActionSettings(enabled=True, tokens=names))


def asked(peer: str | None = "10.0.0.9", **headers: str) -> Requester:
    return Requester({name.replace("_", "-"): value for name, value in headers.items()}, peer, HOST)


def refused(identities: Identities, request: Requester, now: float = 0.0) -> tuple[int, str]:
    with pytest.raises(Unwelcome) as caught:
        identities.who(request, now)
    assert caught.value.hint
    return caught.value.status, caught.value.message


def test_a_token_names_its_person() -> None:
    known = tokens(anna=digest("a" * 32), bert=f"{digest('old')} {digest('new')}")
    assert known.who(asked(Authorization=f"Bearer {'a' * 32}"), 0) == "anna"
    assert {known.who(asked(Authorization=f"bearer {each}"), 0) for each in ("old", "new")} == {"bert"}


@pytest.mark.parametrize("header", ["Bearer wrong", "Bearer ", "Basic YTph", "", "Bearer \udcff"])
def test_without_a_known_token_nobody_is_obeyed(header: str) -> None:
    assert refused(tokens(anna=digest("right")), asked(Authorization=header))[0] == 401


def test_where_actions_are_off_a_good_token_is_refused_too() -> None:
    off = Identities(ActionSettings(tokens={"anna": digest("right")}))
    assert refused(off, asked(Authorization="Bearer right")) == (403, "this dashboard is only read")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": f"https://{HOST}.evil.example"},
    ],
)
def test_another_sites_page_is_refused_whatever_it_sends(headers: dict[str, str]) -> None:
    request = asked(Authorization="Bearer right", **headers)
    assert refused(tokens(anna=digest("right")), request) == (403, "another site's page sent this request")


@pytest.mark.parametrize("headers", [{"Sec_Fetch_Site": "same-origin"}, {"Origin": f"http://{HOST}"}, {}])
def test_its_own_page_and_programs_are_obeyed(headers: dict[str, str]) -> None:
    assert tokens(anna=digest("right")).who(asked(Authorization="Bearer right", **headers), 0) == "anna"


def behind(*proxies: str) -> Identities:
    return Identities(ActionSettings(enabled=True, proxy_header="X-Forwarded-User", proxies=proxies))


def test_the_header_of_a_listed_proxy_names_its_person() -> None:
    request = asked(X_Forwarded_User="anna@example", Sec_Fetch_Site="same-origin")
    assert behind("10.0.0.0/24").who(request, 0) == "anna@example"
    assert behind("::1", "10.0.0.9").who(Requester(request.headers, "::ffff:10.0.0.9", HOST), 0) == "anna@example"


@pytest.mark.parametrize("peer", ["10.0.1.9", "127.0.0.1", None, "no address"])
def test_the_same_header_from_elsewhere_names_nobody(peer: str | None) -> None:
    request = asked(peer, X_Forwarded_User="anna", Sec_Fetch_Site="same-origin")
    assert refused(behind("10.0.0.0/24"), request)[0] == 401


@pytest.mark.parametrize("name", ["", "  ", "a" * 201, "an\x00na"])
def test_a_proxy_that_names_nobody_is_not_believed(name: str) -> None:
    assert refused(behind("10.0.0.9"), asked(X_Forwarded_User=name, Sec_Fetch_Site="same-origin"))[0] == 401


def test_signed_in_by_a_proxy_a_request_must_say_which_site_sent_it() -> None:
    assert refused(behind("10.0.0.9"), asked(X_Forwarded_User="anna"))[0] == 403


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"enabled": True}, "no one may take them"),
        ({"proxy_header": "X-User"}, "no proxies are"),
        ({"proxies": ("10.0.0.1",)}, "no proxy_header is"),
        ({"proxy_header": "X-User", "proxies": ("10.0.0.1/99",)}, "is no network"),
        ({"tokens": {"anna": "secret"}}, "not given by its SHA-256"),
        ({"tokens": {"anna": ""}}, "not given by its SHA-256"),
        ({"tokens": {"anna": " ".join([digest("a")] * 3)}}, "not given by its SHA-256"),
    ],
)
def test_settings_that_contradict_themselves_are_refused_at_the_start(settings: dict[str, object], what: str) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        Identities(ActionSettings(**settings))  # type: ignore[arg-type]
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_who_tries_many_tokens_must_wait_also_with_the_right_one_and_others_need_not() -> None:
    known = tokens(anna=digest("right"))
    wrong, right = (asked(Authorization=f"Bearer {each}") for each in ("wrong", "right"))
    assert [refused(known, wrong)[0] for _ in range(BURST + 1)] == [401] * BURST + [429]
    with pytest.raises(Unwelcome) as caught:
        known.who(right, 1.5)
    assert (caught.value.status, caught.value.retry_after_seconds) == (429, 5)
    assert known.who(asked("10.0.0.10", Authorization="Bearer right"), 1.5) == "anna"
    assert known.who(right, PERIOD_SECONDS) == "anna"
    assert refused(known, wrong, PERIOD_SECONDS)[0] == 401
    assert refused(known, wrong, PERIOD_SECONDS)[0] == 429


def test_people_behind_one_proxy_wait_each_for_themselves() -> None:
    settings = ActionSettings(
        enabled=True, tokens={"anna": digest("right")}, proxy_header="X-User", proxies=("10.0.0.9",)
    )
    known = Identities(settings)
    for _ in range(BURST):
        refused(known, asked(X_User="mallory", Authorization="Bearer wrong"))
    assert refused(known, asked(X_User="mallory", Authorization="Bearer right"))[0] == 429
    assert known.who(asked(X_User="anna", Authorization="Bearer right"), 0) == "anna"
    for _ in range(BURST):  # the header of who is no proxy tells nobody apart
        refused(known, asked("10.0.0.8", X_User=f"mallory-{_}", Authorization="Bearer wrong"))
    assert refused(known, asked("10.0.0.8", X_User="new", Authorization="Bearer right"))[0] == 429
