"""Who asks: a request's headers and address, and what the settings say of them. No I/O, no clock."""

import hashlib
import hmac
import ipaddress
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from modelcast.dashboard.actions.attempts import WrongTokens
from modelcast.infra.settings_dashboard import ActionSettings
from modelcast.schemas.errors import UsageError

NAME_MAX = 200
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_SITE, _ORIGIN, _AUTHORIZATION = "Sec-Fetch-Site", "Origin", "Authorization"


class Unwelcome(Exception):
    """The request is not obeyed.

    Attributes:
        status: 401: no known person asks; 403: the person, or the page that sent the request, may not; 429: too many
            wrong tokens came from there.
        hint: what to do.
        retry_after_seconds: when to ask again; 0: waiting does not help.
    """

    def __init__(self, status: int, message: str, hint: str, *, retry_after_seconds: int = 0) -> None:
        super().__init__(message)
        self.status, self.message, self.hint = status, message, hint
        self.retry_after_seconds = retry_after_seconds


@dataclass(frozen=True, slots=True)
class Requester:
    """What a request carries of who sent it.

    Attributes:
        headers: by name, without regard to case.
        peer: the address that it came from; None: a unix socket.
        host: the name that it was sent to, with the port.
    """

    headers: Mapping[str, str]
    peer: str | None
    host: str


class Identities:
    """Knows people by bearer token, or by the header of a listed proxy.

    Raises:
        UsageError: the settings contradict themselves; at the start, not when somebody asks.
    """

    def __init__(self, settings: ActionSettings) -> None:
        self._enabled, self._header = settings.enabled, settings.proxy_header
        self._tokens = [
            (name, bytes.fromhex(each)) for name, text in settings.tokens.items() for each in _digests(name, text)
        ]
        self._proxies = [_network(each) for each in settings.proxies]
        self._wrong = WrongTokens()
        if self._header and not self._proxies:
            hint = "name the proxy's addresses in dashboard.actions.proxies: anyone could send the header"
            raise UsageError("proxy_header is set, and no proxies are", subject="dashboard.actions", hint=hint)
        if self._proxies and not self._header:
            hint = "set dashboard.actions.proxy_header, as X-Forwarded-User"
            raise UsageError("proxies are set, and no proxy_header is", subject="dashboard.actions", hint=hint)
        if self._enabled and not self._tokens and not self._header:
            hint = "add a token to dashboard.actions.tokens, or a proxy_header with proxies"
            raise UsageError("actions are enabled, and no one may take them", subject="dashboard.actions", hint=hint)

    @property
    def enabled(self) -> bool:
        """Whether anybody may command."""
        return self._enabled

    @property
    def by_proxy(self) -> bool:
        """Whether a proxy names people: then the page needs no token."""
        return bool(self._header)

    def who(self, asked: Requester, now: float) -> str:
        """The name of the person who sent a request. ``now``: monotonic seconds.

        Raises:
            Unwelcome: actions are off, the asker is not known, another site's page does, or too many wrong tokens came
                from there.
        """
        if not self._enabled:
            raise Unwelcome(
                403, "this dashboard is only read", "set dashboard.actions.enabled, or use the command line"
            )
        _check_site(asked)
        scheme, _, token = asked.headers.get(_AUTHORIZATION, "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            return self._by_token(token.strip(), self._source(asked), now)
        if self._header:
            return self._by_proxy(asked)
        raise Unwelcome(401, "no token", "send Authorization: Bearer TOKEN")

    def is_known(self, asked: Requester, now: float) -> bool:
        """Whether a person asks who has a token, or whom a listed proxy names: to read, where reading takes that."""
        if self._is_proxy(asked.peer) and asked.headers.get(self._header, "").strip():
            return True
        scheme, _, token = asked.headers.get(_AUTHORIZATION, "").partition(" ")
        try:
            return scheme.lower() == "bearer" and bool(self._by_token(token.strip(), self._source(asked), now))
        except Unwelcome:
            return False

    def _by_token(self, token: str, source: str, now: float) -> str:
        if wait := math.ceil(self._wrong.wait_seconds(source, now)):
            hint = f"wait {wait} s, then send a token that is known"
            raise Unwelcome(429, "too many wrong tokens came from there", hint, retry_after_seconds=wait)
        given = hashlib.sha256(token.encode(errors="surrogateescape")).digest()
        found = ""
        for name, digest in self._tokens:  # all of them: how long it takes tells nothing
            if hmac.compare_digest(given, digest):
                found = name
        if not found:
            self._wrong.wrong(source, now)
            raise Unwelcome(401, "the token is not known", "ask for one: dashboard.actions.tokens lists them")
        return found

    def _source(self, asked: Requester) -> str:
        """Where a token comes from: people behind one proxy are told apart by the name that it gives them."""
        peer = asked.peer or "unix socket"
        named = asked.headers.get(self._header, "").strip()[:NAME_MAX] if self._is_proxy(asked.peer) else ""
        return f"{peer} {named}" if named else peer

    def _by_proxy(self, asked: Requester) -> str:
        name = asked.headers.get(self._header, "").strip()
        if not self._is_proxy(asked.peer):
            raise Unwelcome(401, "the request did not come by the proxy", "use the proxy's address, or a token")
        if not name or len(name) > NAME_MAX or not name.isprintable():
            raise Unwelcome(401, f"the proxy names no one in {self._header}", "sign in")
        if _SITE not in asked.headers and _ORIGIN not in asked.headers:
            # A browser signs in by itself, so a request must prove that this dashboard's page sent it.
            raise Unwelcome(403, "the request does not say which site sent it", f"send {_ORIGIN}, or a token")
        return name

    def _is_proxy(self, peer: str | None) -> bool:
        if peer is None:
            return False
        try:
            address = ipaddress.ip_address(peer.partition("%")[0])
        except ValueError:
            return False
        mapped = getattr(address, "ipv4_mapped", None) or address
        return any(mapped in network for network in self._proxies)


def _check_site(asked: Requester) -> None:
    """Raise unless the request comes from this site's page or from no page."""
    site, origin = asked.headers.get(_SITE), asked.headers.get(_ORIGIN)
    hint = "use this dashboard's own page, or the command line"
    if site is not None and site not in {"same-origin", "none"}:
        raise Unwelcome(403, "another site's page sent this request", hint)
    if origin is not None and origin.partition("://")[2].lower() != asked.host.lower():
        raise Unwelcome(403, "another site's page sent this request", hint)


def _digests(name: str, text: str) -> list[str]:
    found = [match for each in text.split() if (match := _DIGEST.fullmatch(each))]
    if not found or len(found) != len(text.split()) or len(found) > 2 or not name or not name.isprintable():
        hint = "one or two of sha256:64 hexadecimal digits: printf %s TOKEN | sha256sum"
        raise UsageError(
            "a token is not given by its SHA-256", subject=f"dashboard.actions.tokens.{name[:40]}", hint=hint
        )
    return [match[1] for match in found]


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        hint = "an address or a network, as in 10.0.0.7 or 10.0.0.0/24"
        raise UsageError(f"{text[:60]!r} is no network", subject="dashboard.actions.proxies", hint=hint) from None
