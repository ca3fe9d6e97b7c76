"""The registry log's fold: what every region should do, from the ordered entries 1, 2, 3 ….

``ModelLog.apply`` takes entries in log order; one met twice changes nothing, one met too early is refused with
``Gap`` (the reader fetches what lies between), and another event at a known generation is an alarm
(``ForeignRegistry``). The same entries therefore give the same value everywhere, whatever the network did.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

from modelcast.schemas.digests import short
from modelcast.schemas.errors import BrokenChain, ContentError, ForeignRegistry, NotFound, Refused
from modelcast.schemas.log.chain import StatedEntry, chain, origin_digest
from modelcast.schemas.log.growing import GrowingMapping, GrowingSequence
from modelcast.schemas.log.region_view import RegionView
from modelcast.schemas.log.rollouts import LoggedRollout, check_rollout, grant_of, superseded
from modelcast.schemas.log.verbs import RULES, Order, Rule
from modelcast.schemas.names import Reference
from modelcast.schemas.records import (
    ALL_REGIONS,
    Activation,
    CommandKind,
    CommandTarget,
    Entry,
    LogPosition,
    ModelCommand,
    ModelUpdate,
)
from modelcast.schemas.traffic.grant import RolloutPhase, TrafficGrant

_SUPERSEDED_FROM = frozenset({RolloutPhase.RUNNING, RolloutPhase.HELD, RolloutPhase.PROMOTED})


class Gap(ContentError):
    """An entry lies above the next generation: those between must be read first."""


@dataclass(frozen=True, slots=True)
class Aspiration:
    """What one region should serve of one model (``update`` is None: nothing yet), and fetch ahead (``staged``)."""

    model: str
    region: str
    generation: int
    update: ModelUpdate | None
    staged: ModelUpdate | None = None
    reload_generation: int = 0
    pinned: bool = False
    paused: bool = False
    released: Mapping[int, int] = field(default_factory=dict)  # version -> generation of its last RELEASE
    refused_version: int | None = None  # quarantined in the log; it would be aspired (or staged) otherwise
    quarantined: Mapping[int, int] = field(default_factory=dict)  # version -> generation, by the log

    @property
    def version(self) -> int | None:
        """The aspired version."""
        return self.update.version if self.update else None

    @property
    def manifest_digest(self) -> str:
        """The aspired manifest digest, or ""."""
        return self.update.artifact.manifest_digest if self.update else ""


@dataclass(frozen=True, slots=True)
class ModelLog:
    """The fold of one model's log up to ``head``."""

    model: str
    registry_id: str
    head: int = 0
    event_ids: Sequence[str] = field(default_factory=GrowingSequence)  # event_ids[g - 1] is the event at generation g
    generations: Mapping[str, int] = field(default_factory=GrowingMapping)  # by event id
    updates: Mapping[int, ModelUpdate] = field(default_factory=GrowingMapping)  # by version
    views: Mapping[str, RegionView] = field(default_factory=lambda: {ALL_REGIONS: RegionView()})
    quarantined: Mapping[int, int] = field(default_factory=dict)  # version -> generation
    released: Mapping[int, int] = field(default_factory=dict)
    aliases: Mapping[str, int] = field(default_factory=dict)
    # digests[g - 1] is the running digest up to generation g; shorter than ``head`` only in a preview (``apply``).
    digests: Sequence[str] = field(default_factory=GrowingSequence)
    replaced: Mapping[str, int] = field(default_factory=dict)  # digest -> generation of the ACCEPT that gave it up
    rollout: LoggedRollout | None = None  # the newest one, also once it is over

    # --- reading ------------------------------------------------------------------------------------------

    @property
    def latest_version(self) -> int | None:
        """The highest version published."""
        return max(self.updates, default=None)

    @property
    def next_version(self) -> int:
        """The version that a publication without ``--version`` takes."""
        return (self.latest_version or 0) + 1

    @property
    def regions_named(self) -> frozenset[str]:
        """Regions that some entry spoke of by name."""
        return frozenset(self.views) - {ALL_REGIONS}

    def view(self, region: str) -> RegionView:
        """What the log says of ``region``; one never named is as all others."""
        return self.views.get(region) or self.views[ALL_REGIONS]

    def aspired_version(self, region: str) -> int | None:
        """Pin before pause before the newest activation; never a quarantined version while another is left."""
        return next((v for v in self._wished(self.view(region)) if v not in self.quarantined), None)

    def _wished(self, view: RegionView) -> Iterator[int]:
        """What the region should serve, were nothing quarantined; then what instead of that, and so on."""
        if view.pinned_version is not None:
            yield view.pinned_version
        if view.paused and view.paused_version is not None:
            yield view.paused_version
        yield from (v for g, v in reversed(view.activations) if not (view.paused and g > view.pause_generation))

    def _refused_version(self, view: RegionView) -> int | None:
        """The newest version that the region would serve or stage, were it not quarantined."""
        refused = set(takewhile(lambda v: v in self.quarantined, self._wished(view)))
        if view.staged_version is not None and view.staged_version in self.quarantined:
            refused.add(view.staged_version)
        return max(refused, default=None)

    def aspiration(self, region: str) -> Aspiration:
        """Everything that a region needs to know of this model."""
        view, version = self.view(region), self.aspired_version(region)
        staged = view.staged_version if view.staged_version not in self.quarantined else None
        return Aspiration(
            model=self.model,
            region=region,
            generation=view.generation,
            update=self.updates[version] if version is not None else None,
            staged=self.updates[staged] if staged is not None else None,
            reload_generation=view.reload_generation,
            pinned=view.pinned_version is not None,
            paused=view.paused,
            released=self.released,
            refused_version=self._refused_version(view),
            quarantined=self.quarantined,
        )

    def grant(self, region: str) -> TrafficGrant | None:
        """What the newest rollout allows in ``region``; None: the region takes no part in one."""
        return grant_of(self, region)

    def allowed(self, version: int, region: str) -> bool:
        """Whether the version's placement lets ``region`` (``ALL_REGIONS``: one never named) have it."""
        placement = self.updates[version].placement
        return not placement or region in placement

    def resolve(self, reference: Reference, region: str = ALL_REGIONS) -> ModelUpdate:
        """The publication that a reference means.

        Raises:
            NotFound: no such version, alias, or nothing aspired yet.
        """
        if reference.version is not None:
            version: int | None = reference.version
        elif reference.alias is not None:
            version = self.aliases.get(reference.alias)
        else:
            version = self.aspired_version(region)
        if version is None and reference.alias is not None:
            known = ", ".join(sorted(self.aliases)) or "none"
            hint = f"known: {known}; `modelcast alias {self.model}/NUMBER {reference.alias}` makes it"
            raise NotFound("no such alias", subject=str(reference), hint=hint)
        if version is None:
            hint = f"name a version, as in {self.model}/1; see `modelcast history {self.model}`"
            raise NotFound("no version is in force", subject=str(reference), hint=hint)
        if version not in self.updates:
            raise NotFound("no such version", subject=str(reference), hint=f"modelcast history {self.model}")
        return self.updates[version]

    # --- the chain ----------------------------------------------------------------------------------------

    def digest_at(self, generation: int) -> str:
        """The running digest up to ``generation``, which is folded; of 0: the log's origin."""
        return self.digests[generation - 1] if generation else origin_digest(self.registry_id, self.model)

    def holds(self, position: LogPosition) -> bool:
        """Whether just this history, up to the position, is part of the log. Generation 0 is part of each."""
        generation = position.generation
        return not generation or (generation <= self.head and self.digests[generation - 1] == position.digest)

    def answers(self, position: LogPosition) -> bool:
        """Whether who accepted ``position`` may obey this log: it holds it, or gave it up further above."""
        return self.holds(position) or self.replaced.get(position.digest, 0) > position.generation

    def stands(self, stated: StatedEntry) -> bool:
        """Whether just this entry, in these bytes, is part of the log."""
        generation = stated.entry.generation
        if not 1 <= generation <= self.head or stated.log_digest != self.digest_at(generation - 1):
            return False
        return chain(stated.log_digest, stated.body) == self.digests[generation - 1]

    def extend(self, stated: StatedEntry) -> "ModelLog":
        """The log with an entry folded in that was read, once it is proved to follow what was folded before.

        Raises:
            ForeignRegistry: another registry's entry, or another one at a generation that is already folded.
            Gap: generations below the entry's are missing.
            BrokenChain: its writer had read another log than this one, or its event id stands below it.
        """
        log, generation = self.apply(stated.entry), stated.entry.generation
        if log is self:  # it was folded before
            if not self.stands(stated):
                raise ForeignRegistry(
                    f"another entry stands here than the one that was read before, up to which the log has the digest "
                    f"{short(self.digest_at(generation))}",
                    subject=f"{self.model} generation {generation}",
                    hint="the store was restored or rewritten; see `modelcast doctor --only logs`",
                )
            return self
        expected = self.digest_at(self.head)
        if stated.log_digest != expected:
            raise BrokenChain(
                f"it follows a log with the digest {short(stated.log_digest)}, but the log up to generation "
                f"{self.head} has {short(expected)}: one of the two was changed after it was written",
                reason="broken-chain",
                subject=f"{self.model} generation {generation}",
                hint="put it back from a copy of the store; see `modelcast doctor --only logs`",
            )
        event_id = stated.entry.event_id
        if (before := self.generations.get(event_id)) is not None:  # each claim looks for its own: replayed, or forged
            raise BrokenChain(
                f"its event id {event_id} stands at generation {before} already: nothing is written twice",
                reason="repeated-event",
                subject=f"{self.model} generation {generation}",
                hint="who wrote it did not use modelcast; see `modelcast doctor --only logs`",
            )
        return replace(log, digests=GrowingSequence.of(self.digests).plus(chain(expected, stated.body)))

    # --- folding ------------------------------------------------------------------------------------------

    def apply(self, entry: Entry) -> "ModelLog":
        """What the log would say with ``entry`` folded in, whether or not it was read: ``extend`` is for what was.

        Raises:
            ForeignRegistry: another registry's entry, or another event at a generation that is already folded.
            Gap: generations below the entry's are missing.
            ContentError: the entry cannot stand in this log (a claimant would have refused to write it).
        """
        if entry.registry_id != self.registry_id or entry.model != self.model:
            raise ForeignRegistry(
                f"entry of registry {entry.registry_id}, model {entry.model}; this log is {self.registry_id}",
                subject=f"{self.model} generation {entry.generation}",
                hint="the store was wiped, restored or swapped; see `modelcast doctor`",
            )
        if entry.generation <= self.head:
            if self.event_ids[entry.generation - 1] != entry.event_id:
                raise ForeignRegistry(
                    "another event stands at a known generation",
                    subject=f"{self.model} generation {entry.generation}",
                    hint="the store was restored or rewritten; see `modelcast doctor`",
                )
            return self
        if entry.generation > self.head + 1:
            raise Gap(f"have {self.head}, met {entry.generation}", subject=self.model)
        folded = self._publish(entry) if isinstance(entry, ModelUpdate) else self._command(entry)
        folded = self._superseding(folded, entry)
        event_ids = GrowingSequence.of(self.event_ids).plus(entry.event_id)
        generations = GrowingMapping.of(self.generations)  # ``extend`` refuses an event id that stands below
        if entry.event_id not in generations:
            generations = generations.plus(entry.event_id, entry.generation)
        return replace(folded, head=entry.generation, event_ids=event_ids, generations=generations)

    def check(self, entry: Entry) -> None:
        """Whether a claimant may write ``entry`` next; the fold itself is lenient, so that no log can stop a region.

        Raises:
            ContentError: the version is taken, or a command names no target.
            NotFound: a command names a version that does not exist, or lacks one that it needs.
            Refused: the version's placement leaves the target region out, or it does not fit the rollout.
        """
        if isinstance(entry, ModelUpdate):
            if entry.version in self.updates:
                raise ContentError("version exists", subject=f"{entry.model}/{entry.version}")
            return
        if not entry.targets:
            raise ContentError("command names no target", subject=entry.model)
        rule = RULES[entry.kind]
        if rule.change_rollout is not None:
            check_rollout(self, entry, rule.change_rollout)
        if not rule.takes_version:
            return
        for target in entry.targets:
            if target.version is None or target.version not in self.updates:
                raise NotFound(
                    "no such version",
                    subject=f"{entry.model}/{target.version}",
                    hint=f"modelcast history {entry.model}",
                )
            if rule.serves and target.region != ALL_REGIONS and not self.allowed(target.version, target.region):
                raise Refused(
                    f"its placement leaves out region {target.region!r}",
                    subject=f"{entry.model}/{target.version}",
                    hint="publish it again with that region, or leave the region out",
                )

    def _publish(self, update: ModelUpdate) -> "ModelLog":
        if update.version in self.updates:  # a version is bound for ever to its first digest
            return self
        staged = update.activation is Activation.STAGED
        changed: dict[str, RegionView] = {}
        for region in update.placement or (ALL_REGIONS,):
            for name in self._matching(region):
                change = self.view(name).staged if staged else self.view(name).activated
                changed[name] = change(update.version, update.generation)
        log = replace(self, updates=GrowingMapping.of(self.updates).plus(update.version, update))
        return log._with_views(changed, update.generation)

    def _command(self, command: ModelCommand) -> "ModelLog":
        log, rule = self, RULES[command.kind]
        if rule.change_rollout is not None:
            rollout = rule.change_rollout(self, command)
            if rollout is None:
                return self
            log = replace(log, rollout=rollout)
        for target in command.targets:
            if not rule.takes_version or target.version in self.updates:
                log = log._obey(rule, command, target)
        return log

    def _superseding(self, after: "ModelLog", entry: Entry) -> "ModelLog":
        """``after``, with the rollout ended if the entry decides what is served where the rollout takes part.

        An immediate publication, an activation, a rollback or a pin does, and a quarantine of the candidate. What only
        takes single regions out for a while does not: a pause, a quarantine of the control.
        Where it goes on, and regions that take part have another entry to obey, it is renumbered: pods refuse tables
        below the order that gave them their control.
        """
        rollout = after.rollout
        if rollout is None or rollout.phase not in _SUPERSEDED_FROM or rollout is not self.rollout:
            return after
        if isinstance(entry, ModelUpdate):
            ends, at_us, what = entry.activation is Activation.IMMEDIATE, entry.published_at_us, f"{entry.version}"
        else:
            ends, at_us, what = RULES[entry.kind].serves, entry.requested_at_us, entry.kind.lower()
            if entry.kind is CommandKind.QUARANTINE and rollout.candidate in after.quarantined:
                return replace(after, rollout=superseded(rollout, entry.generation, at_us, "quarantined"))
        touched = [name for name, view in after.views.items() if view.generation == entry.generation]
        if ends and any(self.grant(name) is not None for name in touched):
            return replace(after, rollout=superseded(rollout, entry.generation, at_us, f"superseded by {what}"))
        if rollout.active and any(after.grant(name) is not None for name in touched):
            return replace(after, rollout=replace(rollout, generation=entry.generation))
        return after

    def _obey(self, rule: Rule, command: ModelCommand, target: CommandTarget) -> "ModelLog":
        def order(aspired: int | None) -> Order:
            return Order(command.generation, target.version or 0, command.alias, aspired, command.replaces)

        log = rule.change_log(self, order(None)) if rule.change_log else self
        if rule.change_region is None:
            return log
        changed = {
            name: rule.change_region(self.view(name), order(self.aspired_version(name)))
            for name in self._matching(target.region if rule.by_region else ALL_REGIONS)
            if not rule.serves or self.allowed(target.version or 0, name)
        }
        return log._with_views(changed, command.generation)

    def _matching(self, region: str) -> tuple[str, ...]:
        return tuple(self.views) if region == ALL_REGIONS else (region,)

    def _with_views(self, changed: Mapping[str, RegionView], generation: int) -> "ModelLog":
        stamped = {name: replace(view, generation=generation) for name, view in changed.items()}
        return replace(self, views={**self.views, **stamped})
