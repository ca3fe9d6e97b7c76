"""The table of shares that each model's requests are divided by: judged, and kept beside the ledger."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import structlog

from modelcast.consumers.pod_clients.port import LoadOrder, PodRefused
from modelcast.infra.files import written_aside
from modelcast.schemas.errors import ContentError
from modelcast.schemas.names import check_model
from modelcast.schemas.traffic.table import TrafficArm, TrafficTable, decode_table, encode_table

log = structlog.get_logger("modelcast.pod")


@dataclass(frozen=True, slots=True)
class KeptTable:
    """What a pod has promised about the division of one model's requests.

    Attributes:
        table: the one with the highest authority that it was given; None: there is none, or it was voided.
        floor: the generation of the order that last gave the control other bytes. Tables of a lower one divide between
            versions of before, and are refused.
    """

    table: TrafficTable | None = None
    floor: int = 0

    def voided_by(self, order: LoadOrder, before: LoadOrder | None) -> "KeptTable":
        """The same once ``order`` has given the control other bytes than ``before`` did; None: it had none."""
        table = self.table
        if table is None:
            return KeptTable(None, max(self.floor, order.generation)) if before is not None else self
        if table.control.manifest_digest == order.manifest_digest or order.generation <= table.generation:
            return self  # it divides between just these, whatever came first, or it is the newer word
        return KeptTable(None, max(self.floor, order.generation))


def admits(kept: KeptTable, table: TrafficTable, registry_id: str | None) -> bool:
    """Whether a table changes anything; False: it is in force.

    By the authority of the table in force candidates may get less, as a region's guard wants it, and never more again.

    Args:
        kept: what was promised.
        table: the one that came.
        registry_id: that the model's orders are of; None: it has none.

    Raises:
        PodRefused: ``foreign_registry``, ``stale`` (a lower authority), or ``conflict`` (the same, and not less).
    """
    if registry_id is not None and registry_id != table.registry_id:
        message = f"a table of registry {table.registry_id!r}, this pod obeys {registry_id!r} for this model"
        raise PodRefused(message, code="foreign_registry", subject=table.model)
    old = kept.table
    if table.generation < kept.floor:
        message = f"its generation {table.generation} is lower than {kept.floor}, which changed the control"
        raise PodRefused(message, code="stale", subject=table.model)
    if old is None or table.authority > old.authority:
        return True
    if table.authority < old.authority:
        message = f"(generation, epoch, sequence) {table.authority} is lower than the accepted {old.authority}"
        raise PodRefused(message, code="stale", subject=table.model)
    if table == old:
        return False
    if not gives_less(old, table):
        message = f"(generation, epoch, sequence) {table.authority} was accepted with other shares"
        raise PodRefused(message, code="conflict", subject=table.model)
    return True


def gives_less(old: TrafficTable, table: TrafficTable) -> bool:
    """Whether two tables differ in shares alone, and no candidate gets more at any time, be it copies only."""
    control = replace(table.control, share=old.control.share)
    alike = replace(
        table,
        control=control,
        candidates=old.candidates,
        before=old.before,
        not_before_us=old.not_before_us,
        shadow=old.shadow,
    )
    after, before = _shares(old.candidates), _shares(old.before[:-1])
    if table.not_before_us != old.not_before_us:  # from now on, whatever ``old`` gave when
        if table.not_before_us:
            return False
        after = {arm: min(share, before.get(arm, 0)) for arm, share in after.items()}
    copies, were = _shares(filter(None, (table.shadow,))), _shares(filter(None, (old.shadow,)))
    pairs = ((_shares(table.candidates), after), (_shares(table.before[:-1]), before), (copies, were))
    return alike == old and all(share <= were.get(arm, 0) for now, were in pairs for arm, share in now.items())


def _shares(arms: Iterable[TrafficArm]) -> dict[tuple[int, str], int]:
    return {(arm.version, arm.manifest_digest): arm.share for arm in arms}


class TableFolder:
    """The tables on disk, one small file a model.

    Attributes:
        models: those that have a file.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.models = {path.stem for path in folder.glob("*.json")}

    def read(self) -> Mapping[str, KeptTable]:
        """By model. What is damaged is left out: the control answers everything until the region sends the table."""
        found: dict[str, KeptTable] = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                body = orjson.loads(path.read_bytes())
                table = decode_table(body["table"].encode()) if body["table"] else None
                found[path.stem] = KeptTable(table, int(body["floor"]))
            except (ContentError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
                log.error("damaged table of shares, left out", model=path.stem, error=str(error)[:500])
        return found

    def write(self, model: str, kept: KeptTable) -> None:
        """Write it, durably. Raises ``OSError``."""
        table = encode_table(kept.table).decode() if kept.table is not None else ""
        self._folder.mkdir(parents=True, exist_ok=True)
        with written_aside(self._folder / f"{check_model(model)}.json") as file:
            file.write(orjson.dumps({"floor": kept.floor, "table": table}))
        self.models.add(model)
