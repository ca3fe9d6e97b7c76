"""What is said of a plan, and how long a better one is waited for."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.fetch import BaseCandidates, Step, Way, in_words
from modelcast.deltas.fetch.planning.costs import Speeds
from modelcast.deltas.fetch.planning.labels import labelled
from modelcast.deltas.fetch.planning.paths import Detour, FilePlan, Offer, Option
from modelcast.deltas.fetch.planning.patience import (
    BETWEEN_MAX,
    OLDER_MAX,
    WAIT_SECONDS_MAX,
    between,
    older,
    patience,
    transfer_seconds,
    unoffered,
    worth_a_look,
)
from modelcast.schemas.manifest import FileEntry
from modelcast.schemas.records import DeltaHint

MB = 1_000_000
LINK = Speeds(origin_bytes_per_second=12.5e6, origin_request_seconds=0.08, measured=True)


def whole(size_bytes: int, speeds: Speeds = LINK) -> FilePlan:
    seconds = speeds.over_the_link(size_bytes)
    return FilePlan(FileEntry("w", size_bytes, "d", ()), (Option(Way.WHOLE, size_bytes, seconds, seconds),))


def test_a_delta_that_saves_much_is_waited_for_half_of_what_it_saves() -> None:
    files = [whole(500 * MB)]
    wait, good_enough = patience(files, [DeltaHint(3, 10 * MB)], LINK)
    saved = transfer_seconds(files) - LINK.by_delta(10 * MB, 500 * MB, has_base=True)
    assert wait == pytest.approx(saved / 2)
    assert good_enough < transfer_seconds(files) / 2


@pytest.mark.parametrize(
    ("files", "hints", "speeds"),
    [
        ([whole(500 * MB)], [], LINK),
        ([whole(500 * MB)], [DeltaHint(3, 450 * MB)], LINK),
        ([whole(5 * MB)], [DeltaHint(3, 1)], LINK),
        ([whole(500 * MB)], [DeltaHint(3, MB)], Speeds()),
    ],
    ids=["no hint", "too large", "soon here anyway", "link not measured"],
)
def test_nobody_waits_in_vain(files: list[FilePlan], hints: list[DeltaHint], speeds: Speeds) -> None:
    assert patience(files, hints, speeds)[0] == 0


@given(
    st.integers(0, 10**13),
    st.lists(st.builds(DeltaHint, st.integers(0, 9), st.integers(0, 10**13))),
    st.floats(1, 1e10),
)
def test_the_wait_is_bounded(size_bytes: int, hints: list[DeltaHint], rate: float) -> None:
    speeds = Speeds(origin_bytes_per_second=rate, measured=True)
    files = [whole(size_bytes, speeds)]
    wait, _ = patience(files, hints, speeds)
    assert 0 <= wait <= min(WAIT_SECONDS_MAX, transfer_seconds(files) / 2)


def option(kind: Way | Detour, base: str = "", deltas: int = 1) -> Option:
    offers = tuple(Offer("n", base, 1, f"k{i}") for i in range(deltas))
    return Option(kind, 1, 1.0, 1.0, offers if isinstance(kind, Detour) else (), base)


def rest(chosen: Option) -> Option:
    """The same, gone on with."""
    *before, last = chosen.offers
    return replace(chosen, offers=(*before, replace(last, size_bytes=9, here_bytes=4)))


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ([option(Way.WHOLE)], "whole"),
        ([option(Detour.DELTA, "b")], "delta from 3"),
        ([option(Detour.CHAIN, "b", 2)], "chain of 2 deltas from 3"),
        ([option(Detour.COMPRESSED)], "compressed whole"),
        ([option(Detour.COMPRESSED, deltas=2)], "compressed whole + delta"),
        ([option(Detour.COMPRESSED, deltas=3)] * 2, "2 compressed wholes + 2 deltas each"),
        ([rest(option(Detour.COMPRESSED, deltas=2))] * 2, "2 rests of compressed wholes + delta each"),
        ([option(Detour.DELTA, "stranger")], "delta"),
        ([option(Way.CACHE)] * 3 + [option(Detour.DELTA, "b")], "3 unchanged, 1 delta from 3"),
        ([option(Detour.DELTA, "b")] * 2 + [option(Way.REGION)], "1 from the region, 2 deltas from 3"),
        ([option(Detour.COMPRESSED)] * 2 + [option(Way.WHOLE)] * 3, "2 compressed wholes, 3 wholes"),
        ([rest(option(Detour.DELTA, "b"))], "rest of a delta from 3"),
        ([rest(option(Detour.CHAIN, "b", 2))] * 2, "2 rests of chains of 2 deltas from 3"),
        (
            [rest(option(Detour.COMPRESSED)), option(Detour.COMPRESSED)],
            "1 compressed whole, 1 rest of a compressed whole",
        ),
    ],
)
def test_ways_are_said_in_few_words(chosen: list[Option], words: str) -> None:
    file = FileEntry("w", 1, "d", ())
    steps = [Step(file, Way.CACHE if each.way is Way.CACHE else Way.WHOLE) for each in chosen]
    assert in_words([labelled(step, each, {"b": 3}) for step, each in zip(steps, chosen, strict=True)]) == words


# --- where to look

MANY = BaseCandidates(30, digests={version: f"v{version}" for version in range(1, 41)})


def test_the_newest_few_versions_between_the_one_held_and_the_one_wanted_may_make_a_chain() -> None:
    assert between(MANY, 27) == ["v29", "v28"]
    assert between(MANY, 3) == ["v29", "v28", "v27", "v26"]
    assert len(between(MANY, 0)) == BETWEEN_MAX


def test_the_newest_few_earlier_versions_are_asked_once_each() -> None:
    assert older(MANY, 0, [])[0] == "v29"
    assert len(older(MANY, 0, [])) == OLDER_MAX
    assert older(MANY, 27, ["v29"]) == ["v28"]
    assert older(MANY, 29, []) == older(MANY, 35, []) == []


def test_bytes_count_of_which_nothing_is_offered() -> None:
    files = [FileEntry("a", 5, "a", ()), FileEntry("b", 7, "b", ())]
    assert unoffered(files, [Offer("a", None, 1, "k")]) == 7


@pytest.mark.parametrize(
    ("size_bytes", "speeds", "worth"),
    [(500 * MB, LINK, True), (5 * MB, LINK, False), (5 * MB, replace(LINK, origin_bytes_per_second=1e6), True)],
)
def test_a_look_in_the_dark_must_be_small_beside_the_whole(size_bytes: int, speeds: Speeds, worth: bool) -> None:
    assert worth_a_look(size_bytes, speeds) == worth
