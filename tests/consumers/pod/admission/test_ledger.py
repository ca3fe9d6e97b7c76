"""What a pod remembers."""

from pathlib import Path

import pytest

from modelcast.consumers.pod.admission.fence import Accepted
from modelcast.consumers.pod.ledger import Ledger
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.errors import ContentError, Refused

DIGEST = "sha256:" + "a" * 64
ENTRY = Accepted("r", 3, 12, DIGEST, LoadOrder("fraud", 7, DIGEST, 11, 3, "r"))


def test_what_was_recorded_is_there_after_reopening(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "state")
    ledger.record("fraud", Accepted("r", 1, 1, DIGEST, None))
    ledger.record("fraud", ENTRY)
    ledger.record("spam", Accepted("r", 1, 2, None, None))
    ledger.close()
    assert Ledger(tmp_path / "state").entries == {"fraud": ENTRY, "spam": Accepted("r", 1, 2, None, None)}


def test_two_pods_can_not_share_a_state_folder(tmp_path: Path) -> None:
    first = Ledger(tmp_path)
    with pytest.raises(Refused, match="another pod"):
        Ledger(tmp_path)
    first.close()
    Ledger(tmp_path).close()


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"served": null, "epoch": 1}', b'{"served": {"x": 1}}'])
def test_a_damaged_entry_is_an_error_not_a_clean_slate(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "fraud.json").write_bytes(damage)
    with pytest.raises(ContentError, match="damaged"):
        Ledger(tmp_path)


def test_a_write_that_was_cut_off_leaves_the_entry_before(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record("fraud", ENTRY)
    ledger.close()
    (tmp_path / ".fraud.tmp").write_bytes(b'{"epo')
    assert Ledger(tmp_path).entries == {"fraud": ENTRY}
