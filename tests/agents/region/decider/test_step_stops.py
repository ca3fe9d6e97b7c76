"""When the decider of one model in one region waits, doubts itself, or stops."""

from modelcast.agents.region.decider.events_and_effects import (
    CheckOwner,
    Contradicted,
    Fetched,
    FetchFailed,
    Folded,
    LoadRefused,
    PodLost,
    PodRead,
    Read,
    Refold,
    Replaced,
    Report,
    Save,
    Saved,
    SaveFailed,
    Tick,
)
from modelcast.agents.region.decider.policy import Policy
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import CommandKind
from tests.agents.region.words import MODEL, Log, Region, digest, memory_of, reading, serving


def test_tries_are_spaced_further_and_further_apart() -> None:
    policy = Policy()
    waits = [policy.backoff(n, "x") for n in range(1, 9)]
    assert all(0.5 * min(60, 2 ** (n - 1)) <= wait <= 60 for n, wait in enumerate(waits, 1))
    assert waits[0] < waits[2] < waits[4]
    assert policy.backoff(3, "eu") != policy.backoff(3, "us")
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.on(FetchFailed(digest(1), "away"))
    due = region.replica.wakes_at(region.now)
    assert region.now < due <= region.now + 1
    region.now = due
    region.on(Tick())
    assert region.fetches == [1]


def test_waking_is_never_asked_for_in_the_past() -> None:
    region = serving("a", "b")
    region.on(LoadRefused("a", memory_order(region), "unauthorized", "no"))
    region.on(PodLost("a", "gone"))
    for _ in range(20):
        due = region.replica.wakes_at(region.now)
        assert due > region.now
        region.now = due
        region.on(Tick())
        for pod in region.reads:
            region.on(PodLost(pod, "gone") if pod == "a" else PodRead(reading(pod, 1)))


def memory_order(region: Region):  # type: ignore[no-untyped-def]
    from modelcast.consumers.pod_clients.port import LoadOrder

    saved = region.replica.facts.saved
    return LoadOrder(MODEL, 1, digest(1), 1, saved.epoch, saved.registry_id)


def test_a_pod_that_obeys_a_higher_epoch_makes_the_owner_doubt_itself() -> None:
    region = serving("a")
    region.on(PodRead(reading("a", 1, epoch=5)))
    assert region.checks == [CheckOwner(5)]


def test_a_raised_epoch_is_given_to_the_pods() -> None:
    region = serving("a")
    region.on(PodRead(reading("a", 1, epoch=5)))
    raised = region.replica.facts.saved
    region.on(Saved(type(raised)(**{**{f: getattr(raised, f) for f in raised.__slots__}, "epoch": 6})))
    assert (region.loads, region.order().epoch) == ([("a", 1)], 6)


def test_a_stale_order_that_is_refused_makes_the_owner_look_at_log_and_state() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(log.publish(2).folded)
    region.fetched(2)
    effects = region.on(LoadRefused("a", region.order(), "stale", "epoch 9 was accepted"))
    assert {type(e) for e in effects} >= {CheckOwner, Refold}


def test_a_replaced_owner_does_nothing_whatever_happens() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(Replaced("epoch 2 is another's"))
    before = region.replica
    for event in (log.publish(2).folded, PodRead(reading("a", None)), Tick(), Fetched(digest(2))):
        assert region.after(100).on(event) == ()
    assert region.replica == before


def test_another_registry_stops_the_model_until_the_right_one_is_back() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    region.on(Folded(ModelLog(MODEL, "another")))
    assert region.replica.facts.alarm
    assert [type(e) for e in region.after(60).on(Tick())] == [Read]
    region.on(log.publish(2).refolded)
    assert (region.replica.facts.alarm, region.fetches) == ("", [2])


def test_a_log_that_lost_what_was_accepted_stops_the_model() -> None:
    region = Region("a", memory=memory_of(2, 2))
    region.on(Log().publish(1).folded)
    assert "accepted" in region.replica.facts.alarm
    assert region.loads == region.fetches == []


def test_another_event_at_an_accepted_generation_stops_the_model() -> None:
    region = Region("a", memory=memory_of(1, 1, accepted_digest=sha256_of(b"another")))
    region.on(Log().publish(1).folded)
    assert "the log was rewritten" in region.replica.facts.alarm


def test_a_contradiction_found_by_the_reader_stops_the_model_and_is_told() -> None:
    region = serving("a")
    effects = region.on(Contradicted("an entry is gone"))
    assert [type(e) for e in effects] == [Save, Report]
    assert [type(e) for e in region.after(60).on(Tick())] == [Read]


def test_a_save_that_failed_is_tried_again_and_nothing_is_loaded_before_it_is_durable() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.on(SaveFailed("away"))
    region.on(Fetched(digest(1)))
    assert region.loads == []
    region.now = region.replica.wakes_at(region.now)
    region.on(Tick())
    assert region.all_of(Save)
    region.save_all()
    assert region.loads == [("a", 1)]


def test_a_pod_that_comes_back_does_not_get_a_version_that_people_quarantined_until_they_release_it() -> None:
    log = Log().publish(1)
    region = serving("a", log=log)
    log.say(CommandKind.QUARANTINE, 1)
    region.on(log.folded)
    region.save_all()
    assert region.replica.facts.saved.served_quarantined == 2
    assert region.replica.facts.saved.log_quarantined == (1,)
    assert region.replica.facts.saved.refusal == "fraud/1 is quarantined (generation 2): modelcast release fraud/1"
    region.all_read(None)
    assert region.loads == []

    taken_over = Region("a", memory=region.replica.facts.saved.claimed_by("another"))
    taken_over.on(Contradicted("the log was rewritten"))
    taken_over.all_read(None)
    assert taken_over.loads == [], "what was quarantined stays so while no log is obeyed"

    log.say(CommandKind.RELEASE, 1)
    region.settle(log)
    assert region.replica.settled
    assert region.replica.facts.saved.log_quarantined == ()
    assert region.replica.facts.saved.refusal == ""
