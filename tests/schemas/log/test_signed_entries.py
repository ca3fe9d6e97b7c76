"""Who may say what in a log: forged, altered, replayed and misplaced entries are refused, each for its own reason."""

import random
from dataclasses import replace

import pytest

from modelcast.schemas.codec import DEFAULT, encode
from modelcast.schemas.errors import BrokenChain, DecodeError, ForeignRegistry, ModelcastError
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import Sign, Trust, read_stated, state
from modelcast.schemas.records import Activation, CommandKind, CommandTarget, Entry, ModelCommand, ModelUpdate
from modelcast.schemas.trust.envelope import PayloadType, Signature, Signed, pae
from modelcast.schemas.trust.policy import Floor, TrustPolicy, TrustRole
from modelcast.schemas.trust.verdict import Untrusted
from tests.schemas.log.test_log import EMPTY, update
from tests.schemas.test_codec import ACK
from tests.support.records.signing import Keys, verify

KEYS = Keys("train", "ops", "prod1", "prod2", "eu", "thief")
GRANTED = ("train", "ops", "prod1", "prod2", "eu")
POLICY = TrustPolicy(
    1,
    0,
    {name: KEYS.public[name] for name in GRANTED},
    (
        TrustRole("prod", frozenset({"prod1", "prod2"}), 2, ("publish/prod-*/immediate/*",), terminating=True),
        TrustRole("training", frozenset({"train"}), 1, ("publish/fraud/*/*", "publish/prod-*/*/*")),
        TrustRole("operators", frozenset({"ops"}), 1, ("command/*/*/us",)),
        TrustRole("eu", frozenset({"eu"}), 1, ("ack/eu/*", "beat/eu")),
    ),
)
TRUST = Trust(POLICY, verify)
PIN = ModelCommand(
    EMPTY.registry_id, "pin", "fraud", 1, CommandKind.PIN, (CommandTarget("us", 1),), 1, requested_by="ops"
)


def of(model: str) -> ModelUpdate:
    return replace(update(1, 1), model=model)


def stored(entry: Entry, sign: Sign | None, log_digest: str = "") -> bytes:
    return state(entry, log_digest or EMPTY.digest_at(0), sign).stored


def read(body: bytes, trust: Trust = TRUST) -> StatedEntry:
    return read_stated(body, book=DEFAULT, trust=trust)


def reason(body: bytes, trust: Trust = TRUST) -> str:
    with pytest.raises(DecodeError) as caught:
        read(body, trust)
    return caught.value.reason


def test_a_signed_entry_is_read_with_its_signers_and_chained_by_its_statement() -> None:
    made = state(update(1, 1), EMPTY.digest_at(0), KEYS.sign("train"))
    found = read(made.stored)
    assert (found.entry, found.signers, found.stored) == (update(1, 1), {"train"}, made.stored)
    plain = state(update(1, 1), EMPTY.digest_at(0))
    assert EMPTY.extend(found).digest_at(1) == EMPTY.extend(plain).digest_at(1)
    assert read_stated(made.stored, book=DEFAULT).entry == update(1, 1), "who has no trust reads it all the same"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(stored(update(1, 1), None), "unsigned", id="unsigned"),
        pytest.param(stored(update(1, 1), KEYS.sign("thief")), "unknown-key", id="by a key that nobody granted"),
        pytest.param(stored(update(1, 1), KEYS.sign("thief", as_="train")), "bad-signature", id="by another key"),
        pytest.param(stored(update(1, 1), KEYS.sign("ops")), "not-allowed", id="an operator publishes"),
        pytest.param(stored(PIN, KEYS.sign("train")), "not-allowed", id="a training key commands"),
        pytest.param(stored(of("dev"), KEYS.sign("train")), "not-allowed", id="another model"),
        pytest.param(
            stored(replace(PIN, targets=(CommandTarget("eu", 1),)), KEYS.sign("ops")),
            "not-allowed",
            id="another region",
        ),
        pytest.param(
            stored(replace(PIN, targets=(CommandTarget("us", 1), CommandTarget("eu", 1))), KEYS.sign("ops")),
            "not-allowed",
            id="own region and another one",
        ),
        pytest.param(
            stored(replace(PIN, targets=(CommandTarget(version=1),)), KEYS.sign("ops")), "not-allowed", id="everywhere"
        ),
        pytest.param(stored(of("prod-a"), KEYS.sign("prod1")), "not-allowed", id="one of two keys"),
        pytest.param(stored(of("prod-a"), KEYS.sign("prod1", "train")), "not-allowed", id="two, one of them weak"),
        pytest.param(stored(update(1, 1), KEYS.sign("train")) + b"\0", "malformed", id="bytes left over"),
        pytest.param(b"", "framing", id="nothing"),
    ],
)
def test_what_may_not_be_said_is_refused(body: bytes, expected: str) -> None:
    assert reason(body) == expected


def test_two_keys_publish_at_once_and_one_stages() -> None:
    both = of("prod-a")
    assert read(stored(both, KEYS.sign("prod1", "prod2"))).signers == {"prod1", "prod2"}
    assert read(stored(replace(both, activation=Activation.STAGED), KEYS.sign("train"))).signers == {"train"}
    assert read(stored(PIN, KEYS.sign("ops"))).entry == PIN


def test_one_key_is_not_two() -> None:
    made = state(of("prod-a"), EMPTY.digest_at(0))
    (twice,) = KEYS.sign("prod1")(pae(PayloadType.ENTRY, made.body))
    with pytest.raises(ModelcastError, match="names a key twice"):
        encode(Signed(PayloadType.ENTRY, made.body, (twice, twice)))


@pytest.mark.parametrize("kind", [PayloadType.ACK, PayloadType.ENTRY])
def test_a_regions_report_is_no_log_entry_whatever_its_envelope_says(kind: PayloadType) -> None:
    body = encode(ACK)
    envelope = encode(Signed(kind, body, KEYS.sign("eu")(pae(kind, body))))
    assert reason(envelope) in ("bad-value", "framing")


def test_another_payload_type_is_another_signature() -> None:
    body = state(update(1, 1), EMPTY.digest_at(0)).body
    sigs = KEYS.sign("train")(pae(PayloadType.ACK, body))
    assert reason(encode(Signed(PayloadType.ENTRY, body, sigs))) == "bad-signature"


def test_every_flipped_bit_is_refused_or_touches_no_signed_byte() -> None:
    """All of them: 8 a byte. Only a bit of a key's name may change who is said to have signed, and then nobody has."""
    body = stored(update(1, 1), KEYS.sign("train"))
    for at in range(len(body) * 8):
        flipped = bytearray(body)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(DecodeError):
            read(bytes(flipped))


def test_nothing_but_decode_errors_comes_of_bytes_that_nobody_signed() -> None:
    dice = random.Random(7)
    whole = stored(update(1, 1), KEYS.sign("train"))
    for _ in range(2_000):
        cut = bytearray(whole[: dice.randrange(len(whole) + 1)])
        for _ in range(dice.randrange(4)):
            if cut:
                cut[dice.randrange(len(cut))] = dice.randrange(256)
        if bytes(cut) != whole:
            with pytest.raises(DecodeError):
                read(bytes(cut))


def test_an_entry_fits_one_place_of_one_log_of_one_registry() -> None:
    def signed(log: ModelLog, entry: Entry) -> StatedEntry:
        return read(stored(entry, KEYS.sign("train"), log.digest_at(log.head)))

    one = EMPTY.extend(signed(EMPTY, update(1, 1)))
    two = one.extend(signed(one, update(2, 2)))
    with pytest.raises(BrokenChain):
        two.extend(read(stored(update(3, 2), KEYS.sign("train"), one.digest_at(1))))
    other = ModelLog("fraud", "another registry")
    with pytest.raises(ForeignRegistry):
        other.extend(signed(EMPTY, update(1, 1)))


def test_a_foreign_signature_beside_a_good_one_changes_nothing() -> None:
    made = state(update(1, 1), EMPTY.digest_at(0), KEYS.sign("train"))
    (good,) = KEYS.sign("train")(pae(PayloadType.ENTRY, made.body))
    more = encode(Signed(PayloadType.ENTRY, made.body, (Signature("nobody", b"x"), good)))
    found = read(more)
    assert (found.signers, found.body) == ({"train"}, made.body)


def test_history_below_the_floor_needs_no_signature_and_above_it_does() -> None:
    floor = replace(POLICY, floors={"fraud": Floor(2, "sha256:" + "0" * 64)})
    trust = Trust(floor, verify)
    assert read(stored(update(1, 1), None), trust).signers == frozenset()
    assert read(stored(update(2, 2), KEYS.sign("thief")), trust).signers == frozenset()
    assert reason(stored(update(3, 3), None), trust) == "unsigned"
    assert reason(stored(update(3, 3), KEYS.sign("thief")), trust) == "unknown-key"
    assert reason(stored(of("dev"), None), trust) == "unsigned"


def test_what_is_refused_says_what_it_takes() -> None:
    with pytest.raises(Untrusted, match="'publish/prod-a/immediate/~all' takes 2 of 'prod'; 1 signed"):
        read(stored(of("prod-a"), KEYS.sign("prod1")))
