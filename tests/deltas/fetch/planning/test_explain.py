"""Every way is named with its reason."""

from dataclasses import replace

import pytest

from modelcast.consumers.fetch import Way
from modelcast.deltas.fetch.planning.explain import Considered, explain
from modelcast.deltas.fetch.planning.paths import OPTIONS_MAX, Detour, Holdings, Offer
from tests.deltas.fetch.planning.test_paths import HELD, MIB, SLOW, digest, offer, wanted

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
    told = [(way.way, way.label, way.why) for way in ways]
    assert told[0] == (Detour.DELTA, "delta from 6", "costs least: 4.54 s + 25.19 s risk")
    assert told[1] == (Detour.DELTA, "delta from 3", "costs 4.19 s more")
    assert told[2] == (Way.WHOLE, "whole", "costs 54.24 s more")
    assert told[3] == (Detour.COMPRESSED, "compressed whole", "costs 5.25 s more than the whole")
    assert told[4] == (Detour.DELTA, "delta", "its base is not held, and nothing leads there")
    assert ways[4].seconds is None


def test_the_version_of_a_base_that_is_not_held_is_named() -> None:
    _, left_out = explained(offer("v7", "v3", MIB), held=Holdings())
    assert (left_out.label, left_out.why) == (
        "delta from 3", "its base of version 3 is not held, and nothing leads there",
    )  # fmt: skip


def test_a_delta_that_saves_too_little_says_how_little() -> None:
    ways = explained(offer("v7", "v6", 800 * MIB))
    whole, delta = ways
    assert whole.why == "nothing costs less"
    assert whole.risk_seconds == 0
    assert delta.why == (
        "16.52 s sooner than the whole, but 25.19 s more risk: a failure would cost more than that saves"
    )


def test_a_chain_that_is_sooner_than_the_delta_taken_says_what_its_risk_costs() -> None:
    quick = Holdings(cached={digest("v6"): 1000 * MIB, digest("v3"): 1000 * MIB, digest("v5"): MIB})
    ways = explained(offer("v7", "v6", 80 * MIB), offer("v7", "v4", 20 * MIB), offer("v4", "v3", 1), held=quick)
    taken, chain = ways[0], ways[1]
    assert (taken.way, chain.way) == (Detour.DELTA, Detour.CHAIN)
    assert taken.seconds is not None
    assert chain.seconds is not None
    assert chain.seconds < taken.seconds
    assert "s sooner, but 4.20 s more risk" in chain.why


@pytest.mark.parametrize("link", [1e6, 12.5e6, 100e6, 5e9])
def test_what_is_taken_has_the_least_sum_of_seconds_and_risk(link: float) -> None:
    ways = explained(
        *(offer("v7", old, size * MIB) for old, size in (("v6", 700), ("v3", 300), (None, 660))),
        *(offer(f"v{8 + n}", "v6", n * MIB) for n in range(10)),
        *(offer("v7", f"v{8 + n}", 5 * n * MIB) for n in range(10)),
        link=link,
    )
    costs = [way.seconds + way.risk_seconds for way in ways if way.seconds is not None and way.risk_seconds is not None]
    assert len(costs) == len(ways)
    assert costs[0] == min(costs)


def test_more_ways_than_are_kept_say_so() -> None:
    ways = explained(
        *(offer(f"v{8 + n}", "v6", n * MIB) for n in range(10)),
        *(offer("v7", f"v{8 + n}", 5 * n * MIB) for n in range(10)),
    )
    assert [way.why for way in ways if way.label.startswith("chain")][OPTIONS_MAX:] == ["enough others cost less"] * 2


def test_over_a_fast_link_deltas_say_that_they_are_slower() -> None:
    ways = explained(offer("v7", "v6", 50 * MIB), link=5e9)
    assert [way.way for way in ways] == [Way.WHOLE, Detour.DELTA]
    assert ways[1].why.endswith("s more than the whole")
    assert ways[1].why.startswith("costs ")


def test_what_is_here_needs_no_reasons_for_anything_else() -> None:
    ways = explained(offer("v7", "v6", 1), held=Holdings(cached={digest("v7"): 1}))
    assert [(way.way, way.why) for way in ways] == [(Way.CACHE, "the bytes are here already")]
