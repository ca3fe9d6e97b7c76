"""How much of a file's beginning is there."""

import threading

import pytest

from modelcast.consumers.fetch.errors import FetchCancelled
from modelcast.consumers.fetch.verified_prefix import VerifiedPrefix
from tests.consumers.fetch.publishing import MIB


def test_what_is_there_from_the_start_is_not_waited_for() -> None:
    prefix = VerifiedPrefix(3 * MIB + 5, {2})
    prefix.wait_for_bytes(0)
    prefix.wait_for_bytes(2 * MIB)
    prefix.came(2)
    prefix.wait_for_bytes(3 * MIB + 5)


def test_an_empty_file_is_there() -> None:
    VerifiedPrefix(0).wait_for_bytes(0)


def test_blocks_count_once_all_before_them_are_there() -> None:
    prefix, reached = VerifiedPrefix(3 * MIB), threading.Event()
    prefix.came(1)
    prefix.came(2)

    def wait() -> None:
        prefix.wait_for_bytes(MIB + 1)
        reached.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not reached.wait(0.05)
    prefix.came(0)
    assert reached.wait(60)
    waiting.join()


def test_whoever_waits_for_what_is_given_up_is_told() -> None:
    prefix, told = VerifiedPrefix(2 * MIB), threading.Event()

    def wait() -> None:
        with pytest.raises(FetchCancelled):
            prefix.wait_for_bytes(1)
        told.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    prefix.give_up()
    assert told.wait(60)
    waiting.join()
    prefix.came(0)
    with pytest.raises(FetchCancelled):
        prefix.wait_for_bytes(1)


def test_what_was_there_before_is_learned_later() -> None:
    prefix = VerifiedPrefix(3 * MIB)
    prefix.begin({0, 1})
    prefix.wait_for_bytes(2 * MIB)
