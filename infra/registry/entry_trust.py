"""Who may say what in a log that is read: the policy, renewed where an entry's signer is not in it yet."""

from collections.abc import Sequence
from typing import Protocol

import structlog

from modelcast.schemas.avro.schema_book import SchemaBook
from modelcast.schemas.digests import short
from modelcast.schemas.errors import DecodeError, ForeignRegistry
from modelcast.schemas.log.chain import StatedEntry
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.statements import Sign, Trust, read_stated
from modelcast.schemas.records import LogPosition
from modelcast.schemas.trust.envelope import PayloadType, Signed, pae
from modelcast.schemas.trust.verdict import UNSIGNED, Untrusted, good_keys, require

log = structlog.get_logger(__name__)


class TrustSource(Protocol):
    """Where the policy comes from. Thread-safe; both raise ``ModelcastError`` where it can't be read or believed."""

    def current(self) -> Trust:
        """Today's policy."""
        ...

    def renewed(self, than: Trust) -> Trust | None:
        """A newer one than this; None: there is none, or it was looked for a moment ago."""
        ...


class EntryTrust:
    """Reads entries by today's policy. Thread-safe.

    Args:
        source: the policy; None: nobody's signature is looked at.
    """

    def __init__(self, source: TrustSource | None) -> None:
        self._source = source

    def read(self, body: bytes, book: SchemaBook) -> StatedEntry:
        """See ``read_stated``; what today's policy refuses is refused only after a newer one was looked for."""
        if self._source is None:
            return read_stated(body, book=book)
        trust = self._source.current()
        try:
            return read_stated(body, book=book, trust=trust)
        except Untrusted as error:
            newer = self._source.renewed(trust)
            if newer is None:
                raise
            log.info("the policy is a newer one", policy=newer.policy.version, reason=error.reason)
            return read_stated(body, book=book, trust=newer)

    def check_may(self, subjects: Sequence[str], sign: Sign | None, uris: Sequence[str]) -> None:
        """Refuse what the keys that sign here may not say, before anything is made of it.

        They sign a trial, so that a key that can't sign is found out as well.

        Args:
            subjects: the paths that it needs leave for.
            sign: what signs here; None: nothing.
            uris: the keys that sign, for the hint.

        Raises:
            Untrusted: no reader with today's policy would believe it; the hint is the command that mends it.
        """
        if self._source is None:
            return
        trust = self._source.current()
        try:
            try:
                _try(subjects, sign, trust)
            except Untrusted:
                newer = self._source.renewed(trust) if sign is not None else None
                if newer is None:
                    raise
                _try(subjects, sign, newer)
        except Untrusted as error:
            keys = " ".join(f"--key {uri}" for uri in uris) or "--key file:KEY.pem"
            paths = " ".join(f"'{each}'" for each in subjects)
            before = "" if sign is not None else "set trust.keys to keys that may say it; "
            hint = f"{before}who holds the policy's keys lets them: modelcast keys grant NAME {paths} {keys}"
            raise Untrusted(error.message, reason=error.reason, subject=subjects[0].split("/")[1], hint=hint) from None

    def check_own(self, stated: StatedEntry, book: SchemaBook) -> None:
        """Refuse an entry that is not written yet and that readers with the same policy would refuse.

        Raises:
            Untrusted: the policy does not let the keys that sign here say it.
        """
        try:
            self.read(stated.stored, book)
        except Untrusted as error:
            raise Untrusted(
                f"no reader would believe it: {error.message}",
                reason=error.reason,
                subject=f"{stated.entry.model} generation {stated.entry.generation}",
                hint="set trust.keys to keys that may say it; `modelcast keys list` names them",
            ) from None

    def check_floor(self, read: ModelLog, unread: DecodeError | None) -> None:
        """Compare a log with the history that the policy names.

        Args:
            read: as far as it was read.
            unread: what is wrong with the entry above.

        Raises:
            ForeignRegistry: the log ends below that history, or holds another one.
            DecodeError: ``unread``, where it keeps the log from going on so far.
        """
        floor = self._source.current().policy.floors.get(read.model) if self._source is not None else None
        if floor is None or read.holds(LogPosition(floor.generation, floor.digest)):
            return
        if unread is not None and read.head < floor.generation:
            raise unread
        raise ForeignRegistry(
            f"the policy names a history of {floor.generation} entries with the digest {short(floor.digest)}, "
            f"and the store holds another one of {read.head}",
            subject=read.model,
            hint="the store was restored or rewritten; see `modelcast doctor --only logs`",
        )


def _try(subjects: Sequence[str], sign: Sign | None, trust: Trust) -> None:
    if sign is None:
        raise Untrusted("nothing signs here, and a root of trust is pinned", reason=UNSIGNED)
    trial = Signed(PayloadType.TRIAL, b"", sign(pae(PayloadType.TRIAL, b"")))
    require(subjects, good_keys(trial, trust.policy, trust.verify), trust.policy)
