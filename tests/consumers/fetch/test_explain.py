"""Every way is named with its reason."""

from dataclasses import replace

from modelcast.consumers.fetch.explain import Considered, explain
from modelcast.consumers.fetch.ways import Holdings, Kind, Offer
from tests.consumers.fetch.test_ways import HELD, MIB, SLOW, digest, offer, wanted

VERSIONS = {digest("v3"): 3, digest("v6"): 6}


def explained(*offers: Offer, held: Holdings = HELD, link: float = 12.5e6) -> list[Considered]:
    speeds = replace(SLOW, origin_bytes_per_second=link)
    plans, (file,) = explain([wanted("v7")], held, offers, speeds, VERSIONS)
    assert plans[0].chosen.seconds == file.ways[0].seconds
    assert [way.chosen for way in file.ways] == [True] + [False] * (len(file.ways) - 1)
    return list(file.ways)


def test_what_is_taken_stands_first_and_what_is_not_says_why() -> None:
    ways = explained(
        offer("v7", "v6", 50 * MIB), offer("v7", "v3", 100 * MIB), offer("v7", "v2", 1), offer("v7", None, 1010 * MIB)
    )
    told = [(way.kind, way.way, way.why) for way in ways]
    assert told[0] == (Kind.DELTA, "delta from 6", "costs least")
    assert told[1] == (Kind.DELTA, "delta from 3", "4.19 s more")
    assert told[2][:2] == (Kind.WHOLE, "whole")
    assert told[3] == (Kind.PACKED, "compressed whole", "1.05 s more than the whole")
    assert told[4] == (Kind.DELTA, "delta", "its base is not held, and nothing leads there")
    assert ways[4].seconds is None


def test_a_delta_that_saves_too_little_says_how_little() -> None:
    ways = explained(offer("v7", "v6", 800 * MIB))
    assert [way.why for way in ways] == ["nothing costs less", "80% of the whole's bytes: not worth a failure"]


def test_over_a_fast_link_deltas_say_that_they_are_slower() -> None:
    ways = explained(offer("v7", "v6", 50 * MIB), link=5e9)
    assert [way.kind for way in ways] == [Kind.WHOLE, Kind.DELTA]
    assert ways[1].why.endswith("s more than the whole")


def test_what_is_here_needs_no_reasons_for_anything_else() -> None:
    ways = explained(offer("v7", "v6", 1), held=Holdings(cached={digest("v7"): 1}))
    assert [(way.kind, way.why) for way in ways] == [(Kind.CACHE, "the bytes are here already")]
