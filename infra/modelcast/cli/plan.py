"""``modelcast plan``: how a region would bring a version, and why so."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from modelcast.cli.configured import load, origin_registry
from modelcast.cli.console import Format, age, emit, say, size
from modelcast.cli.options import Output
from modelcast.cli.registry_views import ReferenceArgument, read_log
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.log import ModelLog
from modelcast.schemas.manifest import Manifest
from modelcast.schemas.names import Reference
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.records import ModelUpdate

if TYPE_CHECKING:
    from modelcast.consumers.fetch.costs import Speeds
    from modelcast.consumers.fetch.explain import Considered, Explained
    from modelcast.consumers.fetch.ways import Holdings, Offer, Wanted
    from modelcast.infra.settings import Settings

BETWEEN_MAX = 4
FILES_SHOWN_MAX = 50

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kMGT]?)(?:(bit|b)|B)?(?:/s|ps)?", re.ASCII)
_FACTORS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


def register(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command()(plan)


def rate_of(text: str) -> float:
    """Bytes a second, of ``100Mbit``, ``12.5MB/s`` or plain bytes.

    Raises:
        UsageError: it is none of these.
    """
    match = _RATE.fullmatch(text.strip())
    rate = float(match[1]) * _FACTORS[match[2]] / (8 if match[3] else 1) if match else 0.0
    if rate <= 0:
        raise UsageError(f"bad link speed {text!r}", hint="write 100Mbit, 1Gbit, 12.5MB or bytes a second")
    return rate


def plan(
    reference: ReferenceArgument,
    region: Annotated[str, typer.Option("--region", "-r", help="Whose bucket and link.")],
    held: Annotated[
        list[int] | None,
        typer.Option("--from", min=1, help="Suppose that the region holds this version, and no other."),
    ] = None,
    link: Annotated[str | None, typer.Option("--link", help="The long link's speed, as in 100Mbit or 12MB.")] = None,
    output: Output = Format.table,
) -> None:
    """How a region would bring a version: every way with bytes and seconds, which is taken, and why.

    What may fail carries a risk: a share of the whole's seconds. The way with the least sum of both is taken.
    """
    from modelcast.consumers.fetch.course import in_words, origin_bytes_of, seconds_of
    from modelcast.consumers.fetch.explain import explain
    from modelcast.infra.stores.configured import origin_store, region_store

    rate = rate_of(link) if link is not None else None
    settings, wanted = load(), Reference.parse(reference)
    own = region_store(settings, region)
    origin = origin_store(settings)
    log, _ = read_log(origin_registry(settings), wanted.model)
    update = log.resolve(wanted, region)
    speeds, told_by = _speeds(settings, region, rate)
    holding = _supposed(log, held) if held else _reported(own, update)
    situation = _situation(origin, None if held else own, log, update, sorted(holding))
    plans, explained = explain(situation.wanted, situation.held, situation.offers, speeds, situation.versions)
    words = in_words([p.chosen for p in plans], situation.versions)
    total = sum(p.file.size_bytes for p in plans)
    data = {
        "model": update.model,
        "version": update.version,
        "region": region,
        "way": words,
        "bytes_planned": origin_bytes_of(plans),
        "bytes_total": total,
        "seconds_predicted": seconds_of(plans),
        "holds": [{"version": v, "why": why} for v, why in sorted(holding.items())],
        "link_bytes_per_second": speeds.origin_bytes_per_second,
        "link_known_from": told_by,
        "speeds": speeds,
        "foretold": update.delta_hints,
        "deltas_offered": len(situation.offers),
        "files": explained,
    }
    if output is Format.table:
        holds = ", ".join(f"{v} ({why})" for v, why in sorted(holding.items())) or "no other version"
        say(f"{update.model}/{update.version} in {region}, which holds {holds}")
        say(f"long link: {size(speeds.origin_bytes_per_second)}/s ({told_by})")
    emit(data, output, _table(explained))
    if output is Format.table:
        say(f"{words}: {size(origin_bytes_of(plans))} of {size(total)} cross, about {age(seconds_of(plans))}")


def _table(files: Sequence["Explained"]) -> Table:
    table = Table("FILE", "SIZE", "", "WAY", "CROSSES", "SECONDS", "+ RISK", "= COST", "WHY", box=None)
    for file in files[:FILES_SHOWN_MAX]:
        for number, way in enumerate(file.ways):
            table.add_row(
                file.path if number == 0 else "",
                size(file.size_bytes) if number == 0 else "",
                "→" if way.chosen else "",
                Text(way.way, style="bold green" if way.chosen else ""),
                size(way.origin_bytes),
                *_costs(way),
                way.why,
            )
    if len(files) > FILES_SHOWN_MAX:
        table.add_row(f"… and {len(files) - FILES_SHOWN_MAX} more files (-o json has all)")
    return table


def _costs(way: "Considered") -> tuple[str, str, str]:
    if way.seconds is None or way.risk_seconds is None:
        return "-", "-", "-"
    return f"{way.seconds:.2f}", f"{way.risk_seconds:.2f}", f"{way.seconds + way.risk_seconds:.2f}"


# --- what is known ------------------------------------------------------------------------------------------------


def _speeds(settings: "Settings", region: str, rate: float | None) -> tuple["Speeds", str]:
    from modelcast.cli.state_source import StateSource
    from modelcast.consumers.fetch.costs import Speeds

    guess = Speeds()
    if rate is not None:
        return replace(guess, origin_bytes_per_second=rate, measured=True), "as given"
    beats = [b for b, _ in StateSource(settings).heartbeats() if b.region == region and b.origin_bytes_per_second > 0]
    if beats:
        fastest = max(beat.origin_bytes_per_second for beat in beats)
        return replace(guess, origin_bytes_per_second=fastest, measured=True), "as the region measured it"
    return guess, "a guess: the region has not measured it; --link says it"


def _supposed(log: ModelLog, versions: Sequence[int]) -> dict[int, str]:
    for version in versions:
        if version not in log.updates:
            raise NotFound("no such version", subject=f"{log.model}/{version}", hint=f"modelcast history {log.model}")
    return dict.fromkeys(versions, "supposed")


def _reported(own: ObjectStore, update: ModelUpdate) -> dict[int, str]:
    """What the region's state says that it has on its disks."""
    from modelcast.agents.region.memory import MEMORY_SIZE_MAX, Memory
    from modelcast.schemas import keys

    found = own.get(keys.region_state(update.model), size_max=MEMORY_SIZE_MAX)
    if found is None:
        return {}
    memory = Memory.decode(found.body, key=found.info.key)
    held = {memory.staged.version: "staged"} if memory.staged else {}
    if memory.served:
        held[memory.served.version] = "served"
    held.pop(update.version, None)
    return held


@dataclass(frozen=True, slots=True)
class _Situation:
    """What the planner is told."""

    wanted: Sequence["Wanted"]
    held: "Holdings"
    offers: Sequence["Offer"]
    versions: Mapping[str, int]


def _situation(
    origin: ObjectStore, own: ObjectStore | None, log: ModelLog, update: ModelUpdate, holding: Sequence[int]
) -> _Situation:
    """Read the manifests and the offers. ``own``: the region's bucket; None: it is supposed to lack the version."""
    from modelcast.consumers.fetch.copying import bytes_of
    from modelcast.consumers.fetch.offers import read_offers
    from modelcast.consumers.fetch.plan import plan as steps_of
    from modelcast.consumers.fetch.regional import RegionalBucket
    from modelcast.consumers.fetch.ways import Holdings, Wanted, reusable

    manifest = _manifest(origin, update)
    versions: dict[str, int] = {}
    cached: dict[str, int] = {}
    blocks: dict[str, tuple[str, int]] = {}
    for version in holding:
        for file in _manifest(origin, log.updates[version]).files:
            cached[file.digest], versions[file.digest] = file.size_bytes, version
            blocks.update({block: (file.digest, number) for number, block in enumerate(file.blocks)})
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
    between = [v for v in log.updates if holding and max(holding) < v < update.version]
    asked = [update, *(log.updates[v] for v in sorted(between, reverse=True)[:BETWEEN_MAX])]
    offers = read_offers(origin, [u.artifact.manifest_digest for u in asked], lambda: False)
    return _Situation(wanted, Holdings(cached, regional), offers, versions)


def _manifest(origin: ObjectStore, update: ModelUpdate) -> Manifest:
    from modelcast.consumers.fetch.manifests import read_manifest

    return read_manifest(origin, update.artifact.manifest_digest, update.artifact.manifest_key)
