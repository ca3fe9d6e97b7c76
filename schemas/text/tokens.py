"""Opaque bearer tokens, of which a server keeps digests only; two may be alive, while one replaces the other. Pure."""

import hashlib
import hmac
import re
from collections.abc import Sequence

TOKENS_MAX = 2
HOW = "printf %s TOKEN | sha256sum"
_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def check_token_digests(digests: Sequence[str]) -> tuple[str, ...]:
    """Make sure that these are digests of one or two tokens, or none.

    Raises:
        ValueError: they are not; the text itself is left out, because it may be the token.
    """
    if len(digests) > TOKENS_MAX:
        raise ValueError(f"{len(digests)} tokens; at most {TOKENS_MAX}, while one replaces the other")
    if any(_DIGEST.fullmatch(each) is None for each in digests):
        raise ValueError(f"a token stands here by its digest, as sha256: and 64 hexadecimal digits: {HOW}")
    return tuple(digests)


class TokenDigests:
    """Knows who may read something. Without a digest, everybody may.

    Args:
        digests: as ``check_token_digests`` takes them.
    """

    def __init__(self, digests: Sequence[str]) -> None:
        self._digests = [bytes.fromhex(each.removeprefix("sha256:")) for each in check_token_digests(digests)]

    def admit(self, authorization: str | None) -> bool:
        """Whether an ``Authorization`` header opens it; takes equally long for every wrong one."""
        if not self._digests:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        known = sum(hmac.compare_digest(given, digest) for digest in self._digests)
        return scheme.lower() == "bearer" and known > 0


def alive(token: str) -> tuple[str, ...]:
    """The tokens in a setting: none, one, or two separated by a space, of which the first is the one to send.

    Raises:
        ValueError: there are more.
    """
    tokens = tuple(token.split())
    if len(tokens) > TOKENS_MAX:
        raise ValueError("write one token; two, separated by a space, while one replaces the other")
    return tokens
