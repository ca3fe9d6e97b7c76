"""A program's answer to a version that it is to load."""

from pathlib import Path

import pytest

from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION
from modelcast.consumers.watcher.update import UpdateAnswer, VersionUpdate
from modelcast.schemas.errors import UsageError

FOLDER = Path("/artifacts/7")


def update() -> VersionUpdate:
    return VersionUpdate("fraud", 7, "sha256:" + "a" * 64, FOLDER)


def test_a_context_that_ends_well_accepts() -> None:
    given = update()
    with given as folder:
        assert folder == FOLDER
        assert not given.answer.done()
    assert given.answer.result() == UpdateAnswer()


def test_a_context_that_raises_refuses_with_its_words_and_the_loop_goes_on() -> None:
    given = update()
    with given:
        raise ValueError("no weights")
    assert given.answer.result() == UpdateAnswer("ValueError: no weights", code=BLAMES_THE_VERSION)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError("no room"), "out_of_resources"),
        (OSError(28, "No space left on device"), "out_of_resources"),
        (FileNotFoundError(2, "No such file or directory"), "not_delivered"),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "out_of_resources"),
        (ModuleNotFoundError("No module named 'flash_attn'"), "unsupported"),
    ],
)
def test_what_the_machine_lacks_blames_no_version(error: Exception, code: str) -> None:
    given = update()
    with given:
        raise error
    assert given.answer.result().code == code


def test_an_interrupt_is_passed_on_and_blames_no_version() -> None:
    given = update()
    with pytest.raises(KeyboardInterrupt), given:
        raise KeyboardInterrupt
    assert given.answer.result().code == "server_failed"


def test_what_was_answered_inside_its_context_is_not_answered_again() -> None:
    given = update()
    with given:
        given.refuse("worse than the last one", blame=False)
    assert given.answer.result() == UpdateAnswer("worse than the last one")


def test_it_is_answered_once() -> None:
    given = update()
    given.accept()
    with pytest.raises(UsageError, match="fraud/7: was answered before"):
        given.refuse("too late")


def test_what_was_withdrawn_is_never_handed_out() -> None:
    given = update()
    given.withdraw("a newer order arrived")
    assert given.take() is None


def test_what_was_handed_out_can_not_be_withdrawn() -> None:
    given = update()
    assert given.take() is given
    given.withdraw("a newer order arrived")
    assert not given.answer.done()


def test_answers_after_the_programs_end_are_ignored() -> None:
    given = update()
    given.take()
    given.abandon("the program ended")
    given.accept()
    assert given.answer.result() == UpdateAnswer("the program ended")
