"""Accepting a log that was rewritten: a person's decision, written into that log."""

import time
import uuid
from collections.abc import Callable, Sequence

from modelcast.infra.registry.claim import DEADLINE_SECONDS, Claimed, claim
from modelcast.infra.registry.reader import RegistryReader
from modelcast.producers.log_writer import LogWriter
from modelcast.producers.planning.arguments import text_of
from modelcast.schemas.digests import short
from modelcast.schemas.errors import KafkaUnavailable, NotAnnounced, Refused, UsageError
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.names import check_model
from modelcast.schemas.records import CommandKind, CommandTarget, LogPosition, ModelCommand

REASON_MAX = 1024
ENTRIES_MAX = 10_000
"""How many entries may be missing from a log that is accepted: each is replaced by one that says so."""


class Acceptor(LogWriter):
    """Writes into a model's log that regions are to obey it as it is. Thread-safe; a context manager.

    The entries name what regions had accepted and the log does not hold; by their chain, they name the log that takes
    its place. A region that had accepted something else than they name stays alarmed.
    """

    def accept(
        self, model: str, positions: Sequence[LogPosition], *, reason: str, requested_by: str = ""
    ) -> tuple[ModelCommand, ...]:
        """Have regions obey the log, although they had accepted ``positions``.

        Generations never fall, in regions and pods alike: so many entries are written that the last stands above each
        of the positions. Interrupted and called again, it writes what is missing.

        Returns:
            The entries written, oldest first.

        Raises:
            UsageError: there is no reason.
            Refused: the log answers every position: nothing has to be accepted.
            DecodeError: the log itself is damaged; then that has to be mended first.
            StoreUnavailable: the store did not say whether an entry was written. Call again.
            NotAnnounced: all is written, but Kafka did not confirm; regions read it within ``reconcile_seconds``.
        """
        check_model(model)
        reason, asker = text_of("reason", reason).strip(), self._who("requested_by", requested_by)
        if not 1 <= len(reason) <= REASON_MAX:
            hint = f"--reason takes 1 to {REASON_MAX} characters, which stand in the model's history"
            raise UsageError("accepting a log that was rewritten needs a reason", subject=model, hint=hint)
        origin = self._connected()
        origin.warm_up()
        origin.open_registry(create=False)
        origin.check_conditional_puts()
        log = origin.reader.tail(model).log
        with self._audit(origin).of(asker, "registry accept", model, reason=reason) as note:
            claimed = accept_positions(
                origin.reader,
                log,
                positions,
                reason=reason,
                requested_by=asker,
                event_id=lambda: uuid.uuid4().hex,
                now_us=time.time_ns() // 1000,
            )
            last = claimed[-1]
            note.generation = last.entry.generation
        try:
            origin.announce(model, last.encoded)
        except KafkaUnavailable as error:
            raise NotAnnounced(
                f"it is accepted as generation {last.entry.generation}, but that is not announced: {error.message}",
                subject=model,
                hint=f"{error.hint}; nothing is lost: the tracker announces it, don't repeat it",
            ) from error
        return tuple(c.entry for c in claimed if isinstance(c.entry, ModelCommand))


def accept_positions(
    reader: RegistryReader,
    log: ModelLog,
    positions: Sequence[LogPosition],
    *,
    reason: str,
    requested_by: str,
    event_id: Callable[[], str],
    now_us: int,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> list[Claimed]:
    """Write ACCEPT entries above ``log`` until it answers each of ``positions``; see ``Acceptor.accept``.

    Args:
        reader: of the registry.
        log: as it stands.
        positions: what regions had accepted; those that the log answers are left out.
        reason: why, for people.
        requested_by: who.
        event_id: makes one for each entry.
        now_us: the person's clock.
        deadline_seconds: as in ``claim``, for each entry.

    Raises:
        Refused: there is nothing to accept, or too much.
    """
    lost = tuple(p for p in dict.fromkeys(positions) if not log.answers(p))
    if not lost:
        raise Refused(
            f"there is nothing to accept: the log holds, up to generation {log.head}, all that regions accepted",
            subject=log.model,
            hint="regions end the alarm when they next read it",
        )
    top = max(p.generation for p in lost)
    if top - log.head > ENTRIES_MAX:
        raise Refused(
            f"a region accepted generation {top}, but the log ends at {log.head}",
            subject=log.model,
            hint=f"restore the log: at most {ENTRIES_MAX} entries can be given up",
        )
    written: list[Claimed] = []
    while not written or log.head <= top:
        identity = event_id()

        def build(log: ModelLog, identity: str = identity) -> ModelCommand:
            return ModelCommand(
                registry_id=log.registry_id,
                event_id=identity,
                model=log.model,
                generation=log.head + 1,
                kind=CommandKind.ACCEPT,
                targets=(CommandTarget(),),
                requested_at_us=now_us,
                requested_by=requested_by,
                reason=reason,
                replaces=lost,
            )

        claimed = claim(reader, log, identity, build, deadline_seconds=deadline_seconds)
        assert isinstance(claimed, Claimed)
        log = claimed.log
        written.append(claimed)
    return written


def position_text(position: LogPosition) -> str:
    """A position, for people."""
    return f"generation {position.generation} ({short(position.digest)})"
