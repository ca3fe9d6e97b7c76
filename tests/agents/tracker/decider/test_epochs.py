"""Which owner epochs are believed, what waits for a look, and since when something is not decided."""

import pytest

from modelcast.agents.tracker.decider import epochs as deciding
from modelcast.agents.tracker.decider.epochs import ASIDE_MAX, Epochs, SetAside
from modelcast.agents.tracker.decider.reading import ReadProgress
from modelcast.schemas.topics import partition_of
from tests.agents.tracker.makers import MODEL, pages, pod


def page(epoch: int, at_us: int, region: str = "eu", model: str = MODEL, raw: bytes = b"raw") -> SetAside:
    (ack,) = pages(region, [pod("a", 1, 1)], epoch=epoch, model=model)
    return SetAside(ack, raw, partition_of(model), 0, None, at_us)


def test_a_look_decides_what_was_set_aside_before_it_began_and_nothing_that_came_meanwhile() -> None:
    epochs = Epochs()
    epochs.set_aside(early := page(7, 1))
    epochs.look_begins(MODEL, "eu")
    epochs.set_aside(late := page(7, 2))
    assert epochs.bears_out(MODEL, "eu", 6) == ([], [early])
    assert epochs.regions_waiting(MODEL) == ["eu"]
    epochs.look_begins(MODEL, "eu")
    assert epochs.bears_out(MODEL, "eu", 7) == ([late], [])
    assert epochs.undecided == ()


def test_what_a_look_bears_out_is_taken_although_it_came_meanwhile() -> None:
    epochs = Epochs()
    epochs.set_aside(early := page(7, 1))
    epochs.look_begins(MODEL, "eu")
    epochs.set_aside(late := page(7, 2))
    assert epochs.bears_out(MODEL, "eu", 7) == ([early, late], [])
    assert epochs.is_borne_out(MODEL, "eu", 7)


def test_a_view_is_as_old_as_the_oldest_report_not_decided_and_other_models_are_not() -> None:
    epochs = Epochs()
    reading = ReadProgress(epochs)
    epochs.set_aside(page(7, 200))
    epochs.set_aside(page(7, 100, region="us"))
    reading.begins(partition_of(MODEL), 500)
    assert reading.unread_since_us(MODEL) == 100
    reading.ends(partition_of(MODEL), at_the_end=True)
    assert reading.unread_since_us(MODEL) == 100
    assert reading.unread_since_us("another") == 0
    assert reading.unread_by_partition_us([partition_of(MODEL)]) == {partition_of(MODEL): 100}
    for region, left in (("us", 200), ("eu", 0)):
        epochs.look_begins(MODEL, region)
        assert reading.unread_since_us(MODEL) in (100, 200)  # a look that has begun decides nothing yet
        epochs.bears_out(MODEL, region, 7)
        assert reading.unread_since_us(MODEL) == left


def test_a_true_report_that_there_was_no_room_for_is_missing_until_the_next_one_is_taken() -> None:
    epochs = Epochs()
    for number in range(ASIDE_MAX + 1):
        given_up = epochs.set_aside(page(7, 100 + number))
    assert given_up is not None
    epochs.look_begins(MODEL, "eu")
    epochs.bears_out(MODEL, "eu", 7)
    assert epochs.undecided_since_us(MODEL) == given_up.appended_us
    epochs.reported(MODEL, "eu")
    assert epochs.undecided_since_us(MODEL) == 0


def test_a_made_up_report_that_there_was_no_room_for_is_missed_by_nobody() -> None:
    epochs = Epochs()
    for number in range(ASIDE_MAX + 1):
        epochs.set_aside(page(1_000 + number, 100 + number))
    epochs.look_begins(MODEL, "eu")
    epochs.bears_out(MODEL, "eu", 7)
    assert epochs.undecided_since_us(MODEL) == 0


def test_all_that_is_set_aside_is_bounded_by_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deciding, "ASIDE_BYTES_MAX", 1_000)
    epochs = Epochs()
    names = [f"model-{number}" for number in range(20)]
    given_up = [epochs.set_aside(page(7, 1, model=name, raw=b"x" * 100)) is not None for name in names]
    assert given_up == [False] * 10 + [True] * 10
    assert len(epochs.drop(names[0])) == 1
    assert epochs.set_aside(page(7, 1, model="one-more", raw=b"x" * 100)) is None
