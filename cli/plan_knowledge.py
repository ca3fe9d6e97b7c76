"""What is known of a region before it fetches: its link, what it holds, and what the store offers it."""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelcast.cli.delta_extra import needs_deltas
from modelcast.schemas.errors import ModelcastError, NotFound
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.quantities import duration
from modelcast.schemas.records import ModelUpdate

if TYPE_CHECKING:
    from modelcast.consumers.fetch import LinkSpeeds, Step
    from modelcast.deltas.fetch.chooser import PathChooser
    from modelcast.deltas.fetch.planning.explain import Explained
    from modelcast.deltas.fetch.planning.paths import FilePlan
    from modelcast.infra.settings import Settings

MANIFESTS_READ_MAX = 8
"""To name the versions from which deltas start."""


def speeds_of(settings: "Settings", region: str, rate: float | None) -> tuple["LinkSpeeds", str]:
    """The speeds to plan with, and where that of the long link comes from. ``rate``: bytes a second, as given."""
    from modelcast.cli.views.state_source import StateSource
    from modelcast.consumers.fetch import LinkSpeeds

    guess = LinkSpeeds()
    if rate is not None:
        return replace(guess, origin_bytes_per_second=rate, measured=True), "as given"
    beats = [b for b, _ in StateSource(settings).heartbeats() if b.region == region and b.origin_bytes_per_second > 0]
    if beats:
        fastest = max(beat.origin_bytes_per_second for beat in beats)
        return replace(guess, origin_bytes_per_second=fastest, measured=True), "as the region measured it"
    limit = settings.region(region).bandwidth_bytes_per_second
    if limit is not None and limit < guess.origin_bytes_per_second:
        return replace(guess, origin_bytes_per_second=float(limit)), "its limit; the region has not measured it"
    return guess, "a guess: the region has not measured it; --link sets it"


@dataclass(frozen=True, slots=True)
class RegionHoldings:
    """What a region is known or supposed to hold of a model.

    Attributes:
        versions: others than the one wanted, and how they are held.
        wanted: how it holds the one wanted; "": it does not.
        reported_seconds_ago: when the region reported it; None: it is supposed, or was never reported.
        supposed: given by the user, not reported.
        lost: versions that the region's bucket lacks, whatever the region reported.
    """

    versions: Mapping[int, str]
    wanted: str = ""
    reported_seconds_ago: float | None = None
    supposed: bool = False
    lost: tuple[int, ...] = ()


def supposed(log: ModelLog, versions: Sequence[int]) -> RegionHoldings:
    """The holdings that the user supposes.

    Raises:
        NotFound: no such version.
    """
    for version in versions:
        if version not in log.updates:
            raise NotFound("no such version", subject=f"{log.model}/{version}", hint=f"modelcast history {log.model}")
    return RegionHoldings(dict.fromkeys(versions, "supposed"), supposed=True)


def reported(own: ObjectStore, update: ModelUpdate, now_us: int) -> RegionHoldings:
    """What the region's state says that it has on its disks, as of its last write."""
    from modelcast.schemas import keys
    from modelcast.schemas.region_memory import MEMORY_SIZE_MAX, Memory

    found = own.get(keys.region_state(update.model), size_max=MEMORY_SIZE_MAX)
    if found is None:
        return RegionHoldings({})
    memory = Memory.decode(found.body, key=found.info.key)
    kept = [(held, how) for held, how in ((memory.staged, "staged"), (memory.served, "served")) if held is not None]
    versions = {held.version: how for held, how in kept}
    lost = {held.version for held, _ in kept if own.head(keys.manifest(held.manifest_digest)) is None}
    wanted = versions.pop(update.version, "")
    seconds_ago = max(0.0, (now_us - found.info.last_modified_us) / 1e6)
    return RegionHoldings(versions, wanted, seconds_ago, lost=tuple(sorted(lost)))


def holding_in_words(holding: RegionHoldings, region: str) -> str:
    """On what a plan rests, as in "eu holds 6 (served), as it reported 12 s ago"."""
    others = ", ".join(f"{v} ({how})" for v, how in sorted(holding.versions.items())) or "no other version"
    if holding.supposed:
        return f"{region} is supposed to hold {', '.join(map(str, sorted(holding.versions)))} and nothing else"
    if holding.reported_seconds_ago is None:
        return f"{region} has not reported what it holds: nothing, then"
    has = {"served": "serves it already and ", "staged": "has it staged already and "}.get(holding.wanted, "")
    lost = f"; but its bucket lacks {', '.join(map(str, holding.lost))}" if holding.lost else ""
    return f"{region} {has}holds {others}, as it reported {duration(holding.reported_seconds_ago)} ago{lost}"


@dataclass(frozen=True, slots=True)
class Supposed:
    """The artifacts that a region is taken to hold (``HeldArtifacts``), by manifest digest."""

    manifests: Mapping[str, Manifest]

    def digests(self) -> list[str]:
        """Their manifest digests."""
        return list(self.manifests)

    def manifest(self, manifest_digest: str) -> Manifest:
        """The manifest of a version."""
        return self.manifests[manifest_digest]


@dataclass(frozen=True, slots=True)
class GivenSpeeds:
    """A ``SpeedSource`` of given speeds."""

    link: "LinkSpeeds"

    def speeds(self) -> "LinkSpeeds":
        """The speeds that the user gives."""
        return self.link


@dataclass(frozen=True, slots=True)
class Planned:
    """What the region's own chooser would do.

    Attributes:
        steps: how each file would come.
        chooser: what it has looked at.
    """

    steps: Sequence["Step"]
    files: Sequence["FilePlan"]
    explained: Sequence["Explained"]
    chooser: "PathChooser"


def planned(
    origin: ObjectStore,
    own: ObjectStore | None,
    log: ModelLog,
    update: ModelUpdate,
    holding: RegionHoldings,
    link: "LinkSpeeds",
    size_min_bytes: int,
) -> Planned:
    """Read the manifests, and let the chooser choose without fetching anything.

    Args:
        own: the region's bucket; None: it is supposed to lack the version.
        link: how fast the links are.
        size_min_bytes: smaller files travel whole.

    Raises:
        ModelcastError: deltas are not installed.
    """
    from modelcast.consumers.fetch import (
        BaseCandidates,
        Context,
        HeldFiles,
        RegionalBucket,
        Request,
        Way,
        planned_steps,
    )

    with needs_deltas():
        from modelcast.deltas.fetch.chooser import Experience, Options, PathChooser
        from modelcast.deltas.fetch.planning.labels import labelled
        from modelcast.deltas.fetch.planning.paths import Holdings

    manifest, context = _manifest(origin, update), Context()
    digest = update.artifact.manifest_digest
    supposed = Supposed(
        {log.updates[v].artifact.manifest_digest: _manifest(origin, log.updates[v]) for v in sorted(holding.versions)}
    )
    held = [file for each in supposed.manifests.values() for file in each.files]
    here = {file.digest: Path(file.path) for file in [*held, *(manifest.files if holding.wanted else ())]}
    regional: frozenset[str] = frozenset()
    if own is not None:
        bucket = RegionalBucket(own, digest, context)
        bucket.has_all()
        regional = bucket.digests(manifest)
    steps = planned_steps(manifest, supposed, here, regional)
    far = [step for step in steps if step.way not in {Way.CACHE, Way.REGION}]
    candidates = BaseCandidates(
        update.version, update.delta_hints, {v: u.artifact.manifest_digest for v, u in log.updates.items()}
    )
    request = Request(digest, origin, own, supposed, GivenSpeeds(link), candidates)
    chooser = PathChooser(Options(size_min_bytes=size_min_bytes), Experience(), request)
    chooser.look(far, HeldFiles(here, Path()), context)
    names = _bases(origin, log, update, {o.old for o in chooser.offers if o.old} - chooser.versions.keys())
    sizes = {step.file.digest: step.file.size_bytes for step in steps}
    known = Holdings(
        {d: size for d, size in sizes.items() if d in here}, {d: size for d, size in sizes.items() if d in regional}
    )
    files, explained = chooser.explained(steps, known, names)
    taken = [labelled(step, file.chosen, chooser.versions) for step, file in zip(steps, files, strict=True)]
    return Planned(taken, files, explained, chooser)


def _bases(origin: ObjectStore, log: ModelLog, update: ModelUpdate, digests: Set[str]) -> dict[str, int]:
    """Which versions files belong to from which deltas start, as far as a few manifests say."""
    versions: dict[str, int] = {}
    announced = [hint.base_version for hint in update.delta_hints]
    others = sorted((v for v in log.updates if v != update.version), key=lambda v: (v not in announced, -v))
    for version in others[:MANIFESTS_READ_MAX]:
        if not digests - versions.keys():
            break
        with suppress(ModelcastError):  # it is only a name
            versions.update({f.digest: version for f in _manifest(origin, log.updates[version]).files})
    return versions


def _manifest(origin: ObjectStore, update: ModelUpdate) -> Manifest:
    from modelcast.consumers.fetch import read_manifest

    return read_manifest(origin, update.artifact.manifest_digest, update.artifact.manifest_key)
