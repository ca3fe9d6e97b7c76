"""What is told of states that are not repeated: whose they are, and what gets younger by it."""

from dataclasses import replace

from modelcast.schemas.names import MODEL_PATTERN
from modelcast.schemas.topics import MODEL_PARTITIONS, partition_of
from modelcast.schemas.unchanged import UNCHANGED_KEYS, StatesUnchanged, UnchangedState, is_unchanged, renewed
from tests.dashboard.makers import NOW, REGISTRY, SECOND, row, state

SAID = state(
    "fraud", [row("eu"), row("us", silent=True), row("ap", unread=True), row("sa", read_at_us=0)], as_of_us=NOW
)
ROW = UnchangedState("fraud", NOW, NOW + 30 * SECOND, NOW + 20 * SECOND)
TOLD = StatesUnchanged(REGISTRY, 3, NOW + 30 * SECOND, NOW + 28 * SECOND, (ROW,))


def test_each_partition_has_a_key_that_no_model_can_have() -> None:
    assert [partition_of(key) for key in UNCHANGED_KEYS] == list(range(MODEL_PARTITIONS))
    assert not any(MODEL_PATTERN.fullmatch(key) for key in UNCHANGED_KEYS)
    assert all(is_unchanged(key.encode()) for key in UNCHANGED_KEYS)
    assert not is_unchanged(b"fraud")
    assert not is_unchanged(None)


def test_a_state_that_still_holds_gets_younger_and_stays_what_it_was() -> None:
    newer = renewed(SAID, TOLD, TOLD.of("fraud"))
    assert newer is not None
    assert (newer.updated_at_us, newer.as_of_us) == (NOW + 30 * SECOND, NOW + 30 * SECOND)
    eu, us, ap, sa = newer.regions
    assert (eu.read_at_us, eu.heard_at_us) == (NOW + 20 * SECOND, NOW + 28 * SECOND)
    assert (us, ap) == (SAID.regions[1], SAID.regions[2]), "of those nothing was heard"
    assert sa.read_at_us == 0, "no pod of it was ever read back"
    same = replace(eu, read_at_us=SAID.regions[0].read_at_us, heard_at_us=SAID.regions[0].heard_at_us)
    assert same == SAID.regions[0]


def test_nothing_gets_older_by_what_is_told() -> None:
    late = StatesUnchanged(REGISTRY, 3, NOW - SECOND, NOW - 60 * SECOND, (replace(ROW, as_of_us=1, read_at_us=1),))
    assert renewed(SAID, late, late.of("fraud")) == SAID


def test_of_another_state_or_registry_nothing_is_told() -> None:
    assert renewed(SAID, TOLD, TOLD.of("spam")) is None
    assert renewed(SAID, TOLD, replace(ROW, said_at_us=NOW + 1)) is None
    assert renewed(SAID, replace(TOLD, registry_id="another"), ROW) is None
