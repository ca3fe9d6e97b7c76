"""What an operator's command comes to on a model's log. Pure."""

from collections.abc import Callable, Sequence

from modelcast.producers.planning.arguments import region_names_of
from modelcast.schemas.errors import NotFound, Refused
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.verbs import RULES
from modelcast.schemas.names import check_version
from modelcast.schemas.records import ALL_REGIONS, CommandKind, CommandTarget, ModelCommand

Targets = Callable[[ModelLog], tuple[CommandTarget, ...]]


def check_command(log: ModelLog, command: ModelCommand) -> None:
    """Refuse what an operator must not ask for, beyond ``ModelLog.check``.

    Raises:
        NotFound: nothing was ever published under this name, or there is no such version.
        Refused: a region would have to serve a quarantined version.
    """
    if not log.updates:
        raise NotFound("no such model", subject=command.model, hint="modelcast get models")
    for target in command.targets:
        if target.version is not None and target.version not in log.updates:
            hint = f"modelcast history {command.model}"
            raise NotFound("no such version", subject=f"{command.model}/{target.version}", hint=hint)
        if RULES[command.kind].serves and target.version in log.quarantined:
            subject = f"{command.model}/{target.version}"
            raise Refused("it is quarantined", subject=subject, hint=f"modelcast release {subject}")


def check_earned(log: ModelLog, command: ModelCommand) -> None:
    """Refuse to have a version served that never was, past its rollout: for models that are set to need one.

    Raises:
        Refused: it was never activated, by a publication, a promotion or a person. Going back is always allowed.
    """
    if command.kind not in {CommandKind.ACTIVATE, CommandKind.PIN}:
        return
    for target in command.targets:
        served = {version for _, version in log.view(target.region).activations}
        if served and target.version not in served:
            subject = f"{command.model}/{target.version}"
            raise Refused(
                "this model's versions must earn their traffic", subject=subject,
                hint=f"modelcast rollout start {subject}; or set rollout_only = false in [models.{command.model}]",
            )  # fmt: skip


def rollback_targets(regions: str | Sequence[str], last_consistent: int | None) -> Targets:
    """Targets of a rollback whose version is not named, decided on the log as it stands when it is claimed.

    Raises:
        UsageError: a region's name or the version is malformed.
    """
    last = check_version(last_consistent) if last_consistent is not None else None
    named = tuple(dict.fromkeys(region_names_of(regions)))

    def targets(log: ModelLog) -> tuple[CommandTarget, ...]:
        wanted = named or (ALL_REGIONS,)
        if not named and not log.view(ALL_REGIONS).activations:  # every publication named its regions
            wanted = tuple(sorted(log.regions_named)) or wanted
        return tuple(CommandTarget(region, _before(log, region, last)) for region in wanted)

    return targets


def _before(log: ModelLog, region: str, last_consistent: int | None) -> int:
    now = log.aspired_version(region)
    if (
        last_consistent is not None
        and last_consistent in log.updates
        and last_consistent not in {now, *log.quarantined}
    ):
        return last_consistent
    for _, version in reversed(log.view(region).activations):
        if version != now and version not in log.quarantined:
            return version
    where = f" in {region}" if region else ""
    if now is None:
        hint = f"`modelcast activate {log.model}/NUMBER` has one served; a quarantined one has to be released first"
        raise Refused(f"no version is in force{where}: there is nothing to go back from", subject=log.model, hint=hint)
    raise Refused(
        f"nothing was served before version {now}{where}", subject=log.model, hint="name the version: rollback --to"
    )


def targets_of(regions: str | Sequence[str], version: int | None = None) -> Targets:
    """Every region named, each once; none named: all of them.

    Raises:
        UsageError: a name or the version is malformed.
    """
    number = check_version(version) if version is not None else None
    named = tuple(dict.fromkeys(region_names_of(regions))) or (ALL_REGIONS,)
    return lambda log: tuple(CommandTarget(region, number) for region in named)
