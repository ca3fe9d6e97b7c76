"""What grows without copying is still what it was to everybody who holds it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas.log.growing import GrowingMapping, GrowingSequence

steps = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9)), max_size=40)


@given(steps)
def test_a_sequence_is_what_a_tuple_would_be_whichever_view_is_added_to(steps: list[tuple[int, int]]) -> None:
    views: list[tuple[GrowingSequence[int], tuple[int, ...]]] = [(GrowingSequence(), ())]
    for which, item in steps:
        ours, twin = views[which % len(views)]
        views.append((ours.plus(item), (*twin, item)))
    for ours, twin in views:
        assert ours == twin
        assert twin == ours
        assert (len(ours), list(ours), ours[1:3], ours[::-1]) == (len(twin), list(twin), twin[1:3], twin[::-1])
        assert [ours[n] for n in range(-len(twin), len(twin))] == [twin[n] for n in range(-len(twin), len(twin))]
        assert [n in ours for n in range(10)] == [n in twin for n in range(10)]
        with pytest.raises(IndexError):
            ours[len(twin)]


@given(steps)
def test_a_mapping_is_what_a_dict_would_be_whichever_view_is_added_to(steps: list[tuple[int, int]]) -> None:
    views: list[tuple[GrowingMapping[int, int], dict[int, int]]] = [(GrowingMapping(), {})]
    for number, (which, key) in enumerate(steps):
        ours, twin = views[which % len(views)]
        if key in twin:
            with pytest.raises(ValueError, match="already"):
                ours.plus(key, number)
        else:
            views.append((ours.plus(key, number), {**twin, key: number}))
    for ours, twin in views:
        assert ours == twin
        assert twin == ours
        assert (list(ours), len(ours)) == (list(twin), len(twin))
        assert [ours.get(n) for n in range(10)] == [twin.get(n) for n in range(10)]


def test_threads_that_add_to_one_view_at_once_get_one_each() -> None:
    for _ in range(50):
        base: GrowingMapping[int, int] = GrowingMapping().plus(0, 0)
        with ThreadPoolExecutor(4) as threads:
            made = list(threads.map(partial(_grown, base, threading.Barrier(4)), range(1, 5)))
        for number, view in enumerate(made, 1):
            assert view == {0: 0} | {number * 100 + step: number for step in range(20)}
        assert base == {0: 0}


def _grown(view: GrowingMapping[int, int], gate: threading.Barrier, number: int) -> GrowingMapping[int, int]:
    gate.wait(60)
    for step in range(20):
        view = view.plus(number * 100 + step, number)
    return view
