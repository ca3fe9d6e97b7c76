"""Whole overviews for the page: what a person may find at three in the morning."""

import random
import time
from dataclasses import replace

from modelcast.dashboard.groups import GroupLook, PartitionLook
from modelcast.schemas.records import RegionState, StageSpan, VersionState
from modelcast.schemas.states import State
from tests.dashboard.makers import NOW, SECOND, as_of_now, fetching, refusing, row, state

PLACES = ("eu-central", "eu-north", "eu-west", "us-east", "us-west", "ap-south", "ap-east", "sa-east")
NAMES = (
    "fraud",
    "ranker",
    "churn",
    "search-embeddings",
    "captions",
    "speech-en",
    "speech-de",
    "spam",
    "ads-ctr",
    "eta",
)
STAGES = (
    StageSpan("wait", 0, 120, 120),
    StageSpan("fetch", 120, 3300, 3180),
    StageSpan("manifest", 120, 190, 70),
    StageSpan("origin", 190, 3150, 2900),
    StageSpan("verify", 400, 3290, 200),
    StageSpan("load", 3310, 5400, 2090),
)
SLOW = (StageSpan("wait", 0, 120, 120), StageSpan("fetch", 120, None, 0), StageSpan("origin", 190, 790_000, 780_000))


def regions(count: int) -> list[str]:
    """Names of regions."""
    return [PLACES[n] if n < len(PLACES) else f"{PLACES[n % len(PLACES)]}-{n // len(PLACES) + 1}" for n in range(count)]


def models(count: int) -> list[str]:
    """Names of models."""
    return [NAMES[n] if n < len(NAMES) else f"{NAMES[n % len(NAMES)]}-{n // len(NAMES) + 1}" for n in range(count)]


def well(region: str) -> RegionState:
    """A region that serves what it should, and how its bytes came."""
    done = row(
        region,
        bytes_moved=1_200_000,
        bytes_saved=68_000_000,
        bytes_total=69_200_000,
        way="delta from 6",
        spans_since_us=NOW - 60 * SECOND,
        spans=STAGES,
    )
    return as_of_now(done)


def silent_row(region: str, heard_at_us: int) -> RegionState:
    """A region that was last heard of then: what it serves is not known, as the tracker has it."""
    said = replace(well(region), served_version=None, pods_serving=0, silent=True)
    return replace(said, heard_at_us=heard_at_us, reported_at_us=heard_at_us - 20 * SECOND)


def overview(model_count: int = 10, region_count: int = 8) -> dict[str, VersionState]:
    """An overview in which all is well."""
    now_us = time.time_ns() // 1000
    return {
        name: state(name, [well(r) for r in regions(region_count)], updated_at_us=now_us)
        for name in models(model_count)
    }


def changed(states: dict[str, VersionState], model: str, region: str, it: RegionState) -> None:
    """Put another row in."""
    before = states[model]
    rows = tuple(it if each.region == region else each for each in before.regions)
    served = {each.served_version for each in rows}
    states[model] = replace(
        before,
        regions=rows,
        consistent_version=served.pop() if len(served) == 1 else None,
        latest_version=max(before.latest_version or 0, it.aspired_version or 0, it.refused_version or 0),
    )


def late(model_count: int = 10, region_count: int = 8) -> dict[str, VersionState]:
    """One region is late with one model, another has just begun."""
    states = overview(model_count, region_count)
    for region in regions(region_count):
        done = replace(well(region), aspired_version=8, aspired_generation=8, served_version=8, staged_version=8)
        changed(states, "ranker", region, done)
    changed(
        states,
        "ranker",
        "us-west",
        as_of_now(fetching("us-west", 840, spans_since_us=NOW - 830 * SECOND, spans=SLOW, bytes_per_second=41_000.0)),
    )
    changed(
        states,
        "ranker",
        "eu-north",
        as_of_now(fetching("eu-north", 31, bytes_moved=50 * 2**20, bytes_per_second=12.0 * 2**20)),
    )
    return states


def silent(model_count: int = 10, region_count: int = 8, region: str = "ap-south") -> dict[str, VersionState]:
    """One region has not been heard of for six minutes."""
    states = overview(model_count, region_count)
    heard = time.time_ns() // 1000 - 372 * SECOND
    for name in states:
        changed(
            states,
            name,
            region,
            silent_row(region, heard),
        )
    return states


def refused(model_count: int = 10, region_count: int = 8) -> dict[str, VersionState]:
    """A version was damaged in the store."""
    states = overview(model_count, region_count)
    why = (
        "model.onnx: expected sha256:dd2b1c9e0f7a4b6c8d9e0f1a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e, "
        "got sha256:9dc2aa00b1c2d3e4f5061728394a5b6c7d8e9fa0b1c2d3e4f5061728394a5b6c; fetched 3 times, the origin first"
    )
    for region in regions(region_count):
        changed(states, "fraud", region, as_of_now(refusing(region, error=why)))
    return states


def everything() -> dict[str, VersionState]:
    """Some of each status."""
    states, now_us = late(), time.time_ns() // 1000
    for region in regions(8):
        changed(states, "churn", region, replace(well(region), moved_at_us=now_us - 3600 * SECOND))
    refuses = refusing("eu-west", behind_seconds=660, error="expected dd2b…, got 9dc2…")
    for name, region, it in (
        ("fraud", "eu-west", as_of_now(refuses)),
        (
            "churn",
            "us-east",
            replace(
                well("us-east"),
                state=State.FAILED,
                served_version=6,
                pods_serving=0,
                behind_since_us=now_us - 95 * SECOND,
                error="pod us-east-1: out of memory while loading; again in 40 s",
            ),
        ),
        ("spam", "eu-central", replace(well("eu-central"), pinned_version=7, left_out="pinned")),
        ("ads-ctr", "sa-east", replace(well("sa-east"), left_out="placement", aspired_version=6, served_version=6)),
        (
            "eta",
            "ap-east",
            replace(
                well("ap-east"),
                state=None,
                heard_at_us=0,
                silent=True,
                served_version=None,
                reported_version=None,
                read_at_us=0,
                pods_serving=0,
                behind_since_us=now_us - 7200 * SECOND,
            ),
        ),
    ):
        changed(states, name, region, it)
    for name in states:
        heard = time.time_ns() // 1000 - 372 * SECOND
        changed(states, name, "ap-south", silent_row("ap-south", heard))
    return states


def large(model_count: int = 500, region_count: int = 200) -> dict[str, VersionState]:
    """An overview of 100,000 pairs with a few of each trouble."""
    chance = random.Random(7)
    states = overview(model_count, region_count)
    names, places = list(states), regions(region_count)
    heard = time.time_ns() // 1000 - 372 * SECOND
    for name in names:
        silenced = silent_row("ap-south", heard)
        rows = tuple(silenced if each.region == "ap-south" else each for each in states[name].regions)
        states[name] = replace(states[name], regions=rows)
    damaged = tuple(
        as_of_now(refusing(each.region, error="expected dd2b…, got 9dc2…")) if chance.random() < 0.98 else each
        for each in states["fraud"].regions
    )
    states["fraud"] = replace(states["fraud"], regions=damaged)
    for _ in range(12):
        region = chance.choice(places)
        if region != "ap-south":
            changed(
                states, chance.choice(names[1:]), region, as_of_now(fetching(region, chance.choice((12, 31, 48, 300))))
            )
    return states


EVIL = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>\u202ecod.exe\u0007'


def hostile() -> dict[str, VersionState]:
    """Strangers chose the reasons, ways and errors; names are as long as they may be."""
    states = overview(3, 3)
    long = "a" * 63
    states[long] = replace(next(iter(states.values())), model=long)
    changed(states, "fraud", "eu-west", as_of_now(refusing("eu-west", error=EVIL + "x" * 380)))
    changed(
        states, long, "eu-north", replace(well("eu-north"), state=State.FAILED, served_version=6, error=EVIL, way=EVIL)
    )
    states["ranker"] = replace(states["ranker"], alarm=EVIL)
    return states


def groups() -> tuple[GroupLook, ...]:
    """Consumer groups: one well, one without members, one whose offsets Kafka keeps to itself."""
    now_us = time.time_ns() // 1000
    waits = [PartitionLook("model-updates", n, 40, 0, 40 + 9 * n, now_us - n * 60 * SECOND) for n in range(12)]
    return (
        GroupLook("modelcast-tracker", 2, (PartitionLook("model-acks", 0, 9_000, 0, 9_000),)),
        GroupLook("modelcast-region-us-west", 0, tuple(waits)),
        GroupLook("modelcast-region-" + "x" * 60, None, (), "its offsets: Broker: Group authorization failed"),
    )
