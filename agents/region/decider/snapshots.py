"""A replica as the tracker gets it: one snapshot in pages, pure."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

from modelcast.agents.region.decider.events_and_effects import Transfer
from modelcast.agents.region.decider.knowledge import NEVER
from modelcast.agents.region.decider.milestones import spans
from modelcast.agents.region.decider.replica import Replica
from modelcast.schemas.ack_headers import AckHeaders
from modelcast.schemas.codec import encode
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.names import VERSION_MAX
from modelcast.schemas.records import ModelAck, ModelUpdate, PodReport
from modelcast.schemas.text.printable import bounded
from modelcast.schemas.topics import RECORD_SIZE_MAX

PODS_PER_PAGE = 1000
ERROR_KEPT_MAX = 500
TEXT_KEPT_MAX = 200
PLACE_KEPT_MAX = 80  # of what stands in each pod's row
SIZE_AIMED_AT_BYTES = RECORD_SIZE_MAX - 16 * 1024
"""Pods' rows fill a page up to here; the rest is for the page's own fields."""


def snapshot(replica: Replica, *, worker: str, sequence: int, now_us: int, now: float) -> tuple[ModelAck, ...]:
    """All pages of the snapshot ``sequence``. ``now`` and ``now_us`` are the same instant on two clocks."""
    reports = [_clean(replica.pod_report(name, now_us, now)) for name in sorted(replica.pods)]
    pages = list(_pages(reports))
    memory, target = replica.wished_memory(), replica.target
    staged = memory.staged
    about = _update_reported(replica)
    transfer = replica.facts.transfers.get(about.artifact.manifest_digest, Transfer()) if about else Transfer()
    digest = about.artifact.manifest_digest if about else ""
    since_us, stages = spans(replica.facts.milestones, transfer, now_us, now)
    return tuple(
        ModelAck(
            registry_id=replica.facts.saved.registry_id,
            model=replica.facts.saved.model,
            region=replica.facts.saved.region,
            worker=worker,
            epoch=replica.facts.saved.epoch,
            sequence=sequence,
            page=number,
            pages=len(pages),
            generation=replica.accepted.generation,
            version=target.version if target else None,
            manifest_digest=replica.digest,
            state=replica.state,
            reported_at_us=now_us,
            staged_generation=staged.generation if staged else 0,
            staged_version=staged.version if staged else None,
            refused_version=replica.refused_version,
            pods=tuple(rows),
            # A fleet whose pods are not known yet has one at least: no one takes the region for converged.
            pods_expected=len(replica.pods) + replica.facts.fleets_unknown,
            bytes_moved=transfer.bytes_moved,
            bytes_saved=transfer.bytes_saved,
            bytes_total=about.artifact.size_bytes if about else 0,
            bytes_planned=transfer.bytes_planned,
            bytes_per_second=round(transfer.bytes_per_second, 1),
            way=transfer.way[:TEXT_KEPT_MAX],
            spans_since_us=since_us,
            spans=stages,
            attempts=replica.attempts.failures.get(digest, 0) + replica.attempts.damages.get(digest, 0),
            error=_error(replica)[:ERROR_KEPT_MAX],
            log_digest=replica.accepted.digest,
            rollover=_rollover(replica, now_us, now)[:ERROR_KEPT_MAX],
            alarm="; ".join(filter(None, (replica.facts.alarm, replica.facts.unreadable)))[:ERROR_KEPT_MAX],
        )
        for number, rows in enumerate(pages)
    )


def _update_reported(replica: Replica) -> ModelUpdate | None:
    """Whose bytes are reported: what is aspired, unless only what is fetched ahead of it is on its way."""
    aspiration = replica.facts.aspiration
    aspired, ahead = (aspiration.update, aspiration.staged) if aspiration else (None, None)
    coming = [u for u in (aspired, ahead) if u and replica.is_coming(u.artifact.manifest_digest)]
    return next((u for u in (*coming, aspired, ahead) if u), None)


def _error(replica: Replica) -> str:
    """The first thing that a person should know; a refusal's reason is known after a restart, too."""
    refused = replica.refused_version
    fault = replica.facts.alarm or replica.facts.unreadable or _stopped(replica) or replica.attempts.error
    refusal = next((q.reason for q in replica.facts.quarantined if q.version == refused), "")
    return fault or refusal or replica.facts.fleet_trouble


def _stopped(replica: Replica) -> str:
    if not replica.is_halted or replica.facts.halt is None or replica.target is None:
        return ""
    how = f"modelcast activate {replica.target.model}/{replica.target.version} --reason TEXT"
    return f"rollover stopped: {replica.facts.halt.reason}; to go on: {how}"


def _rollover(replica: Replica, now_us: int, now: float) -> str:
    """Why pods wait for their orders, for people; "": none does."""
    rollover = replica.pending.rollover
    if not rollover.waits:
        return ""
    serving = sum(replica.confirms(view) for view in replica.pods.values())
    until = f" until {_clock(now_us + int((rollover.until - now) * 1e6))}" if rollover.until > NEVER else ""
    return f"{serving} of {len(replica.pods)} pods; {rollover.waits}{until}"


def _clock(at_us: int) -> str:
    return f"{datetime.fromtimestamp(at_us // 1_000_000, UTC):%H:%M:%SZ}"


def encoded(
    replica: Replica, *, worker: str, sequence: int, now_us: int, now: float
) -> list[tuple[bytes, dict[str, bytes]]]:
    """The pages as they travel, with their headers.

    Raises:
        ContentError: a page can't be written.
    """
    pages = snapshot(replica, worker=worker, sequence=sequence, now_us=now_us, now=now)
    return [(encode(page), AckHeaders.of(page).written()) for page in pages]


def _pages(reports: list[PodReport]) -> Iterator[list[PodReport]]:
    page: list[PodReport] = []
    size_bytes = 0
    for report in reports:
        row_bytes = _row_bytes(report)
        if page and (len(page) == PODS_PER_PAGE or size_bytes + row_bytes > SIZE_AIMED_AT_BYTES):
            yield page
            page, size_bytes = [], 0
        page.append(report)
        size_bytes += row_bytes
    yield page  # also an empty one: a snapshot without pods is a snapshot


def _row_bytes(report: PodReport) -> int:
    """At least what the row takes encoded: its texts, and ten bytes for each number."""
    texts = (
        *(report.pod, report.manifest_digest, report.incarnation, report.error),
        *(report.kind, report.fleet, report.zone),
    )
    return sum(len(t.encode()) + 5 for t in texts) + 50


def _clean(report: PodReport) -> PodReport:
    """The row with nothing in it that a record may not hold: a strange server must not silence its region."""
    version = report.version if report.version is not None and 1 <= report.version <= VERSION_MAX else None
    digest = report.manifest_digest if DIGEST_PATTERN.fullmatch(report.manifest_digest) else ""
    return replace(
        report,
        version=version,
        manifest_digest=digest,
        incarnation=_word(report.incarnation, TEXT_KEPT_MAX),
        error=bounded(report.error, ERROR_KEPT_MAX),
        kind=_word(report.kind, PLACE_KEPT_MAX),
        fleet=_word(report.fleet, PLACE_KEPT_MAX),
        zone=_word(report.zone, PLACE_KEPT_MAX),
    )


def _word(text: str, chars_max: int) -> str:
    return "".join(c for c in text if c.isprintable())[:chars_max]
