"""``modelcast regions forget``: a region that will not come back is no longer waited for, nor shown."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from modelcast.cli.configured import load, warnings_only
from modelcast.cli.console import Format, emit, say
from modelcast.cli.options import DryRun, Output, Yes, confirm
from modelcast.schemas.errors import NotFound, Refused, UsageError
from modelcast.schemas.names import check_region
from modelcast.schemas.quantities import duration

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

regions = typer.Typer(no_args_is_help=True, help="Regions, as trackers know them.")


@dataclass(frozen=True, slots=True)
class KnownRegion:
    """What is known of one region.

    Attributes:
        region: its name.
        models: those that the tracker has a row of it for.
        workers: those whose heartbeats are kept.
        heard_seconds_ago: since the newest sign of it; None: there was none.
    """

    region: str
    models: tuple[str, ...]
    workers: tuple[str, ...]
    heard_seconds_ago: float | None


def register(app: typer.Typer) -> None:
    """Add ``regions`` to the command line."""
    app.add_typer(regions, name="regions")


@regions.command()
def forget(
    region: Annotated[str, typer.Argument(help="The region that will not come back, as in eu.")],
    reason: Annotated[str, typer.Option("--reason", help="Why; goes with the record on Kafka.")] = "",
    yes: Yes = False,
    dry_run: DryRun = False,
    output: Output = Format.table,
) -> None:
    """Have every tracker forget a region at once: it is no longer waited for, nor shown.

    Trackers drop it anyway when they start with settings that don't list it. One that is heard again is back, wherever
    a tracker's settings list it still. Nothing in the region itself or in the registry changes.
    """
    settings = load()
    warnings_only()
    check_region(region)
    if region in settings.regions:
        raise Refused(
            "the settings list it still",
            subject=region,
            hint=f"remove [regions.{region}] wherever it stands, the trackers' settings first, then run this again",
        )
    if not reason and not dry_run:
        raise UsageError("no reason is given", hint="add --reason TEXT: others will want to know")
    known = _known(settings, region)
    if known.heard_seconds_ago is not None and known.heard_seconds_ago <= settings.tracker.silent_seconds:
        raise Refused(
            f"it is there: heard {duration(known.heard_seconds_ago)} ago",
            subject=region,
            hint="stop its agents first: a region that is heard again is back at once",
        )
    where = f"{len(known.models)} model(s), {len(known.workers)} worker(s)"
    if dry_run:
        emit(known, output, Text(f"{region}: would be forgotten: {where}"))
        return
    confirm(f"Forget {region} ({where})? It is no longer waited for.", yes=yes)
    _bury(settings, known, reason)
    emit(known, output, Text(f"{region}: forgotten: {where}"))


def _known(settings: "Settings", region: str) -> KnownRegion:
    """What the trackers have said of it.

    Raises:
        NotFound: nothing.
        KafkaUnavailable: neither Redis nor Kafka could be read.
    """
    from modelcast.cli.views.state_source import StateSource

    source = StateSource(settings)
    beats = [(beat, seconds) for beat, seconds in source.heartbeats() if beat.region == region]
    seen = {
        found.state.model: (found.at_us - row.heard_at_us) / 1e6
        for found in source.models()
        for row in found.state.regions
        if row.region == region
    }
    for remark in source.remarks:
        say(f"note: {remark}")
    if not beats and not seen:
        raise NotFound("nothing is known of such a region", subject=region, hint="modelcast get regions")
    heard = min([seconds for _, seconds in beats] + list(seen.values()))
    return KnownRegion(region, tuple(sorted(seen)), tuple(sorted(beat.worker for beat, _ in beats)), heard)


def _bury(settings: "Settings", known: KnownRegion, reason: str) -> None:
    """Tombstones on ``region-heartbeats``, which every tracker reads: of its workers, then of the region itself."""
    from modelcast.infra.kafka.announcer import KafkaAnnouncer
    from modelcast.infra.registry.audit_trail import audit_trail
    from modelcast.producers.identity import where_from, whoami
    from modelcast.schemas.topics import Topic

    headers = {"reason": reason.encode(), "requested_by": whoami().encode()}
    trail = audit_trail(settings, source=where_from())
    action, subject = "regions forget", f"region {known.region}"
    with trail.of(whoami(), action, subject, reason=reason), KafkaAnnouncer(settings) as announcer:
        for key in (*(f"{known.region}/{worker}" for worker in known.workers), known.region):
            announcer.announce(
                Topic.REGION_HEARTBEATS, key, None, timeout_seconds=settings.kafka.timeout_seconds, headers=headers
            )
