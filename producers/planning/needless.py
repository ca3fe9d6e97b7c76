"""Whether a command changes nothing, because of what the log holds already. Pure."""

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.region_view import RegionView
from modelcast.schemas.log.verbs import RULES, News
from modelcast.schemas.records import ModelCommand


def changes_nothing(log: ModelLog, command: ModelCommand) -> bool:
    """Whether every region would do the same, now and later, without this entry.

    Args:
        log: the fold that ends right before the command.
        command: one that ``ModelLog.check`` accepts.
    """
    news = RULES[command.kind].news
    if news is News.ALWAYS or (news is News.WITH_A_REASON and command.reason):
        return False
    after = log.apply(command)
    if after.quarantined.keys() != log.quarantined.keys() or after.aliases != log.aliases:
        return False
    return all(_meaning(after.view(region)) == _meaning(log.view(region)) for region in after.views)


def _meaning(view: RegionView) -> tuple[object, ...]:
    """What a view comes to, whichever entries made it so."""
    newest = view.activations[-1][1] if view.activations else None
    # What is left once a quarantine takes the newest: their order decides.
    behind = tuple(v for g, v in view.activations if g <= view.pause_generation) if view.paused else ()
    return view.pinned_version, view.paused, view.paused_version, view.staged_version, newest, behind
