"""What a pod obeys."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.pod.admission.fence import (
    Accepted,
    Admission,
    accepted_by_promotion,
    admission_of,
    check_epoch,
)
from modelcast.consumers.pod_clients.port import LoadOrder, PodRefused

A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


def order(epoch: int, generation: int, digest: str = A, *, registry: str = "r", reload: bool = False) -> LoadOrder:
    return LoadOrder("fraud", 1, digest, generation, epoch, registry, reload)


def accepted(epoch: int, generation: int, digest: str | None = A) -> Accepted:
    return Accepted("r", epoch, generation, digest, None)


def code_of(*args: object) -> str:
    with pytest.raises(PodRefused) as caught:
        admission_of(*args)  # type: ignore[arg-type]
    return caught.value.code


def test_the_first_order_is_loaded() -> None:
    assert admission_of(order(1, 1), None, None) is Admission.LOAD


@pytest.mark.parametrize("pair", [(3, 11), (2, 12), (2, 99), (0, 0)])
def test_a_lower_pair_is_stale_and_the_epoch_counts_first(pair: tuple[int, int]) -> None:
    assert code_of(order(*pair), accepted(3, 12), None) == "stale"


def test_a_higher_epoch_is_obeyed() -> None:
    assert admission_of(order(4, 12, B), accepted(3, 12), order(3, 12)) is Admission.LOAD


def test_the_same_order_again_changes_nothing() -> None:
    assert admission_of(order(3, 12), accepted(3, 12), order(3, 12)) is Admission.ALREADY
    assert admission_of(order(3, 12, reload=True), accepted(3, 12), order(3, 12)) is Admission.ALREADY


def test_the_same_pair_is_loaded_again_if_it_is_not_served() -> None:
    assert admission_of(order(3, 12), accepted(3, 12), None) is Admission.LOAD
    assert admission_of(order(3, 12, B), accepted(3, 12, B), order(3, 11, A)) is Admission.LOAD


def test_the_same_pair_with_other_bytes_is_a_conflict() -> None:
    assert code_of(order(3, 12, B), accepted(3, 12, A), order(3, 12, A)) == "conflict"


def test_after_an_unload_the_same_pair_may_load_again() -> None:
    assert admission_of(order(3, 12, B), accepted(3, 12, None), None) is Admission.LOAD


def test_the_same_bytes_under_a_newer_order_are_adopted_not_loaded() -> None:
    assert admission_of(order(3, 13), accepted(3, 12), order(3, 12)) is Admission.ADOPT
    assert admission_of(order(3, 13, reload=True), accepted(3, 12), order(3, 12)) is Admission.LOAD


def test_the_same_bytes_as_another_version_are_loaded_so_that_answers_name_it() -> None:
    newer = LoadOrder("fraud", 2, A, 13, 3, "r")
    assert admission_of(newer, accepted(3, 12), order(3, 12)) is Admission.LOAD


def test_another_registry_is_refused_however_high_its_numbers() -> None:
    assert code_of(order(9, 99, registry="other"), accepted(3, 12), None) == "foreign_registry"


PAIRS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([A, B]), st.booleans())


@given(st.lists(PAIRS, max_size=30))
def test_whatever_arrives_the_accepted_pair_never_goes_down(orders: list[tuple[int, int, str, bool]]) -> None:
    promise: Accepted | None = None
    serving: LoadOrder | None = None
    for epoch, generation, digest, reload in orders:
        new = order(epoch, generation, digest, reload=reload)
        before = (promise.epoch, promise.generation) if promise else (-1, -1)
        try:
            admission_of(new, promise, serving)
        except PodRefused:
            continue
        assert (epoch, generation) >= before
        if promise is not None and (epoch, generation) == before:
            assert digest == promise.manifest_digest
        promise, serving = Accepted("r", epoch, generation, digest, serving), new


def test_what_is_served_never_goes_back_not_even_for_a_higher_epoch() -> None:
    assert code_of(order(4, 11, B), accepted(3, 12), order(3, 12)) == "stale"
    assert admission_of(order(4, 11, B), accepted(3, 12), None) is Admission.LOAD  # better an older version than none


def test_promoted_bytes_and_those_that_they_replace_are_promised_under_pairs_that_no_earlier_order_has() -> None:
    old, candidate = order(1, 4, B), accepted(1, 9)
    promise, kept = accepted_by_promotion(order(2, 6), old, candidate)
    assert promise == Accepted("r", 2, 6, A, order(2, 6))
    assert kept == Accepted("r", 2, 6, None, replace(old, lane="candidate", epoch=2, generation=6))
    _, kept = accepted_by_promotion(order(1, 6), old, candidate)
    assert (kept.epoch, kept.generation, kept.manifest_digest) == (1, 9, B), "a pair never goes down"
    _, kept = accepted_by_promotion(order(1, 6), None, None)
    assert kept == Accepted("r", 1, 6, None, None)


def test_the_order_that_promotes_leaves_open_what_the_candidate_lane_is_ordered_under_the_same_pair() -> None:
    late, other = order(1, 5), "sha256:" + "c" * 64
    _, kept = accepted_by_promotion(order(1, 6), order(1, 4, B), accepted(1, 5))
    assert admission_of(order(1, 6, other), kept, kept.served) is Admission.LOAD, "the next rollout has begun"
    assert admission_of(order(1, 6, B), kept, kept.served) is Admission.ALREADY
    assert code_of(late, kept, kept.served) == "stale", "what was promoted is not loaded twice"


def test_an_epoch_that_the_other_lane_has_seen_replaced_is_stale() -> None:
    check_epoch("fraud", accepted(3, 12), 3)
    with pytest.raises(PodRefused) as caught:
        check_epoch("fraud", accepted(3, 12), 2)
    assert caught.value.code == "stale"
