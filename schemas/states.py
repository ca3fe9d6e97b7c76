"""States of one generation in one region, and the only moves between them.

    ANNOUNCED -> FETCHING -> STAGED -> LOADING -> SERVING
         any of the first four -> FAILED       (retried with backoff)
                               -> QUARANTINED  (not retried until a person releases it)
         FAILED -> FETCHING, LOADING           (the retry)
         QUARANTINED -> FETCHING, LOADING      (released)
         SERVING -> LOADING                    (a pod restarted or was added, or a reload was asked for)
         FETCHING -> ANNOUNCED                 (the worker that fetched it stops; the next one begins anew)
         LOADING -> STAGED                     (the pods that had it are gone)
         FAILED -> ANNOUNCED                   (the pod that failed is gone, and the bytes are not here yet)
         any -> SUPERSEDED                     (a higher generation arrived)

A state is reported only after it is true.
"""

from enum import StrEnum


class State(StrEnum):
    """Where one generation of one model is in one region."""

    ANNOUNCED = "ANNOUNCED"
    FETCHING = "FETCHING"
    STAGED = "STAGED"
    LOADING = "LOADING"
    SERVING = "SERVING"
    FAILED = "FAILED"
    QUARANTINED = "QUARANTINED"
    SUPERSEDED = "SUPERSEDED"


class PodState(StrEnum):
    """What one pod is known to do with the aspired version."""

    PENDING = "PENDING"
    LOADING = "LOADING"
    SERVING = "SERVING"
    FAILED = "FAILED"
    UNREACHABLE = "UNREACHABLE"


_S = State
MOVES: dict[State, frozenset[State]] = {
    _S.ANNOUNCED: frozenset({_S.FETCHING, _S.STAGED, _S.FAILED, _S.QUARANTINED, _S.SUPERSEDED}),
    _S.FETCHING: frozenset({_S.STAGED, _S.ANNOUNCED, _S.FAILED, _S.QUARANTINED, _S.SUPERSEDED}),
    _S.STAGED: frozenset({_S.LOADING, _S.SERVING, _S.FETCHING, _S.FAILED, _S.QUARANTINED, _S.SUPERSEDED}),
    _S.LOADING: frozenset({_S.SERVING, _S.STAGED, _S.FETCHING, _S.FAILED, _S.QUARANTINED, _S.SUPERSEDED}),
    _S.SERVING: frozenset({_S.LOADING, _S.STAGED, _S.FETCHING, _S.SUPERSEDED}),
    _S.FAILED: frozenset({_S.ANNOUNCED, _S.FETCHING, _S.STAGED, _S.LOADING, _S.SERVING, _S.QUARANTINED, _S.SUPERSEDED}),
    _S.QUARANTINED: frozenset({_S.FETCHING, _S.STAGED, _S.LOADING, _S.SUPERSEDED}),
    _S.SUPERSEDED: frozenset(),
}

STALE_SECONDS = 90.0
"""Seconds after which a state is shown as old: the tracker repeats it every half minute."""
BEHIND_SECONDS = 5.0
"""Seconds behind from which on a tracker is shown as behind with its reading."""
