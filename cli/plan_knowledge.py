"""What is known of a region before it fetches: its link, what it holds, and what the store offers it."""

from collections.abc import Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from modelcast.cli.console import age
from modelcast.schemas.errors import ModelcastError, NotFound
from modelcast.schemas.log import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ModelUpdate

if TYPE_CHECKING:
    from modelcast.consumers.fetch.costs import Speeds
    from modelcast.consumers.fetch.ways import Holdings, Offer, Wanted
    from modelcast.infra.settings import Settings

MANIFESTS_READ_MAX = 8
"""To name the versions from which deltas start."""


def speeds_of(settings: "Settings", region: str, rate: float | None) -> tuple["Speeds", str]:
    """The speeds to plan with, and who told that of the long link. ``rate``: bytes a second as the person says."""
    from modelcast.cli.views.state_source import StateSource
    from modelcast.consumers.fetch.costs import Speeds

    guess = Speeds()
    if rate is not None:
        return replace(guess, origin_bytes_per_second=rate, measured=True), "as given"
    beats = [b for b, _ in StateSource(settings).heartbeats() if b.region == region and b.origin_bytes_per_second > 0]
    if beats:
        fastest = max(beat.origin_bytes_per_second for beat in beats)
        return replace(guess, origin_bytes_per_second=fastest, measured=True), "as the region measured it"
    limit = settings.region(region).bandwidth_bytes_per_second
    if limit is not None and limit < guess.origin_bytes_per_second:
        return replace(guess, origin_bytes_per_second=float(limit)), "its limit; the region has not measured it"
    return guess, "a guess: the region has not measured it; --link says it"


@dataclass(frozen=True, slots=True)
class Holding:
    """What a region is known or supposed to hold of a model.

    Attributes:
        versions: others than the one wanted, and how they are held.
        wanted: how it holds the one wanted; "": it does not.
        told_seconds_ago: when the region said so; None: it is supposed, or the region has said nothing.
        supposed: nobody said so.
        lost: versions that the region's bucket lacks, whatever the region said.
    """

    versions: Mapping[int, str]
    wanted: str = ""
    told_seconds_ago: float | None = None
    supposed: bool = False
    lost: tuple[int, ...] = ()


def supposed(log: ModelLog, versions: Sequence[int]) -> Holding:
    """As the person says.

    Raises:
        NotFound: no such version.
    """
    for version in versions:
        if version not in log.updates:
            raise NotFound("no such version", subject=f"{log.model}/{version}", hint=f"modelcast history {log.model}")
    return Holding(dict.fromkeys(versions, "supposed"), supposed=True)


def reported(own: ObjectStore, update: ModelUpdate, now_us: int) -> Holding:
    """What the region's state says that it has on its disks: when it was written last, nobody looked since."""
    from modelcast.agents.region.decider.memory import MEMORY_SIZE_MAX, Memory
    from modelcast.schemas import keys

    found = own.get(keys.region_state(update.model), size_max=MEMORY_SIZE_MAX)
    if found is None:
        return Holding({})
    memory = Memory.decode(found.body, key=found.info.key)
    kept = [(held, how) for held, how in ((memory.staged, "staged"), (memory.served, "served")) if held is not None]
    versions = {held.version: how for held, how in kept}
    lost = {held.version for held, _ in kept if own.head(keys.manifest(held.manifest_digest)) is None}
    wanted = versions.pop(update.version, "")
    told = max(0.0, (now_us - found.info.last_modified_us) / 1e6)
    return Holding(versions, wanted, told, lost=tuple(sorted(lost)))


def in_words(holding: Holding, region: str) -> str:
    """On what a plan rests, as in "eu holds 6 (served), as it said 12 s ago"."""
    others = ", ".join(f"{v} ({how})" for v, how in sorted(holding.versions.items())) or "no other version"
    if holding.supposed:
        return f"{region} is supposed to hold {', '.join(map(str, sorted(holding.versions)))} and nothing else"
    if holding.told_seconds_ago is None:
        return f"{region} has not said what it holds: nothing, then"
    has = {"served": "serves it already and ", "staged": "has it staged already and "}.get(holding.wanted, "")
    lost = f"; but its bucket lacks {', '.join(map(str, holding.lost))}" if holding.lost else ""
    return f"{region} {has}holds {others}, as it said {age(holding.told_seconds_ago)} ago{lost}"


@dataclass(frozen=True, slots=True)
class Situation:
    """What the planner is told."""

    wanted: Sequence["Wanted"]
    held: "Holdings"
    offers: Sequence["Offer"]
    versions: Mapping[str, int]


def situation(
    origin: ObjectStore,
    own: ObjectStore | None,
    log: ModelLog,
    update: ModelUpdate,
    holding: Holding,
    speeds: "Speeds",
) -> Situation:
    """Read the manifests and the offers. ``own``: the region's bucket; None: it is supposed to lack the version."""
    from modelcast.consumers.fetch.cache.block_copy import bytes_of
    from modelcast.consumers.fetch.course import Kin, unoffered, worth_a_look
    from modelcast.consumers.fetch.offers import read_offers
    from modelcast.consumers.fetch.planning.steps import plan as steps_of
    from modelcast.consumers.fetch.region.bucket import RegionalBucket
    from modelcast.consumers.fetch.ways import Holdings, Wanted, reusable

    manifest = _manifest(origin, update)
    versions: dict[str, int] = {}
    cached: dict[str, int] = {}
    blocks: dict[str, tuple[str, int]] = {}
    for version in sorted(holding.versions):
        for file in _manifest(origin, log.updates[version]).files:
            cached[file.digest], versions[file.digest] = file.size_bytes, version
            blocks.update({block: (file.digest, number) for number, block in enumerate(file.blocks)})
    if holding.wanted:
        cached.update({file.digest: file.size_bytes for file in manifest.files})
    regional: dict[str, int] = {}
    if own is not None:
        bucket = RegionalBucket(own, update.artifact.manifest_digest, lambda: False)
        bucket.has_all()
        there = bucket.digests(manifest)
        regional = {file.digest: file.size_bytes for file in manifest.files if file.digest in there}
    wanted = []
    for step in steps_of(manifest, cached=frozenset(), regional=frozenset()):
        here = reusable(step.file, blocks, set(range(len(step.file.blocks))))
        local = bytes_of(step.file, here.keys())
        wanted.append(Wanted(step.file, step.file.size_bytes - local, local))
    kin = Kin(update.version, update.delta_hints, {v: u.artifact.manifest_digest for v, u in log.updates.items()})
    newest = max((v for v in holding.versions if v < update.version), default=0)
    asked = [update.artifact.manifest_digest, *(kin.between(newest) if holding.versions else ())]
    offers = read_offers(origin, asked, lambda: False)
    far = [each.file for each in wanted if each.file.digest not in cached.keys() | regional.keys()]
    if worth_a_look(unoffered(far, offers), speeds):
        offers += read_offers(origin, kin.older(newest, asked), lambda: False)
    if far:
        versions.update(_bases(origin, log, update, {o.old for o in offers if o.old} - versions.keys()))
    return Situation(wanted, Holdings(cached, regional), offers, versions)


def _bases(origin: ObjectStore, log: ModelLog, update: ModelUpdate, digests: Set[str]) -> dict[str, int]:
    """Which versions files belong to from which deltas start, as far as a few manifests say."""
    versions: dict[str, int] = {}
    foretold = [hint.base_version for hint in update.delta_hints]
    others = sorted((v for v in log.updates if v != update.version), key=lambda v: (v not in foretold, -v))
    for version in others[:MANIFESTS_READ_MAX]:
        if not digests - versions.keys():
            break
        with suppress(ModelcastError):  # it is only a name
            versions.update({f.digest: version for f in _manifest(origin, log.updates[version]).files})
    return versions


def _manifest(origin: ObjectStore, update: ModelUpdate) -> Manifest:
    from modelcast.consumers.fetch.region.manifests import read_manifest

    return read_manifest(origin, update.artifact.manifest_digest, update.artifact.manifest_key)
