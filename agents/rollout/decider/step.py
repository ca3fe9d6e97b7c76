"""``advance(state, event, now)``: the state of one model's controller after an event, and what is to be done.

No I/O, no clock: the same events give the same effects. Effects are carried out in their order; until one is answered,
none of its kind is asked for again.
"""

from collections.abc import Mapping
from dataclasses import replace

from modelcast.agents.rollout.decider.batches import evidence_of, with_batch
from modelcast.agents.rollout.decider.clocks import with_clock
from modelcast.agents.rollout.decider.facts import (
    ClaimEnded,
    ControllerState,
    CountsHeard,
    Effect,
    Event,
    Failed,
    HeardReading,
    LogFolded,
    Moment,
    OutcomeHeard,
    PublishState,
    PutTable,
    ReadingHeard,
    SaveProgress,
    TablePut,
    TableRefused,
    TakeOver,
    TookOver,
)
from modelcast.agents.rollout.decider.gathering import (
    add_outcome,
    add_report,
    gathered_before,
    nothing_gathered,
)
from modelcast.agents.rollout.decider.outlook import (
    Outlook,
    candidate_requests,
    in_force_everywhere,
    look_ahead,
)
from modelcast.agents.rollout.decider.progress import RolloutProgress, encode_progress
from modelcast.agents.rollout.decider.state_of import state_of
from modelcast.agents.rollout.decider.tables import closing_table, is_wished, wished_table
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.log.rollout_position import grants_of, position_of
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.traffic.differences import is_newer
from modelcast.schemas.traffic.grant import TrafficGrant
from modelcast.schemas.traffic.outcomes import ObservedOutcome
from modelcast.schemas.traffic.reports import PodCounts
from modelcast.schemas.traffic.request_key import KeySource
from modelcast.schemas.traffic.steps_and_gates import Strategy

RETRY_SECONDS = 2.0
SAVE_SECONDS = 30.0
SAVE_ROWS_A_SECOND = 200
"""The longer the evidence, the rarer it is saved: 200 of its rows cost a second more."""
PUBLISH_SECONDS, REPEAT_SECONDS = 1.0, 10.0
STEADY_SECONDS = 3.0

Answer = tuple[ControllerState, list[Effect]]


def advance(state: ControllerState, event: Event, now: Moment) -> Answer:
    """What is known after an event, and what is to be done.

    Counts of single pods, thousands a second in large fleets, and outcomes are only taken in: a tick decides on them.
    """
    if isinstance(event, CountsHeard):
        return _counted(state, event.counts, now), []
    if isinstance(event, OutcomeHeard):
        return _observed(state, event.outcome), []
    return _decide(_absorb(state, event, now), now)


def _absorb(state: ControllerState, event: Event, now: Moment) -> ControllerState:
    match event:
        case TookOver(table, progress):
            epoch = (table.epoch if table is not None else 0) + 1
            return replace(state, asking=False, epoch=epoch, table=table, progress=progress)
        case LogFolded(log):
            return _folded(state, log)
        case ReadingHeard(reading, age_seconds, behind_us):
            state = with_clock(state, reading.region, behind_us)
            known = state.readings.get(reading.region)
            place = (reading.epoch, reading.sequence)
            if known is not None and place <= (known.reading.epoch, known.reading.sequence):
                return state
            heard = HeardReading(reading, now.seconds - max(0.0, age_seconds))
            return replace(state, readings={**state.readings, reading.region: heard})
        case TablePut(table):
            return replace(state, asking=False, table=table)
        case TableRefused():
            return replace(state, asking=False, claiming=False, epoch=0, retry_at=now.seconds + RETRY_SECONDS)
        case Failed():
            # Whether a table was put is not known: only the store can tell.
            return replace(state, asking=False, claiming=False, epoch=0, retry_at=now.seconds + RETRY_SECONDS)
        case ClaimEnded(log):
            later = _folded(state, log)
            wrote = later is not state
            return replace(later, claiming=False, retry_at=state.retry_at if wrote else now.seconds + RETRY_SECONDS)
        case _:
            return state


def _folded(state: ControllerState, log: ModelLog) -> ControllerState:
    known = state.log
    return state if known is not None and known.head >= log.head else replace(state, log=log)


def _counted(state: ControllerState, counts: PodCounts, now: Moment) -> ControllerState:
    key = (counts.region, counts.pod)
    before = state.counts.get(key)
    if not is_newer(counts, before):
        return state
    gathered = state.gathered
    if gathered is not None:
        gathered = add_report(gathered, before, counts, _steady_share(state, counts.region, now))
    return replace(state, counts={**state.counts, key: counts}, gathered=gathered)


def _observed(state: ControllerState, outcome: ObservedOutcome) -> ControllerState:
    rollout = state.log.rollout if state.log is not None else None
    if state.gathered is None or rollout is None or rollout.id != state.rollout or not rollout.active:
        return state
    cut_off = {region for region, each in state.readings.items() if each.reading.cut_rollout == rollout.id}
    return replace(state, gathered=add_outcome(state.gathered, rollout, outcome, frozenset(cut_off)))


def _steady_share(state: ControllerState, region: str, now: Moment) -> int | None:
    """The candidate's share in a region, where it has been the same for a while."""
    heard, table = state.readings.get(region), state.table
    if heard is None or table is None or not state.step_in_force or table.key.source is not KeySource.RANDOM:
        return None  # users are no requests: one who asks a thousand times is no proof that shares are wrong
    if state.log is None or state.log.rollout is None or state.log.rollout.plan.strategy is Strategy.BANDIT:
        return None  # its shares move: what comes late of the batch before would look like a wrong share
    steady = now.seconds - state.in_force_since > STEADY_SECONDS
    return heard.reading.share if steady and heard.reading.all_in_force(table.authority) else None


def _decide(state: ControllerState, now: Moment) -> Answer:
    log = state.log
    if log is None or log.rollout is None or now.seconds < state.retry_at:
        return state, []
    rollout = log.rollout
    if state.epoch == 0:
        return (state, []) if state.asking else (replace(state, asking=True), [TakeOver(rollout.id)])
    if state.table is not None and state.table.generation > rollout.generation:
        return state, []  # whoever made it had read more of the log
    if state.rollout != rollout.id:
        state = _begun(state, rollout, now)
    grants = grants_of(log, {*state.expected, *state.readings})
    if not rollout.active:
        return _after_the_end(state, rollout, grants, now)
    state = _reached(state, rollout, grants, now)
    outlook = look_ahead(state, rollout, grants, now)
    state = with_batch(state, rollout, outlook.verdict, now, blind=bool(outlook.blind))
    effects: list[Effect] = []
    if not state.asking and grants:
        wished = wished_table(state, rollout, grants, stops=outlook.stops, now_us=now.wall_us)
        if not is_wished(state.table, wished):
            state, effects = replace(state, asking=True), [PutTable(wished)]
    entry = outlook.entry
    if entry is not None and not state.claiming and (entry.lowers_only or not state.asking):
        state = replace(state, claiming=True)
        effects.append(entry)
    state, saved = _saved(state, rollout, now)
    state, published = _published(state, rollout, grants, outlook, now)
    return state, [*effects, *saved, *published]


def _begun(state: ControllerState, rollout: LoggedRollout, now: Moment) -> ControllerState:
    """The state with a rollout that it has not met before, or took over."""
    assert state.log is not None
    digest = state.log.updates[rollout.candidate].artifact.manifest_digest
    blank = nothing_gathered(rollout.plan.gates, digest)
    begun = replace(
        state,
        rollout=rollout.id,
        gathered=blank,
        in_force=0,
        met_before=0,
        progress=None,
        saved_at=now.seconds,
        batch_since=now.seconds,
    )
    progress = state.progress
    if progress is None or progress.rollout != rollout.id or progress.evidence.plan != rollout.plan.gates:
        return begun
    begun = replace(begun, gathered=gathered_before(blank, progress.evidence))
    if progress.generation != rollout.entry_generation:
        return begun
    since = now.seconds - progress.seconds_in_force
    return replace(begun, in_force=rollout.entry_generation, in_force_since=since, met_before=progress.met_before)


def _reached(
    state: ControllerState, rollout: LoggedRollout, grants: Mapping[str, TrafficGrant], now: Moment
) -> ControllerState:
    """The state once the shares of the newest entry are in force everywhere."""
    table = state.table
    ahead = rollout.not_before_us > now.wall_us  # until then the shares of before are in force
    if table is None or ahead or state.step_in_force or table.generation != rollout.generation:
        return state
    position = position_of(rollout, grants)
    if position is None or not in_force_everywhere(state, position.met):
        return state
    return replace(
        state,
        in_force=rollout.entry_generation,
        in_force_since=now.seconds,
        met_before=candidate_requests(state),
    )


def _after_the_end(
    state: ControllerState, rollout: LoggedRollout, grants: Mapping[str, TrafficGrant], now: Moment
) -> Answer:
    effects: list[Effect] = []
    if not state.asking and (closing := closing_table(state, rollout, grants)) is not None:
        state, effects = replace(state, asking=True), [PutTable(closing)]
    state, published = _published(state, rollout, grants, None, now)
    return state, [*effects, *published]


def _saved(state: ControllerState, rollout: LoggedRollout, now: Moment) -> Answer:
    gathered = state.gathered
    if gathered is None or not gathered.rows:
        return state, []
    every = SAVE_SECONDS + len(gathered.rows) / SAVE_ROWS_A_SECOND
    if now.seconds - state.saved_at < every:
        return state, []
    seconds = now.seconds - state.in_force_since if state.step_in_force else 0.0
    generation = rollout.entry_generation if state.step_in_force else 0
    progress = RolloutProgress(rollout.id, generation, seconds, state.met_before, evidence_of(gathered, rollout.plan))
    return replace(state, saved_at=now.seconds), [SaveProgress(rollout.id, encode_progress(progress))]


def _published(
    state: ControllerState,
    rollout: LoggedRollout,
    grants: Mapping[str, TrafficGrant],
    outlook: Outlook | None,
    now: Moment,
) -> Answer:
    """Say how it stands: when that has changed, at most once a second; and again from time to time."""
    since = now.seconds - state.published_at
    before = state.published
    news = before is None or (before.rollout, before.generation) != (rollout.id, rollout.generation)
    if not news and since < (PUBLISH_SECONDS if rollout.active else REPEAT_SECONDS * 30):
        return state, []
    shown = state_of(state, rollout, grants, outlook, now)
    if before is not None and replace(shown, updated_at_us=before.updated_at_us) == before and since < REPEAT_SECONDS:
        return state, []
    return replace(state, published=shown, published_at=now.seconds), [PublishState(shown)]
