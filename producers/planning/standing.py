"""What becomes of a version that was published: what was asked for and is not so, and where it won't be served."""

from modelcast.producers.planning.request import PublishRequest
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.region_view import RegionView
from modelcast.schemas.records import ALL_REGIONS, ModelUpdate


def standing_notes(log: ModelLog, entry: ModelUpdate, request: PublishRequest) -> tuple[str, ...]:
    """What a person who publishes it again should know.

    Args:
        log: the fold.
        entry: the one that published it.
        request: what is asked for now.
    """
    return (*_differences(entry, request), *unserved_notes(log, entry))


def unserved_notes(log: ModelLog, entry: ModelUpdate) -> tuple[str, ...]:
    """Where something else is to be served, and what would change that: a pin, a pause, a rollback, a quarantine.

    Args:
        log: the fold, with the entry in it.
        entry: the one that published the version.
    """
    reference = f"{entry.model}/{entry.version}"
    if entry.version in log.quarantined:
        return (f"is quarantined: no region serves it before modelcast release {reference}",)
    headed: dict[tuple[int | None, str], list[str]] = {}
    for region in entry.placement or (ALL_REGIONS, *sorted(log.regions_named)):
        view, aspired = log.view(region), log.aspired_version(region)
        if entry.version not in {aspired, view.staged_version}:
            headed.setdefault((aspired, _remedy(view, entry)), []).append(region)
    return tuple(
        f"is not what regions are headed for ({_named(regions)}: version {aspired}): {remedy}"
        for (aspired, remedy), regions in headed.items()
    )


def _differences(entry: ModelUpdate, request: PublishRequest) -> list[str]:
    found = []
    if entry.activation is not request.activation:
        found.append(f"was published with activation {entry.activation.lower()}, which stays so")
    if set(entry.placement) != set(request.placement):
        found.append(f"was published for {', '.join(entry.placement) or 'all regions'}, which stays so")
    return found


def _remedy(view: RegionView, entry: ModelUpdate) -> str:
    """The commands after which a region serves the version: what is activated last is served once nothing holds it."""
    held = ["unpin"] if view.pinned_version is not None else []
    held += ["resume"] if view.paused else []
    commands = [f"modelcast {verb} {entry.model}" for verb in held]
    if not commands or view.activations[-1:] != ((entry.generation, entry.version),):
        commands.append(f"modelcast activate {entry.model}/{entry.version}")
    return ", then ".join(commands)


def _named(regions: list[str]) -> str:
    return ", ".join(region or "all others" for region in sorted(regions, reverse=True)) if regions != [""] else "all"
