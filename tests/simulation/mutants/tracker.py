"""What carries the tracker's promises, each taken out: most of it is in its shell alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from modelcast.agents.tracker.acks.reports import Reports
from modelcast.agents.tracker.agent import TrackerAgent
from modelcast.agents.tracker.decider import rows, snapshots
from modelcast.agents.tracker.decider.epochs import Epochs
from modelcast.agents.tracker.decider.waiting import Waiting
from modelcast.agents.tracker.emitter import Emitter
from modelcast.agents.tracker.judging import Judging
from modelcast.agents.tracker.log_watch import LogWatch
from modelcast.schemas.records import ModelAck
from tests.simulation.actors.tracker import TrackerWorker
from tests.simulation.comings_and_goings import FLOOD_IS_CHEAP, ONLY_KNOWN_MODELS
from tests.simulation.invariants import (
    CONFIRMED,
    CONVERGES,
    LIE_ENDS,
    ONLY_LISTED,
    REPLACED_IS_POWERLESS,
    SAID_SOON,
    SILENT_IS_SAID,
    SPEAKS_OF_ITS_OWN,
)
from tests.simulation.mutants.checks import Mutant


@contextmanager
def _without_order_of_snapshots() -> Iterator[None]:
    def take(known: snapshots.RegionRows, ack: ModelAck, now_us: int, raw: bytes) -> snapshots.Change:
        return snapshots.take(snapshots.EMPTY, ack, now_us, raw)

    with patch.object(rows, "take", take):
        yield


@contextmanager
def _without_timer_of_the_tracker() -> Iterator[None]:
    async def never(self: Emitter) -> None:
        await asyncio.Event().wait()

    with patch.object(Emitter, "_tick_forever", never):
        yield


@contextmanager
def _without_an_end_of_settling() -> Iterator[None]:
    real = TrackerAgent.revoked

    def revoked(self: TrackerAgent) -> None:
        self._settling = None
        real(self)

    with patch.object(TrackerAgent, "revoked", revoked):
        yield


@contextmanager
def _without_a_bound_of_epochs() -> Iterator[None]:
    with patch.object(Epochs, "is_borne_out", lambda self, model, region, epoch: True):
        yield


@contextmanager
def _without_a_list_of_regions() -> Iterator[None]:
    def assigned(self: Reports) -> None:
        self._epochs.keep(self._rows.owns)

    with (
        patch.object(Judging, "counts", lambda self, region, raw, message: True),
        patch.object(Reports, "assigned", assigned),
        patch.object(TrackerWorker, "_epoch_of", lambda self, name, model: 1),
    ):
        yield


@contextmanager
def _without_a_fair_queue() -> Iterator[None]:
    def failed(self: Waiting, model: str, now: float) -> None:
        self._models = {model: None, **self._models}  # it keeps its place, and does not wait

    with patch.object(Waiting, "failed", failed):
        yield


@contextmanager
def _without_an_answer_about_newcomers() -> Iterator[None]:
    with patch.object(LogWatch, "not_found", LogWatch.found):
        yield


@contextmanager
def _without_overruling() -> Iterator[None]:
    with patch.object(snapshots, "overrules", lambda ack, known, now_us: False):
        yield


TRACKER_MUTANTS = (
    Mutant("order of snapshots", _without_order_of_snapshots, frozenset({REPLACED_IS_POWERLESS})),
    Mutant("timer of the tracker", _without_timer_of_the_tracker, frozenset({SILENT_IS_SAID, CONVERGES}),
           ("region cut off", "redis lost")),
    Mutant("end of settling when partitions move on", _without_an_end_of_settling, frozenset({SPEAKS_OF_ITS_OWN})),
    Mutant("bound of epochs", _without_a_bound_of_epochs, frozenset({CONFIRMED, CONVERGES})),
    Mutant("fair queue of the tracker", _without_a_fair_queue, frozenset({SAID_SOON, SILENT_IS_SAID, CONVERGES})),
    Mutant("overruling of forged numbers", _without_overruling, frozenset({LIE_ENDS, CONVERGES}),
           ("acks forged under the true epoch",)),
    Mutant("list of regions", _without_a_list_of_regions, frozenset({ONLY_LISTED, CONFIRMED}),
           ("acks of made-up regions",)),
    Mutant("question whether a newcomer exists", _without_an_answer_about_newcomers,
           frozenset({FLOOD_IS_CHEAP, ONLY_KNOWN_MODELS, CONVERGES}),
           ("records of made-up models",)),
)  # fmt: skip
