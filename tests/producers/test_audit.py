"""Every publication and command is in the audit with what came of it, also those that were refused."""

from pathlib import Path

import pytest

from modelcast.infra.registry.audit_trail import AuditNote, AuditTrail
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Commander, Publisher, Unannounced
from modelcast.schemas.errors import NotAnnounced, NotFound, Refused, StoreUnavailable
from modelcast.schemas.log.audit import AuditEntry
from modelcast.schemas.ports import PreconditionFailed
from tests.producers.fakes import SETTINGS, Heard, HookedStore
from tests.producers.published import model


def trail(store: MemoryStore, last: int = 100) -> list[AuditEntry]:
    return AuditTrail(store).read(since_us=0, last=last)


def told(store: MemoryStore) -> list[tuple[str, str, str, str, int]]:
    return [(e.who, e.action, e.subject, e.result, e.generation) for e in trail(store)]


def test_what_is_published_and_commanded_is_in_the_audit_with_what_came_of_it(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    with Publisher(SETTINGS, store=store, announcer=heard, source="a job") as publisher:
        publisher.publish("fraud", model(tmp_path, "1"), publisher="job-7")
        publisher.publish("fraud", model(tmp_path, "1"), publisher="job-8")
        with pytest.raises(Refused):
            publisher.publish("fraud", model(tmp_path, "2"), version=1, publisher="job-9")
        publisher.publish("fraud", model(tmp_path, "3"), dry_run=True)
    with Commander(SETTINGS, store=store, announcer=heard) as commander:
        commander.pin("fraud", 1, regions=["eu", "us"], requested_by="ann", reason="drift")
        commander.pin("fraud", 1, regions=["eu", "us"], requested_by="ann")
        with pytest.raises(NotFound):
            commander.activate("fraud", 9, requested_by="bob")
    Commander(SETTINGS, store=store, announcer=heard, dry_run=True).pin("fraud", 1)
    assert told(store) == [
        ("job-7", "publish", "fraud/1", "done", 1),
        ("job-8", "publish", "fraud/1", "needless", 1),
        ("job-9", "publish", "fraud", "refused", 0),
        ("ann", "pin", "fraud", "done", 2),
        ("ann", "pin", "fraud", "needless", 0),
        ("bob", "activate", "fraud", "refused", 0),
    ]
    pinned = trail(store)[3]
    assert (pinned.detail, pinned.reason) == ("version 1 in eu, version 1 in us", "drift")
    assert "process" in pinned.source
    assert trail(store)[0].source == "a job"
    assert "9" in trail(store)[5].detail
    assert [e.who for e in trail(store, last=2)] == ["ann", "bob"]
    assert AuditTrail(store).read(since_us=trail(store)[-1].at_us + 1, last=9) == []


def test_an_artifact_that_is_refused_is_in_the_audit_once_there_is_a_registry(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04N.")
    for _ in range(2):
        with Publisher(SETTINGS, store=store, announcer=heard) as publisher:
            with pytest.raises(Refused):
                publisher.publish("fraud", tmp_path / "m.pkl")
            (tmp_path / "good").mkdir(exist_ok=True)
            publisher.publish("fraud", model(tmp_path / "good", "1"))
    assert [e.result for e in trail(store)] == ["done", "refused", "needless"]
    assert "pickle" in trail(store)[1].detail


def test_what_is_claimed_and_not_announced_counts_as_done(store: MemoryStore, heard: Heard, tmp_path: Path) -> None:
    heard.away = True
    with Publisher(SETTINGS, store=store, announcer=heard) as publisher, pytest.raises(Unannounced):
        publisher.publish("fraud", model(tmp_path, "1"))
    with Commander(SETTINGS, store=store, announcer=heard) as commander, pytest.raises(NotAnnounced):
        commander.pause("fraud")
    assert [(e.action, e.result, e.generation) for e in trail(store)] == [("publish", "done", 1), ("pause", "done", 2)]
    assert "not announced" in trail(store)[1].detail


def test_an_audit_that_cannot_be_written_stops_nothing_and_is_told(
    store: MemoryStore, heard: Heard, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(call: str, key: str) -> None:
        if call == "put" and key.startswith("audit/"):
            raise Refused("403", subject=key)

    with Publisher(SETTINGS, store=HookedStore(store, before=refuse), announcer=heard) as publisher:
        assert publisher.publish("fraud", model(tmp_path, "1"), publisher="job-7").announced
    assert trail(store) == []
    assert "not in the audit: publish of fraud/1 by job-7 (done)" in caplog.text


def test_an_entry_is_never_written_over_and_secrets_in_errors_are_masked(store: MemoryStore) -> None:
    store.put("registry/id.json", b"{}")
    with pytest.raises(StoreUnavailable), AuditTrail(store).of("ann", "pin", "fraud"):
        raise StoreUnavailable("it does not answer: asking it again would take as long")
    assert trail(store) == []
    with pytest.raises(ValueError, match="hunter2"), AuditTrail(store).of("ann", "pin", "fraud"):
        raise ValueError("password=hunter2")
    (entry,) = trail(store)
    assert (entry.result, entry.detail) == ("failed", "ValueError: password=***")
    (info,) = store.list("audit/")
    with pytest.raises(PreconditionFailed):
        store.put(info.key, b"", if_absent=True)


def test_what_others_wrote_there_is_left_out(store: MemoryStore, caplog: pytest.LogCaptureFixture) -> None:
    AuditTrail(store, source="here").write(AuditTrail(store).entry("ann", "pin", "fraud", note=AuditNote()))
    store.put("audit/2999-01-01/x", b"no entry")
    assert [e.who for e in trail(store)] == ["ann"]
    assert "an entry of the audit can't be read" in caplog.text
