"""Whether the demo's promises held. Pure.

What is wrong breaks a promise; what is only late is reported with its numbers, and what was not waited for to its end
is unfinished. A slow machine makes everything late, so nothing here breaks by the clock.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from modelcast.cli.demo.offered import Offered
from modelcast.cli.demo.seen import Crossing, Seen
from modelcast.cli.demo.traffic import REQUEST_SECONDS_MAX, Tally
from modelcast.schemas.quantities import size

DAMAGED = 3
"""The version of the small model whose bytes the demo damages."""
ROLLBACK = "rollback to 1"
DELTA_SHARE_MAX = 0.1
"""What a delta of the large model's second version may take of its size."""
CROSSED_SHARE_MAX = 0.35
"""What crossed as such a delta may have moved: more than the delta, if a slow machine asked for parts of it twice."""
SERVING_SECONDS_USUAL = 30.0
ANSWER_SECONDS_USUAL = 5.0
REQUESTS_PER_SECOND_USUAL = 20.0


@dataclass(frozen=True, slots=True)
class Followed:
    """One model of the demo: what the tracker reported of it, and what its pods answered."""

    model: str
    seen: Seen
    tally: Tally


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict of a demo, in words.

    Attributes:
        broken: promises that did not hold.
        late: what came later or slower than is usual.
        unfinished: what was not waited for to its end.
    """

    broken: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    unfinished: tuple[str, ...] = ()


def judge(
    small: Followed,
    large: Followed,
    *,
    regions: frozenset[str],
    finished: bool,
    offered: Offered | None,
    rate: float,
) -> Judgement:
    """Judge what was recorded.

    Args:
        small: the model that is replaced, damaged and rolled back.
        large: the one that should cross as a delta the second time.
        regions: all that the demo has.
        finished: whether the course came to its end; what it did not come to is not judged.
        offered: the deltas of the large model's second version; None: no accelerator is installed that makes them.
        rate: requests a second to the pod that was asked least.
    """
    broken = [*_wrong_answers(small, large), *_damage(small, regions, finished)]
    late: list[str] = []
    if finished:
        broken += _never_served(small, large, regions)
        late += _unseen_progress(large, regions)
        if rate < REQUESTS_PER_SECOND_USUAL:
            late.append(
                f"each pod was asked {rate:.1f} times a second, {REQUESTS_PER_SECOND_USUAL:.0f} or more are usual"
            )
    wrong, slow = judge_deltas(f"{large.model}/2", large.seen.crossings.get("2", {}), offered)
    broken += wrong
    late += [*slow, *_slow(small), *_slow(large)]
    return Judgement(tuple(broken), tuple(late), tuple(_unanswered(small, large)))


def _wrong_answers(*models: Followed) -> Iterator[str]:
    for each in models:
        tally = each.tally
        if tally.failed:
            yield f"no request may fail: {tally.failed} of {tally.sent} to {each.model} did"
        if tally.lost:
            yield f"no request may be lost: {tally.lost} of {tally.sent} to {each.model} have no answer"
        if tally.wrong:
            yield f"every answer is what its version computes: {tally.wrong} of {tally.sent} of {each.model} are not"
        yield from tally.examples


def _unanswered(*models: Followed) -> Iterator[str]:
    for each in models:
        if each.tally.unanswered:
            yield (
                f"{each.tally.unanswered} of {each.tally.sent} requests to {each.model} had no answer within "
                f"{REQUEST_SECONDS_MAX:.0f} s and were not waited for any longer"
            )


def _damage(small: Followed, regions: frozenset[str], finished: bool) -> Iterator[str]:
    if DAMAGED in small.seen.served | small.tally.versions_ever:
        yield f"{small.model}/{DAMAGED}, whose bytes are damaged, was served"
    refused = small.seen.refused.get(DAMAGED, {})
    if finished and (missing := regions - set(refused)):
        yield f"{small.model}/{DAMAGED} is refused in every region: not in {', '.join(sorted(missing))}"
    if unexplained := sorted(region for region, why in refused.items() if not why):
        yield f"a refusal has a reason: {', '.join(unexplained)} gave none"


def _never_served(small: Followed, large: Followed, regions: frozenset[str]) -> Iterator[str]:
    for each, labels in ((small, ("1", "2", ROLLBACK)), (large, ("1", "2"))):
        for label in labels:
            if missing := regions - set(each.seen.seconds_to_serving.get(label, {})):
                yield f"{each.model}, {label}: never served in {', '.join(sorted(missing))}"
    if large.tally.versions_ever != {1, 2}:
        answered = ", ".join(map(str, sorted(large.tally.versions_ever))) or "none"
        yield f"both versions of {large.model} answer: {answered} did"


def _unseen_progress(large: Followed, regions: frozenset[str]) -> Iterator[str]:
    if unseen := sorted(regions - large.seen.progress):
        yield f"the progress of {large.model} reached the tracker only after the fetch: {', '.join(unseen)}"


def judge_deltas(
    version: str, crossings: Mapping[str, Crossing], offered: Offered | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What is wrong, and what is late, about the deltas of ``version`` and how it came into the regions.

    Regions are paused until the publisher is done: a delta that it made serves every region, on any machine. Where the
    publication broke off, there may be none, and that is late.
    """
    if offered is None:
        return (), ()
    wrong = list(_wrong_offers(version, offered))
    late: list[str] = []
    for region, crossing in sorted(crossings.items()):
        moved = f"{size(crossing.bytes_moved)} of {size(crossing.bytes_total)} moved ({crossing.way})"
        if crossing.bytes_moved < DELTA_SHARE_MAX * crossing.bytes_total:
            continue
        if crossing.bytes_moved < CROSSED_SHARE_MAX * crossing.bytes_total:
            late.append(f"parts of {version} crossed into {region} more than once: {moved}")
        elif offered.made:
            wrong.append(f"a delta of {version} was there before {region} fetched, and did not serve: {moved}")
        elif not offered.complete:
            late.append(f"no delta of {version} was ready when {region} fetched: {moved}")
    return tuple(wrong), tuple(late)


def _wrong_offers(version: str, offered: Offered) -> Iterator[str]:
    if offered.complete and not offered.made:
        yield f"no delta of {version} was made: {offered.notes or 'the publisher gives no reason'}"
    for delta in offered.made:
        if delta.size_bytes > DELTA_SHARE_MAX * delta.whole_bytes:
            yield f"the delta of {version} is not small: {size(delta.size_bytes)} for {size(delta.whole_bytes)}"


def _slow(each: Followed) -> Iterator[str]:
    for label, row in each.seen.seconds_to_serving.items():
        slow = {region: seconds for region, seconds in row.items() if seconds > SERVING_SECONDS_USUAL}
        if slow:
            took = ", ".join(f"{region} {seconds:.0f} s" for region, seconds in sorted(slow.items()))
            yield f"{each.model}, {label}: served after {took} (usual: under {SERVING_SECONDS_USUAL:.0f} s)"
    yield from _slow_answers(each.model, each.tally.latencies_seconds)


def _slow_answers(model: str, latencies_seconds: Iterable[float]) -> Iterator[str]:
    slow = [seconds for seconds in latencies_seconds if seconds > ANSWER_SECONDS_USUAL]
    if slow:
        yield f"{len(slow)} answers of {model} took over {ANSWER_SECONDS_USUAL:.0f} s, the slowest {max(slow):.1f} s"
