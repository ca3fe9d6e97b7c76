"""``tests/consumers/fetch/slow_fetch.py`` by delta, with the same arguments, for test_kill_by_delta.py."""

from modelcast.consumers.fetch import ArtifactCache, BaseCandidates, FetchReport
from modelcast.schemas.ports import ObjectStore
from tests.consumers.fetch.slow_fetch import main
from tests.deltas.fetch.offering import by_delta


def from_before(
    origin: ObjectStore, region: ObjectStore | None, cache: ArtifactCache, digest: str, before: str
) -> FetchReport:
    """A fetch by a delta from the version before."""
    return by_delta(origin, region, cache).fetch(digest, candidates=BaseCandidates(2, (), {1: before, 2: digest}))


if __name__ == "__main__":
    main(from_before)
