"""What each record asks leave for."""

from dataclasses import replace

import pytest

from modelcast.schemas.records import Activation, CommandKind, CommandTarget, ModelCommand, RegionHeartbeat
from modelcast.schemas.trust.subjects import Signable, subjects_of
from tests.schemas.log.test_log import update
from tests.schemas.test_codec import ACK

PIN = ModelCommand("r", "e", "fraud", 2, CommandKind.PIN, (CommandTarget("eu", 1), CommandTarget("us", 1)), 1, "ann")


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (update(1, 1), ("publish/fraud/immediate/~all",)),
        (replace(update(1, 1), activation=Activation.STAGED), ("publish/fraud/staged/~all",)),
        (
            replace(update(1, 1), placement=("eu", "us")),
            ("publish/fraud/immediate/eu", "publish/fraud/immediate/us"),
        ),
        (PIN, ("command/pin/fraud/eu", "command/pin/fraud/us")),
        (replace(PIN, targets=(CommandTarget(version=1),)), ("command/pin/fraud/~all",)),
        (ACK, ("ack/eu/fraud",)),
        (RegionHeartbeat("r", "eu", "w", 1, 1, 1), ("beat/eu",)),
    ],
)
def test_a_record_asks_leave_for_each_thing_that_it_does(record: Signable, expected: tuple[str, ...]) -> None:
    assert subjects_of(record) == expected
