"""Wrong tokens: how many may be tried, and that remembering them takes no more memory than is allowed."""

from modelcast.dashboard.actions.attempts import ADDRESSES_MAX, BURST, PERIOD_SECONDS, WrongTokens


def exhausted(*sources: str) -> WrongTokens:
    wrong = WrongTokens()
    for source in sources:
        for _ in range(BURST):
            wrong.wrong(source, 0)
    return wrong


def test_a_source_has_some_tries_and_then_one_each_period() -> None:
    wrong = exhausted("192.0.2.1")
    assert wrong.wait_seconds("192.0.2.1", 0) == PERIOD_SECONDS
    assert wrong.wait_seconds("192.0.2.1", PERIOD_SECONDS) == 0
    wrong.wrong("192.0.2.1", PERIOD_SECONDS)
    assert wrong.wait_seconds("192.0.2.1", PERIOD_SECONDS) == PERIOD_SECONDS
    assert wrong.wait_seconds("192.0.2.2", 0) == 0


def test_all_addresses_of_one_host_count_together() -> None:
    wrong = exhausted("2001:db8::1", "::ffff:192.0.2.1")
    assert wrong.wait_seconds("2001:db8::ffff:2", 0) > 0
    assert wrong.wait_seconds("2001:db8:0:1::1", 0) == 0
    assert wrong.wait_seconds("192.0.2.1", 0) > 0


def test_a_flood_of_addresses_takes_bounded_memory_and_forgets_what_is_paid_off_first() -> None:
    wrong = exhausted("192.0.2.1")
    for number in range(ADDRESSES_MAX - 1):
        wrong.wrong(f"peer {number}", 0)
    wrong.wrong("one more", PERIOD_SECONDS)  # the peers' one try each is paid off by then
    assert wrong.wait_seconds("192.0.2.1", 0) > 0
    for number in range(3 * ADDRESSES_MAX):
        wrong.wrong(f"other {number}", PERIOD_SECONDS)
    assert wrong.remembered == ADDRESSES_MAX
