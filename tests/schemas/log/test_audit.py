"""A line of the audit survives what people write into it, and nothing else is taken for one."""

import json

import pytest

from modelcast.schemas import keys
from modelcast.schemas.errors import DecodeError
from modelcast.schemas.log.audit import AUDIT_SIZE_MAX, AuditEntry

ENTRY = AuditEntry(1_790_000_000_000_000, "ann@desk", "pin", "fraud", "ann@desk, process 7: modelcast", "done", "in eu")


def test_it_is_read_as_it_was_written() -> None:
    assert AuditEntry.decode(ENTRY.encode(), key="k") == ENTRY
    later = json.dumps(json.loads(ENTRY.encode()) | {"of_a_later_version": 1}).encode()
    assert AuditEntry.decode(later, key="k") == ENTRY


def test_whatever_people_write_it_stays_small_and_harmless() -> None:
    wild = "\x1b]0;x\x07\ud800é" + "\N{EARTH GLOBE EUROPE-AFRICA}" * 5_000
    body = AuditEntry(1, wild, wild, wild, wild, "failed", wild[:1500], "").encode()
    assert len(body) < AUDIT_SIZE_MAX
    found = AuditEntry.decode(AuditEntry(1, "a", "b", "c", "d", "failed", wild, wild).encode(), key="k")
    assert "\x1b" not in found.detail + found.reason


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b"\xff", b"[" * 100_000,
        json.dumps(json.loads(ENTRY.encode()) | {"result": "perhaps"}).encode(),
        json.dumps(json.loads(ENTRY.encode()) | {"at_us": "now"}).encode(),
        json.dumps(json.loads(ENTRY.encode()) | {"who": None}).encode(),
    ],
)  # fmt: skip
def test_anything_else_is_refused(body: bytes) -> None:
    with pytest.raises(DecodeError, match="k"):
        AuditEntry.decode(body, key="k")


def test_keys_list_in_the_order_of_time() -> None:
    times = [1, 86_399_999_999, 86_400_000_000, 1_790_000_000_000_000]
    made = [keys.audit_entry(at, "ffff") for at in times]
    assert made == sorted(made)
    assert made[2] == "audit/1970-01-02/00000000086400000000-ffff.json"
    for at, key in zip(times, made, strict=True):
        assert keys.audit_before(at) < key < keys.audit_before(at + 1)
