"""The decider and the progress of fetches: reported while it is news, and never mistaken for an outcome."""

from dataclasses import replace

from modelcast.agents.region.decider.events_and_effects import Fetched, FetchFailed, Fetching, Report, Tick, Transfer
from modelcast.schemas.states import State
from tests.agents.region.words import Log, Region, digest


def half_way() -> Transfer:
    return Transfer(bytes_moved=500, bytes_planned=1001, bytes_per_second=50.0, way="whole")


def test_what_a_fetch_says_of_itself_is_reported_while_it_runs() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    assert region.replica.pending.fetching == {digest(1)}
    assert Report() in region.on(Fetching(digest(1), half_way()))
    assert region.replica.facts.transfers[digest(1)] == half_way()
    assert region.replica.state is State.FETCHING
    assert Report() not in region.on(Fetching(digest(1), half_way())), "nothing new"


def test_progress_that_arrives_after_the_end_changes_nothing() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    done = Transfer(bytes_moved=1001, bytes_total=1001, way="whole")
    region.on(Fetched(digest(1), done))
    before = region.replica
    assert region.on(Fetching(digest(1), half_way())) == ()
    assert region.replica == before
    assert region.replica.facts.transfers[digest(1)] == done


def test_progress_of_what_nobody_asked_for_changes_nothing() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.on(Fetching(digest(2), half_way()))
    assert digest(2) not in region.replica.facts.transfers


def test_a_retried_fetch_starts_to_count_anew() -> None:
    region = Region("a")
    region.all_read(None)
    region.on(Log().publish(1).folded)
    region.on(Fetching(digest(1), half_way()))
    region.on(FetchFailed(digest(1), "cut"))
    region.after(100).on(Tick())
    assert region.replica.pending.fetching == {digest(1)}
    region.on(Fetching(digest(1), replace(half_way(), bytes_moved=7)))
    assert region.replica.facts.transfers[digest(1)].bytes_moved == 7
