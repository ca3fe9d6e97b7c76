"""Regions' reports: pages of snapshots that are folded, or wait until their model and their owner epoch are known."""

from collections.abc import Iterable

import structlog

from modelcast.agents.tracker.acks.backlog import Backlog
from modelcast.agents.tracker.acks.epoch_proofs import EpochProofs
from modelcast.agents.tracker.acks.patience import Patience
from modelcast.agents.tracker.decider.epochs import Epochs, SetAside
from modelcast.agents.tracker.decider.rows import Rows
from modelcast.agents.tracker.decider.snapshots import EMPTY, repeats
from modelcast.agents.tracker.judging import Judging, Unusable
from modelcast.agents.tracker.log_watch import LogWatch
from modelcast.agents.tracker.ports import ChangeListener, Message, Table, TrackerPorts
from modelcast.infra.telemetry.metrics import FOLDED_PODS, RECORDS
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import decode
from modelcast.schemas.records import ModelAck
from modelcast.schemas.topics import Topic

HEADERS_DIFFER, REFUSED_EPOCH, UNKNOWN_MODEL = "headers-differ", "refused-epoch", "unknown-model"

log = structlog.get_logger(__name__)


class Reports:
    """Takes regions' reports. It belongs to the event loop; the log watch calls ``met`` and ``unknown``."""

    def __init__(
        self,
        judging: Judging,
        rows: Rows,
        epochs: Epochs,
        watch: LogWatch,
        ports: TrackerPorts,
        changes: ChangeListener,
    ) -> None:
        self._judging, self._rows, self._epochs, self._watch = judging, rows, epochs, watch
        self._ports, self._changes = ports, changes
        self._proofs = EpochProofs(rows, epochs, ports, self, changes)
        self._patience = Patience(ports.clock.monotonic)
        self._backlog = Backlog()
        self._unknown_models = 0

    # --- what was fetched -----------------------------------------------------------------------------------

    @property
    def noted(self) -> int:
        """How many records were fetched so far."""
        return self._backlog.noted

    def fetched(self, records: Iterable[Message]) -> None:
        """Note fetched records, which come one after the other."""
        for record in records:
            if record.topic == Topic.MODEL_ACKS:
                self._backlog.fetched(record.partition, record.offset, AckHeaders.read(record.headers))

    def is_last(self, message: Message) -> bool:
        """Whether nothing behind this record is known."""
        return self._backlog.is_last(message.partition, message.offset)

    def rebalanced(self) -> None:
        """Forget the fetched records: after a rebalance they may never come."""
        self._backlog = Backlog()

    def assigned(self) -> None:
        """Take over other models. What a table holds of them was confirmed before, but for regions not listed."""
        self._epochs.keep(self._rows.owns)
        for row in self._rows.models.values():
            for region in tuple(row.regions):
                if self._judging.lists(region) and region not in self._judging.forgotten:
                    self._epochs.trust(row.model, region, row.epoch(region))
                else:
                    row.forget(region)

    def close(self) -> None:
        """Stop looking at registry and buckets."""
        self._proofs.close()

    # --- one record -----------------------------------------------------------------------------------------

    async def take(self, message: Message, table: Table) -> str:
        """Fold one page of a snapshot, unless a newer one follows at once; what became of it.

        Raises:
            Unusable: it can't be used.
        """
        raw, partition, headers = message.value or b"", message.partition, AckHeaders.read(message.headers)
        ours = self._judging.registry_id or ""
        if headers is not None and self._backlog.overtaken(partition, raw, headers, ours, message.offset):
            FOLDED_PODS.inc(headers.pods)
            return "overtaken"
        try:
            outcome = await self._fold(raw, headers, message, table)
        except Unusable:
            await self._fold_overtaken(headers, message, table)
            raise
        if outcome == "set-aside":
            await self._fold_overtaken(headers, message, table)
        elif headers is not None:
            self._backlog.read(partition, headers)
        return outcome

    async def _fold_overtaken(self, headers: AckHeaders | None, message: Message, table: Table) -> None:
        """Fold what was overtaken by a record that can't be used, or not yet."""
        if (earlier := self._backlog.in_place_of(message.partition, headers)) is not None:
            await self._fold(earlier.raw, earlier.headers, message, table)

    async def _fold(self, raw: bytes, headers: AckHeaders | None, message: Message, table: Table) -> str:
        ack = await self._judging.decoded(raw, decode)
        if not isinstance(ack, ModelAck):
            raise Unusable("bad-value", f"a {type(ack).__name__} where a ModelAck belongs")
        if headers is not None and headers != AckHeaders.of(ack):
            raise Unusable(HEADERS_DIFFER, f"the headers say {headers}")
        if not self._judging.counts(ack.region, raw, message):
            return "unknown-region"
        await self._judging.check_origin(ack.registry_id, ack.model, ack.region, message.partition)
        is_known = ack.model in self._rows.models
        if is_known and self._epochs.is_borne_out(ack.model, ack.region, ack.epoch):
            outcome = self._take(ack, raw)
            self.write(ack.model, table)
            return outcome
        # Nothing is kept of a model, nor asked about it, before it is known.
        answer = None if is_known else self._watch.meet(ack.model)
        if answer is None and not is_known:
            return UNKNOWN_MODEL
        appended_us = int(message.timestamp * 1_000_000)
        self._set_aside(SetAside(ack, raw, message.partition, message.offset, message.key, appended_us))
        if answer is not None:
            await self._patience.wait(answer, (ack.model, ""))
        if ack.model in self._rows.models:
            await self._look(ack.model, ack.region, table)
        return "set-aside"

    async def _look(self, model: str, region: str, table: Table) -> None:
        """Have the true epoch looked up, and write at once what it lets in soon."""
        is_decided = not self._epochs.undecided_since_us(model)  # by a look that began as the model came to be known
        if not is_decided and (asked := self._proofs.ask(model, region)) is not None:
            await self._patience.wait(asked, (model, region))
        self.write(model, table)

    def write(self, model: str, table: Table) -> None:
        """Write what was taken since the model's last record, and with this one."""
        row = self._rows.models.get(model)
        if row is None:
            return
        for key, value in row.unwritten.items():
            if value is None:
                table.pop(key, b"")
            else:
                table[key] = value
        row.unwritten.clear()

    def _take(self, ack: ModelAck, raw: bytes) -> str:
        row = self._rows.row(ack.model)
        if ack.epoch < row.epoch(ack.region):
            self._proofs.doubt(ack.model, ack.region)
        before = row.regions.get(ack.region, EMPTY).complete
        change = row.take(ack, raw, self._ports.clock.wall_us())
        self._epochs.reported(ack.model, ack.region)
        if change.overruled:
            log.warning(
                "a report with a number that its region never used is dropped", model=ack.model, region=ack.region
            )
            self._changes.changed(ack.model)
        if row.log is None or ack.generation > row.log.head:
            self._watch.wake(ack.model, ack.generation)
        if change.write is None:
            return "stale"
        FOLDED_PODS.inc(len(ack.pods))
        complete = change.rows.complete
        if change.completed and complete is not None and repeats(complete, before):
            self._changes.repeated(ack.model, ack.region)
        elif change.completed:
            self._changes.changed(ack.model)
        return "folded"

    # --- what waits -----------------------------------------------------------------------------------------

    def _set_aside(self, page: SetAside) -> None:
        if (given_up := self._epochs.set_aside(page)) is not None:
            self.disproved(given_up, None)

    def proven(self, page: SetAside) -> None:
        """See ``ProofListener``."""
        self._take(page.ack, page.raw)

    def disproved(self, page: SetAside, epoch: int | None) -> None:
        """Refuse a page whose epoch the region never had: a dead letter now and then, the rest is counted."""
        why = f"{page.ack.region} is at epoch {epoch} of {page.ack.model}" if epoch is not None else "too many wait"
        self._refuse(page, REFUSED_EPOCH, f"epoch {page.ack.epoch}: {why}; others like it are only counted")

    def met(self, model: str) -> None:
        """Have the reports of a model checked, now that the registry is known to hold it."""
        for region in self._epochs.regions_waiting(model):
            self._proofs.ask(model, region)

    def unknown(self, model: str) -> None:
        """Refuse what was set aside of a model that the registry does not hold."""
        pages = self._epochs.drop(model)
        self._unknown_models += bool(pages)
        for page in pages:
            many = (
                f"; so far {self._unknown_models} models that it does not hold were named, all others are only counted"
            )
            self._refuse(page, UNKNOWN_MODEL, f"the registry holds no model {model!r}{many}")

    def _refuse(self, page: SetAside, reason: str, detail: str) -> None:
        RECORDS.labels(str(Topic.MODEL_ACKS), reason).inc()
        if self._judging.may_report(reason):
            log.warning("reports are refused", reason=reason, detail=detail)
            self._judging.dead_letter(
                Topic.MODEL_ACKS, page.raw, Unusable(reason, detail), page.partition, page.offset, page.key
            )
