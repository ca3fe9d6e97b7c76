"""What the tracker says when regions and the log do not agree on what the log is."""

from dataclasses import replace

from modelcast.agents.tracker.decider.fold import Everywhere, Known, fold
from modelcast.agents.tracker.decider.rows import STRANGER_SECONDS, ModelRow
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import CommandKind, CommandTarget, LogPosition, ModelAck, ModelCommand
from tests.agents.tracker.makers import MODEL, REGISTRY, SECOND, log_of, pages, pod, snapshots_of, update
from tests.support.records.folding import apply_all

OLD = log_of(update(1, 1), update(2, 2), update(3, 3))
NEW = log_of(update(1, 1), update(2, 2), replace(update(3, 4), event_id="after-the-restore"))

EVERYWHERE = Everywhere({}, {}, ("eu",), 15.0, 600.0)


def acked(region: str, log: ModelLog, generation: int, alarm: str = "") -> ModelAck:
    (ack,) = pages(region, [pod(f"{region}-1", 2, 2)])  # which both logs hold
    return replace(ack, generation=generation, log_digest=log.digest_at(generation), alarm=alarm)


def alarm_of(log: ModelLog, *acks: ModelAck) -> str:
    return fold(Known(log, snapshots=snapshots_of(acks), expected=("eu", "us")), 10**15).alarm


def test_regions_that_accepted_what_the_log_holds_are_no_alarm() -> None:
    assert alarm_of(OLD, acked("eu", OLD, 3), acked("us", OLD, 2)) == ""


def test_a_region_that_accepted_another_log_is_named_with_both_digests() -> None:
    said = alarm_of(NEW, acked("eu", OLD, 3), acked("us", NEW, 3))
    assert said.startswith("eu: it accepted the log up to generation 3 as ")
    assert OLD.digest_at(3)[7:19] in said
    assert NEW.digest_at(3)[7:19] in said
    assert "us:" not in said


def test_what_a_region_itself_raises_alarm_about_is_passed_on() -> None:
    assert alarm_of(NEW, acked("eu", OLD, 3, "entry 3 is gone")) == "eu: entry 3 is gone"


def test_once_a_person_has_accepted_the_log_what_was_given_up_is_no_alarm() -> None:
    lost = LogPosition(3, OLD.digest_at(3))
    said = ModelCommand(
        REGISTRY, "accepted", MODEL, 4, CommandKind.ACCEPT, (CommandTarget(),), 1, "ann", "restored", replaces=(lost,)
    )
    assert alarm_of(apply_all(NEW, [said]), acked("eu", OLD, 3)) == ""


def test_a_log_that_ends_below_what_a_region_reported_before_it_was_read_is_an_alarm() -> None:
    row = ModelRow(MODEL, log=log_of(update(1, 1)))
    row.take(acked("eu", OLD, 3), b"", 0)
    reported = row.accepted()
    assert row.ended(reported)
    assert list(row.beyond.values()) == ["eu has accepted generation 3, but the log ends at 1"]
    assert not row.ended(reported), "which is no news"
    row.log = OLD
    assert row.ended(reported)
    assert row.beyond == {}


def test_what_only_an_overruled_report_had_accepted_is_no_alarm_any_more() -> None:
    row = ModelRow(MODEL, log=log_of(update(1, 1)))
    (made_up,) = pages("eu", [pod("eu-1", 1, 1)], epoch=3, sequence=2**62, generation=1000)
    row.take(made_up, b"", 10 * SECOND)
    assert row.ended(row.accepted())
    assert list(row.beyond) == ["eu"]
    (true,) = pages("eu", [pod("eu-1", 1, 1)], epoch=3, sequence=8, generation=1)
    assert row.take(replace(true, reported_at_us=made_up.reported_at_us + 1), b"", 10 * SECOND).overruled
    assert row.beyond == {}, "although the log was not read again"


def test_an_alarm_about_another_registry_stands_while_its_records_keep_coming_and_then_ends_by_itself() -> None:
    row = ModelRow(MODEL, log=log_of(update(1, 1)))
    assert row.hear_stranger("model-updates", "restored", 0.0)
    assert not row.hear_stranger("model-updates", "restored", 100.0), "which is no news"
    assert not row.end_strangers(STRANGER_SECONDS)
    known = row.known(EVERYWHERE)
    assert known is not None
    assert known.alarm == "model-updates reports for another registry (restored)"
    assert row.end_strangers(100.0 + STRANGER_SECONDS)
    known = row.known(EVERYWHERE)
    assert known is not None
    assert known.alarm == ""
