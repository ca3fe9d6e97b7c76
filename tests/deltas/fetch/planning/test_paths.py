"""The planner: which way is cheapest, and what it may never do."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.consumers.fetch import Step, Way
from modelcast.deltas.fetch.planning.costs import Speeds
from modelcast.deltas.fetch.planning.paths import (
    CHAIN_MAX,
    OPTIONS_MAX,
    Detour,
    FilePlan,
    Holdings,
    Offer,
    Option,
    plan_files,
)
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry

MIB = BLOCK_SIZE_BYTES
SLOW = Speeds(origin_bytes_per_second=12.5e6, origin_request_seconds=0.08, measured=True)


def digest(name: object) -> str:
    return sha256_of(str(name).encode())


def wanted(name: str, size_bytes: int = 1000 * MIB, missing: int | None = None, local: int = 0) -> Step:
    file = FileEntry(name, size_bytes, digest(name), ("",) * -(-size_bytes // MIB))
    way = Way.WHOLE if missing is None else Way.RESUMED
    return Step(file, way, origin_bytes=size_bytes if missing is None else missing, local_bytes=local)


def offer(new: str, old: str | None, size_bytes: int, etag: str = "") -> Offer:
    base = digest(old) if old else None
    return Offer(digest(new), base, size_bytes, f"deltas/{digest(new)}.{base}", etag)


def the_plan(held: Holdings, *offers: Offer, speeds: Speeds = SLOW, want: Step | None = None) -> FilePlan:
    (found,) = plan_files([want or wanted("v7")], held, offers, speeds)
    return found


HELD = Holdings(cached={digest("v6"): 1000 * MIB, digest("v3"): 1000 * MIB})


def test_a_small_delta_from_what_is_held_wins_and_the_whole_stands_last() -> None:
    found = the_plan(HELD, offer("v7", "v6", 50 * MIB), offer("v7", "v3", 90 * MIB))
    assert [o.way for o in found.options] == [Detour.DELTA, Detour.DELTA, Way.WHOLE]
    assert found.chosen.base == digest("v6")
    assert found.chosen.origin_bytes == 50 * MIB


def test_a_delta_larger_than_seven_tenths_of_the_whole_is_not_taken() -> None:
    assert the_plan(HELD, offer("v7", "v6", 710 * MIB)).chosen.way is Way.WHOLE
    assert the_plan(HELD, offer("v7", "v6", 600 * MIB)).chosen.way is Detour.DELTA


def test_over_a_link_faster_than_the_codec_the_whole_is_taken() -> None:
    fast = replace(SLOW, origin_bytes_per_second=2e9, decode_bytes_per_second=400e6)
    assert the_plan(HELD, offer("v7", "v6", 50 * MIB), speeds=fast).chosen.way is Way.WHOLE


def test_a_chain_is_taken_where_no_direct_delta_leads() -> None:
    found = the_plan(HELD, offer("v7", "v5", 40 * MIB), offer("v5", "v3", 60 * MIB))
    assert found.chosen.way is Detour.CHAIN
    assert [o.new for o in found.chosen.offers] == [digest("v5"), digest("v7")]
    assert found.chosen.base == digest("v3")
    assert found.chosen.origin_bytes == 100 * MIB


def test_a_first_arrival_takes_the_compressed_whole() -> None:
    found = the_plan(Holdings(), offer("v7", None, 660 * MIB), offer("v7", "v6", MIB))
    assert [o.way for o in found.options] == [Detour.COMPRESSED, Way.WHOLE]


def test_a_base_that_only_the_regional_bucket_has_is_brought_from_there() -> None:
    found = the_plan(Holdings(regional={digest("v6"): 1000 * MIB}), offer("v7", "v6", 50 * MIB))
    assert found.chosen.way is Detour.DELTA
    assert found.chosen.base_in_region
    assert not the_plan(HELD, offer("v7", "v6", 50 * MIB)).chosen.base_in_region


def test_what_is_here_or_in_the_region_needs_no_delta() -> None:
    here = Holdings(cached={digest("v7"): 1})
    assert [o.way for o in the_plan(here, offer("v7", None, 1)).options] == [Way.CACHE]
    near = Holdings(regional={digest("v7"): 1})
    assert [o.way for o in the_plan(near, offer("v7", None, 1)).options] == [Way.REGION]


def test_a_whole_that_is_nearly_here_is_finished_rather_than_begun_anew_by_a_delta() -> None:
    nearly = wanted("v7", missing=10 * MIB)
    found = the_plan(HELD, offer("v7", "v6", 50 * MIB), want=nearly)
    assert found.chosen.way is Way.RESUMED
    assert found.chosen.origin_bytes == 10 * MIB


# --- properties

NODES = [f"n{i}" for i in range(7)]
SIZES = st.integers(0, 2000 * MIB)
OFFERS = st.lists(
    st.builds(offer, st.sampled_from(NODES), st.sampled_from([None, *NODES]), SIZES, st.sampled_from(["", "b"])),
    max_size=30,
)
HOLDINGS = st.builds(
    Holdings,
    cached=st.dictionaries(st.sampled_from([digest(n) for n in NODES]), SIZES, max_size=3),
    regional=st.dictionaries(st.sampled_from([digest(n) for n in NODES]), SIZES, max_size=3),
)
SPEEDS = st.builds(
    Speeds,
    origin_bytes_per_second=st.floats(1e3, 1e10),
    origin_request_seconds=st.floats(0, 10),
    region_bytes_per_second=st.floats(1e3, 1e10),
    decode_bytes_per_second=st.floats(1e3, 1e10),
    unpack_bytes_per_second=st.floats(1e3, 1e10),
)


@settings(deadline=None)
@given(HOLDINGS, OFFERS, SPEEDS, st.integers(1, 2000 * MIB))
def test_nothing_is_worse_than_the_whole_or_starts_from_what_is_not_held(
    held: Holdings, offers: list[Offer], speeds: Speeds, size_bytes: int
) -> None:
    want = wanted("n0", size_bytes)
    found = the_plan(held, *offers, speeds=speeds, want=want)
    last = found.options[-1]
    assert isinstance(last.way, Way)
    assert len(found.options) <= OPTIONS_MAX + 1
    for option in found.options:
        assert option.score <= last.score
        assert option.seconds <= option.score
        if isinstance(option.way, Detour):
            check_chain(option, want.file, held, offers)
    assert [o.score for o in found.options] == sorted(o.score for o in found.options)


def check_chain(option: Option, file: FileEntry, held: Holdings, offers: list[Offer]) -> None:
    assert set(option.offers) <= set(offers)
    assert option.offers[-1].new == file.digest
    assert (option.offers[0].old or "") == option.base
    assert not option.base or option.base in {*held.cached, *held.regional}
    assert option.base_in_region == (bool(option.base) and option.base not in held.cached)
    for one, other in itertools.pairwise(option.offers):
        assert other.old == one.new
    assert len({o.new for o in option.offers}) == len(option.offers) <= CHAIN_MAX
    assert option.origin_bytes == sum(o.size_bytes for o in option.offers)


@settings(deadline=None)
@given(HOLDINGS, OFFERS, SPEEDS, st.randoms(use_true_random=False))
def test_the_order_in_which_offers_are_listed_changes_nothing(
    held: Holdings, offers: list[Offer], speeds: Speeds, random: object
) -> None:
    shuffled = list(offers)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    wants = [wanted(n, 100 * MIB) for n in NODES]
    assert plan_files(wants, held, offers, speeds) == plan_files(wants, held, shuffled, speeds)


@settings(deadline=None)
@given(OFFERS, SPEEDS)
def test_the_chosen_chain_is_the_cheapest_of_all(offers: list[Offer], speeds: Speeds) -> None:
    """Against a slow twin that tries every path without a cycle."""
    held = Holdings(cached={digest("n1"): 5 * MIB, digest("n2"): 9 * MIB})
    want = wanted("n0", 300 * MIB)
    sizes = {**held.cached, want.file.digest: 300 * MIB}

    def cost(each: Offer) -> float:
        return speeds.by_delta(each.size_bytes, sizes.get(each.new, 300 * MIB), has_base=each.old is not None)

    def cheapest_to(node: str, seen: frozenset[str]) -> float:
        if node in held.cached or node == "":
            return 0.0
        into = [o for o in offers if o.new == node and o.old != node and (o.old or "") not in seen]
        return min((cheapest_to(o.old or "", seen | {node}) + cost(o) for o in into), default=float("inf"))

    found = the_plan(held, *offers, speeds=speeds, want=want)
    rebuilt = [o.seconds for o in found.options if isinstance(o.way, Detour)]
    if rebuilt:
        assert min(rebuilt) == pytest.approx(cheapest_to(want.file.digest, frozenset({want.file.digest})))


def test_a_delta_is_applied_while_it_arrives() -> None:
    link, rebuild = SLOW.over_the_link(500 * MIB), SLOW.rebuild(1000 * MIB, has_base=True)
    seconds = SLOW.by_delta(500 * MIB, 1000 * MIB, has_base=True)
    assert max(link, rebuild) < seconds < link + rebuild


def test_what_is_here_of_a_delta_need_not_come_again() -> None:
    begun = replace(offer("v7", "v3", 90 * MIB), here_bytes=80 * MIB)
    found = the_plan(HELD, offer("v7", "v6", 50 * MIB), begun)
    assert (found.chosen.base, found.chosen.origin_bytes) == (digest("v3"), 10 * MIB)


def test_thousands_of_hostile_offers_end() -> None:
    """Every file made of every other, in circles, beside chains longer than allowed."""
    circle = [offer(f"c{a}", f"c{b}", 1) for a in range(70) for b in range(70)]
    line = [offer(f"l{i + 1}", f"l{i}", 1) for i in range(3000)]
    ends = [offer("v7", "l3000", 1), offer("v7", "c5", 1), offer("c0", "v7", 1), offer("v7", "v7", 1)]
    held = Holdings(cached={digest("l0"): 1})
    assert [o.way for o in the_plan(held, *circle, *line, *ends).options] == [Way.WHOLE]
    held = Holdings(cached={digest("l2995"): 1, digest("c5"): 1})
    assert the_plan(held, *circle, *line, *ends).chosen.base == digest("c5")


def test_a_delta_that_is_nearly_here_is_finished_rather_than_the_whole() -> None:
    """After a crash both lie here for the most part: the file that was being made, and the delta that makes it."""
    nearly = replace(offer("v7", "v6", 100 * MIB), here_bytes=92 * MIB)
    found = the_plan(HELD, nearly, speeds=Speeds(), want=wanted("v7", missing=80 * MIB))
    assert found.chosen.way is Detour.DELTA
    assert found.chosen.origin_bytes == 8 * MIB
