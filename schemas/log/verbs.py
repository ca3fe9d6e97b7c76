"""What an operator can say about a model: one rule for each verb, from which everything else follows.

The log's fold, the checks of records, what a publisher refuses, ``Commander`` and the command line go by this table. A
new verb is a ``CommandKind`` in ``records.py`` and a rule here; for Python callers, a method of ``Commander`` as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from types import MappingProxyType
from typing import TYPE_CHECKING

from modelcast.schemas.log import rollouts
from modelcast.schemas.log.region_view import RegionView
from modelcast.schemas.records import CommandKind, LogPosition

if TYPE_CHECKING:
    from modelcast.schemas.log.fold import ModelLog


class News(Enum):
    """When a command that would change nothing is written all the same."""

    NEVER = "never"
    WITH_A_REASON = "with a reason"  # the reason is shown while it holds, and regions that failed try again
    ALWAYS = "always"


@dataclass(frozen=True, slots=True)
class Order:
    """What one target of a command asks for.

    Attributes:
        generation: the command's.
        version: the target's; 0 where the verb takes none.
        alias: the command's, or "".
        aspired: what the region should have served without it.
        replaces: the command's positions.
    """

    generation: int
    version: int
    alias: str
    aspired: int | None
    replaces: tuple[LogPosition, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """What one verb means.

    Attributes:
        help: what it does, in one or two sentences.
        question: what a person is asked before it is done. May name ``{model}``, ``{version}``, ``{goal}`` ("version
            7"), ``{alias}`` and ``{where}`` ("in eu, us").
        example: a command line that says it, at the end of its help.
        takes_version: each target names a version, which the log must hold.
        takes_alias: the command names an alias.
        takes_positions: the command names positions that the log does not hold; it has a command of its own.
        takes_share: each target names a share of the requests.
        by_region: it may name some regions; otherwise it concerns the version or the model, and so all regions.
        serves: it has regions serve the version: placement must allow that there, and no quarantine may hold it.
        news: when it is written although it would change nothing.
        change_region: the region's view with the order folded in; None: no region is concerned.
        change_log: the log with the order folded in, for what no region's view holds.
        change_rollout: the rollout with the command folded in, or None: the command is void. Such a verb has a command
            of its own below ``modelcast rollout``.
    """

    help: str
    question: str
    example: str
    takes_version: bool = False
    takes_alias: bool = False
    takes_positions: bool = False
    takes_share: bool = False
    by_region: bool = False
    serves: bool = False
    news: News = News.NEVER
    change_region: Callable[[RegionView, Order], RegionView] | None = None
    change_log: "Callable[[ModelLog, Order], ModelLog] | None" = None
    change_rollout: rollouts.Change | None = None

    @property
    def stands_alone(self) -> bool:
        """Whether the command line has a command of its own for it, and ``Commander.command`` does not take it."""
        return self.takes_positions or self.change_rollout is not None


def _activate(view: RegionView, order: Order) -> RegionView:
    return view.activated(order.version, order.generation)


def _pin(view: RegionView, order: Order) -> RegionView:
    return replace(view, pinned_version=order.version, pin_generation=order.generation)


def _unpin(view: RegionView, order: Order) -> RegionView:
    return replace(view, pinned_version=None, pin_generation=order.generation)


def _pause(view: RegionView, order: Order) -> RegionView:
    return replace(view, paused=True, paused_version=order.aspired, pause_generation=order.generation)


def _resume(view: RegionView, order: Order) -> RegionView:
    return replace(view, paused=False, paused_version=None, pause_generation=order.generation)


def _reload(view: RegionView, order: Order) -> RegionView:
    return replace(view, reload_generation=order.generation)


def _look_again(view: RegionView, order: Order) -> RegionView:
    """The view as it is: the region only has to look at the log again."""
    return view


def _quarantine(log: "ModelLog", order: Order) -> "ModelLog":
    return replace(log, quarantined={**log.quarantined, order.version: order.generation})


def _release(log: "ModelLog", order: Order) -> "ModelLog":
    rest = {version: since for version, since in log.quarantined.items() if version != order.version}
    return replace(log, quarantined=rest, released={**log.released, order.version: order.generation})


def _alias(log: "ModelLog", order: Order) -> "ModelLog":
    return replace(log, aliases={**log.aliases, order.alias: order.version})


def _accept(log: "ModelLog", order: Order) -> "ModelLog":
    """Pods may have a table of the log that was given up: the next one of the rollout is above it."""
    rollout = replace(log.rollout, generation=order.generation) if log.rollout is not None else None
    return replace(
        log, rollout=rollout, replaced={**log.replaced, **{p.digest: order.generation for p in order.replaces}}
    )


RULES: Mapping[CommandKind, Rule] = MappingProxyType(
    {
        CommandKind.ACTIVATE: Rule(
            help="Serve a version (a staged one, say), until the next publication or command.",
            question="Serve {model}/{version} {where}?",
            example="modelcast activate fraud/7 --region eu --wait",
            takes_version=True,
            by_region=True,
            serves=True,
            news=News.WITH_A_REASON,
            change_region=_activate,
        ),
        CommandKind.ROLLBACK: Rule(
            help="Serve an older version again. It does not hold back the next publication; a pin does.",
            question="Roll {model} back to {goal} {where}?",
            example="modelcast rollback fraud --to 6 --reason 'false alarms' --wait",
            takes_version=True,
            by_region=True,
            serves=True,
            news=News.WITH_A_REASON,
            change_region=_activate,
        ),
        CommandKind.PIN: Rule(
            help="Serve a version whatever is published or activated, until `unpin`.",
            question="Pin {model} to version {version} {where}?",
            example="modelcast pin fraud/7 --region eu --reason 'audit until Friday'",
            takes_version=True,
            by_region=True,
            serves=True,
            news=News.WITH_A_REASON,
            change_region=_pin,
        ),
        CommandKind.UNPIN: Rule(
            help="Follow the log again.",
            question="Unpin {model} {where}?",
            example="modelcast unpin fraud --region eu",
            by_region=True,
            change_region=_unpin,
        ),
        CommandKind.PAUSE: Rule(
            help="Stay at what is aspired now, whatever is published.",
            question="Pause {model} {where}?",
            example="modelcast pause fraud --reason 'change freeze'",
            by_region=True,
            news=News.WITH_A_REASON,
            change_region=_pause,
        ),
        CommandKind.RESUME: Rule(
            help="End a pause.",
            question="Resume {model} {where}?",
            example="modelcast resume fraud",
            by_region=True,
            change_region=_resume,
        ),
        CommandKind.RELOAD: Rule(
            help="Have every pod load again what it serves.",
            question="Reload {model} {where}?",
            example="modelcast reload fraud --region eu",
            by_region=True,
            news=News.ALWAYS,
            change_region=_reload,
        ),
        CommandKind.QUARANTINE: Rule(
            help="Have no pod load a version until it is released; regions go back to what they served before it.",
            question="Quarantine {model}/{version} everywhere?",
            example="modelcast quarantine fraud/7 --reason 'trained on wrong labels'",
            takes_version=True,
            news=News.WITH_A_REASON,
            change_region=_look_again,
            change_log=_quarantine,
        ),
        CommandKind.RELEASE: Rule(
            help="End a quarantine: a person's, or one that a region found by itself.",
            question="Release {model}/{version}?",
            example="modelcast release fraud/7 --reason 'labels were right'",
            takes_version=True,
            news=News.ALWAYS,  # a region may refuse of its own accord what a release frees
            change_region=_look_again,
            change_log=_release,
        ),
        CommandKind.ALIAS: Rule(
            help="Let MODEL@ALIAS mean a version.",
            question="Let {model}@{alias} mean version {version}?",
            example="modelcast alias fraud/7 champion",
            takes_version=True,
            takes_alias=True,
            change_log=_alias,
        ),
        CommandKind.ACCEPT: Rule(
            help="Have regions obey the log as it is, although they had accepted another one.",
            question="Have every region obey the log of {model} as it is, although it was rewritten?",
            example="modelcast registry accept fraud --reason 'restored from the backup of Monday'",
            takes_positions=True,
            news=News.ALWAYS,
            # A version's number may mean other bytes now, and a server of another make knows no more than the number.
            change_region=_reload,
            change_log=_accept,
        ),
        CommandKind.ROLLOUT_START: Rule(
            help="Let a version earn its traffic bit by bit; it leaves by itself when it harms.",
            question="Start a rollout of {model}/{version}?",
            example="modelcast rollout start fraud/8 --strategy canary --key header:x-user",
            takes_version=True,
            news=News.ALWAYS,
            change_rollout=rollouts.start_of,
        ),
        CommandKind.ROLLOUT_STEP: Rule(
            help="Let the candidate of a rollout have other shares of the requests.",
            question="Go on with the rollout of {model} at once?",
            example="modelcast rollout skip fraud --reason 'the night is quiet'",
            takes_share=True,
            by_region=True,
            news=News.ALWAYS,
            change_rollout=rollouts.step_of,
        ),
        CommandKind.ROLLOUT_HOLD: Rule(
            help="Leave a rollout at its shares until it is resumed.",
            question="Hold the rollout of {model}?",
            example="modelcast rollout hold fraud --reason 'payday'",
            news=News.ALWAYS,
            change_rollout=rollouts.hold_of,
        ),
        CommandKind.ROLLOUT_RESUME: Rule(
            help="Let a rollout that is held go on.",
            question="Resume the rollout of {model}?",
            example="modelcast rollout resume fraud --reason 'payday is over'",
            news=News.ALWAYS,
            change_rollout=rollouts.resume_of,
        ),
        CommandKind.ROLLOUT_PROMOTE: Rule(
            help="Serve the candidate of a rollout everywhere; the old version stays loaded for a while.",
            question="Promote {model}/{version} everywhere?",
            example="modelcast rollout promote fraud --reason 'seen enough'",
            takes_version=True,
            serves=True,
            news=News.ALWAYS,
            change_region=_activate,
            change_rollout=rollouts.promote_of,
        ),
        CommandKind.ROLLOUT_ABORT: Rule(
            help="End a rollout: the version before answers every request again.",
            question="Abort the rollout of {model}?",
            example="modelcast rollout abort fraud --reason 'wrong model'",
            news=News.ALWAYS,
            change_rollout=rollouts.abort_of,
        ),
    }
)
