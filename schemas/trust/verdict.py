"""Is an envelope to be believed: the order of checks, from the bytes to the record's own wishes.

Nothing of a payload is parsed before a key that the policy knows has signed it, and nothing of it is kept before the
policy allowed all that it says. ``schemas/log/statements.py`` does so for log entries.
"""

from collections.abc import Callable, Sequence

from modelcast.schemas.codec import HEADER_SIZE_BYTES, MARKER, decode_as, writer_schema
from modelcast.schemas.errors import DecodeError, ExitCode
from modelcast.schemas.trust.envelope import PayloadType, Signed, pae
from modelcast.schemas.trust.policy import TrustPolicy, why_not_allowed

HINT = "`modelcast keys list` says who may; `keys floor` believes what was written before there was trust"
Verify = Callable[[str, bytes, bytes], bool]
"""Whether, by a public key as ``TrustPolicy.keys`` has it, a signature over some bytes is good. Raises nothing."""

_SIGNED_FINGERPRINT = bytes.fromhex(writer_schema(Signed)[0])
UNKNOWN_KEY, UNSIGNED, BAD_SIGNATURE, NOT_ALLOWED = "unknown-key", "unsigned", "bad-signature", "not-allowed"


class Untrusted(DecodeError):
    """A record was said by nobody who may say it.

    ``reason`` is ``unsigned``, ``unknown-key`` (a newer policy may know it), ``bad-signature`` or ``not-allowed``.
    """

    exit_code = ExitCode.VERIFICATION_FAILED


def is_signed(body: bytes | None) -> bool:
    """Whether ``body`` says that it is an envelope."""
    return body is not None and body[2:HEADER_SIZE_BYTES] == _SIGNED_FINGERPRINT and body[:2] == MARKER


def open_signed(body: bytes | None, kind: PayloadType) -> Signed:
    """The envelope that ``body`` holds; its signatures are not looked at.

    Raises:
        Untrusted: it is a record, but no envelope.
        DecodeError: it is no envelope, or one of another payload type than ``kind``.
    """
    try:
        signed = decode_as(Signed, body)
    except DecodeError as error:
        if error.reason != "bad-value":
            raise
        raise Untrusted("nobody has signed it", reason=UNSIGNED, hint=HINT) from None
    if signed.payload_type != kind:
        raise DecodeError(f"a signed {signed.payload_type!r} where {kind.value!r} belongs", reason="bad-value")
    return signed


def good_keys(signed: Signed, policy: TrustPolicy, verify: Verify) -> frozenset[str]:
    """The keys of the policy that have signed an envelope; at least one.

    Raises:
        Untrusted: none has.
    """
    known = [each for each in signed.signatures if each.keyid in policy.keys]
    message = pae(signed.payload_type, signed.payload)
    good = frozenset(each.keyid for each in known if verify(policy.keys[each.keyid], each.sig, message))
    if good:
        return good
    ids = ", ".join(each.keyid[:12] for each in signed.signatures)
    if not known:
        raise Untrusted(f"signed by no key of policy {policy.version} ({ids})", reason=UNKNOWN_KEY, hint=HINT)
    raise Untrusted(f"no signature is good ({ids})", reason=BAD_SIGNATURE)


def require(subjects: Sequence[str], good: frozenset[str], policy: TrustPolicy) -> None:
    """Refuse what its signers may not say.

    Args:
        subjects: the paths that it needs leave for (``subjects_of``).
        good: ids of the keys whose signatures were found good.
        policy: who may say what.

    Raises:
        Untrusted: the policy does not allow it; the message names the path and what it takes.
    """
    if why := why_not_allowed(policy, subjects, good):
        raise Untrusted(why, reason=NOT_ALLOWED, hint=HINT)
