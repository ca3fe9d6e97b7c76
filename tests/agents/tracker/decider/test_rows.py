"""What a worker of the tracker knows of its models, when another registry's reports lie in its table."""

import pytest

from modelcast.agents.tracker.decider.rows import Rows
from modelcast.schemas.codec import encode
from tests.agents.tracker.makers import MODEL, log_of, pages, pod, update

LOG = log_of(update(1, 1))


@pytest.mark.parametrize("read_first", [False, True])
@pytest.mark.parametrize("ours", [False, True])
def test_what_the_table_kept_counts_if_it_is_of_this_registry(ours: bool, read_first: bool) -> None:
    rows, registry = Rows(), LOG.registry_id if ours else "another-registry"
    acks = pages("eu", [pod("a", 1, 1)], registry_id=registry)
    kept = [((0, ack.page), ack, encode(ack)) for ack in acks]
    if read_first:
        rows.row(MODEL).read(LOG, {})
    rows.restore(MODEL, "eu", kept)
    row = rows.row(MODEL)
    if not read_first:
        assert set(row.snapshots) == {"eu"}, "before the log is read nobody can tell"
        row.read(LOG, {})
    assert set(row.snapshots) == set(row.accepted()) == ({"eu"} if ours else set())
    gone = [key for key, value in row.unwritten.items() if value is None]
    assert bool(gone) is not ours, "and it leaves the table"
    assert all(key.startswith(b"row/fraud/eu/") for key in gone)
