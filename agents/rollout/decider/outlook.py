"""What comes next in a rollout, and why not now: one look at everything that is known."""

from collections.abc import Mapping
from dataclasses import dataclass

from modelcast.agents.rollout.decider.batches import batch_text, evidence_of
from modelcast.agents.rollout.decider.clocks import APART_US_MAX, apart_text, apart_us
from modelcast.agents.rollout.decider.facts import ClaimEntry, ControllerState, HeardReading, Moment
from modelcast.agents.rollout.decider.gathering import outcomes_of
from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.kinds import Kind
from modelcast.schemas.evidence.replay import encode_evidence, encode_verdict, with_shares
from modelcast.schemas.evidence.verdict import Verdict, verdict
from modelcast.schemas.log.rollout_position import PROMOTING, Position, position_of
from modelcast.schemas.log.rollouts import LoggedRollout
from modelcast.schemas.quantities import duration, number, utc_text
from modelcast.schemas.records import ALL_REGIONS, CommandKind, CommandTarget
from modelcast.schemas.traffic.grant import RolloutPhase, TrafficGrant
from modelcast.schemas.traffic.steps_and_gates import Blind, OnHarm, Strategy

BLIND_SECONDS = 5.0
"""Evidence that is older is none: a region that is not heard of does not look like one without errors."""
REQUESTS_MIN = 50
"""That the candidate must have answered in a step before the next one: no traffic is no proof of health."""
SWITCH_LEAD_US = 3_000_000
"""From the entry to the instant of a switch of all regions."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What is to be done now.

    Attributes:
        verdict: what the evidence allows to say.
        position: where in the plan it is; None: no region takes part.
        blind: what is not known, for people; "": nothing.
        entry: to be written now; None: nothing is.
        stops: the candidate gets nothing from now on, whatever the log still grants.
        why: it stands where it does.
        next: what comes then.
    """

    verdict: Verdict
    position: Position | None
    blind: str
    entry: ClaimEntry | None
    stops: bool
    why: str
    next: str


def look_ahead(
    state: ControllerState, rollout: LoggedRollout, grants: Mapping[str, TrafficGrant], now: Moment
) -> Outlook:
    """What is to be done about an active rollout whose evidence is gathered."""
    assert state.gathered is not None
    outcomes = outcomes_of(state.gathered)
    predictions = state.gathered.predictions
    found = verdict(state.gathered.evidence, rollout.plan.gates, outcomes, predictions)
    position = position_of(rollout, grants)
    blind, blind_seconds = _blind(state, grants, now)

    def entry(
        kind: CommandKind, reason: str, targets: tuple[CommandTarget, ...] = (CommandTarget(),), not_before_us: int = 0
    ) -> ClaimEntry:
        assert state.gathered is not None
        evidence = evidence_of(state.gathered, rollout.plan)
        body, said = encode_evidence(evidence), encode_verdict(with_shares(found, evidence))
        return ClaimEntry(kind, rollout.id, rollout.generation, targets, reason, body, said, not_before_us)

    def outlook(why: str, then: str, do: ClaimEntry | None = None, *, stops: bool = False) -> Outlook:
        if rollout.plan.strategy is Strategy.SHADOW:
            why = f"{why}; {_copies_text(state)}"
        return Outlook(found, position, blind, do, stops, why, then)

    ends = _ending(state, rollout, found, now)
    if ends is not None:
        kind, reason = ends
        abort = kind is CommandKind.ROLLOUT_ABORT
        if abort or rollout.phase is RolloutPhase.RUNNING:
            return outlook(reason, "aborts it" if abort else "holds it", entry(kind, reason), stops=abort)
    if position is None:
        return outlook("no region takes part: all are pinned, paused or serve it already", "waits for one")
    if blind:
        given = any(grant.ceiling for grant in grants.values())
        if rollout.plan.blind is Blind.ZERO and given and blind_seconds >= rollout.plan.silence_seconds:
            nothing = (CommandTarget(ALL_REGIONS, None, 0),)
            return outlook(blind, "takes all shares back", entry(CommandKind.ROLLOUT_STEP, blind, nothing))
        return outlook(blind, "stays where it is until every region is heard of")
    if rollout.phase is RolloutPhase.HELD:
        return outlook(f"held: {rollout.reason or 'by a person'}", "goes on with `modelcast rollout resume`")
    waiting = _not_servable(state, grants)
    if waiting:
        return outlook(waiting, "goes on once every pod has both versions loaded")
    if rollout.not_before_us > now.wall_us:
        left = duration((rollout.not_before_us - now.wall_us) / 1e6)
        apart = apart_text(state, position.met)
        return outlook(f"all regions switch at {utc_text(rollout.not_before_us)}; {apart}", f"switches in {left}")
    then = _next_text(position)
    if rollout.plan.strategy is Strategy.BANDIT and position.at_the_end:
        return outlook(batch_text(state, rollout.plan), "weighs again after this batch; promote or abort it")
    if position.current is not None and position.current.share:
        waiting, left = _unfinished(state, position, found, now)
        if waiting:
            return outlook(waiting, f"{then} {left}".strip())
    elif position.current is not None and (waiting := _too_early(state, position, now)):
        return outlook(waiting, then)
    if position.at_the_end:
        if rollout.plan.strategy not in PROMOTING:
            return outlook(f"its steps are over; {found.kind}", "promote or abort it")
        promote = (CommandTarget(ALL_REGIONS, rollout.candidate),)
        return outlook("its steps are over", "promotes it",
                       entry(CommandKind.ROLLOUT_PROMOTE, _reason(found, "all steps taken"), promote))  # fmt: skip
    regions, following = position.next_shares()
    lower = [region for region in regions if grants[region].ceiling < following.share]
    targets = tuple(CommandTarget(region, None, following.share) for region in lower)
    if rollout.plan.strategy is not Strategy.BLUE_GREEN or following.share != SHARES:
        return outlook("the step is over", then, entry(CommandKind.ROLLOUT_STEP, _reason(found, then), targets))
    apart = apart_text(state, regions)
    if apart_us(state, regions) > APART_US_MAX:
        return outlook(f"no instant is the same everywhere: {apart}", f"{then} once they agree")
    at_us = max(rollout.plan.switch_at_us, now.wall_us + SWITCH_LEAD_US)
    then = f"{then} at {utc_text(at_us)}"
    ready = entry(CommandKind.ROLLOUT_STEP, _reason(found, f"{then}; {apart}"), targets, at_us)
    return outlook(f"every pod is ready; {apart}", then, ready)


def _ending(
    state: ControllerState, rollout: LoggedRollout, found: Verdict, now: Moment
) -> tuple[CommandKind, str] | None:
    """Why it ends, or is held, whatever else is so."""
    if found.kind is Kind.HARMFUL:
        return CommandKind.ROLLOUT_ABORT, _reason(found, f"{found.measure} of the candidate")
    cuts = {
        region: heard.reading.cut
        for region, heard in sorted(state.readings.items())
        if heard.reading.cut and heard.reading.cut_rollout == rollout.id
    }
    if cuts:
        kind = CommandKind.ROLLOUT_ABORT if rollout.plan.on_harm is OnHarm.ABORT else CommandKind.ROLLOUT_HOLD
        return kind, "; ".join(f"{region} cut it off: {why}" for region, why in cuts.items())[:500]
    age_seconds = (now.wall_us - rollout.started_at_us) / 1e6
    if age_seconds > rollout.plan.deadline_seconds:
        return CommandKind.ROLLOUT_ABORT, f"not promoted within {duration(rollout.plan.deadline_seconds)}"
    return None


def _blind(state: ControllerState, grants: Mapping[str, TrafficGrant], now: Moment) -> tuple[str, float]:
    ages = {
        region: now.seconds - heard.true_at if (heard := _heard(state, region)) else None for region in sorted(grants)
    }
    old = {region: age for region, age in ages.items() if age is None or age > BLIND_SECONDS}
    if not old:
        return "", 0.0
    text = ", ".join(f"{region} ({'never' if age is None else duration(age) + ' ago'})" for region, age in old.items())
    return f"blind: not heard of {text}"[:500], min((age or 0.0 for age in old.values()), default=0.0)


def _heard(state: ControllerState, region: str) -> HeardReading | None:
    """The region's newest reading about this rollout."""
    heard = state.readings.get(region)
    return heard if heard is not None and heard.reading.rollout == state.rollout else None


def _copies_text(state: ControllerState) -> str:
    """How many copies the candidate has answered as the control did, by what pods counted since they started."""
    digest = state.gathered.candidate_digest if state.gathered is not None else ""
    found = [v for pod in state.counts.values() for v in pod.versions if v.manifest_digest == digest]
    alike, otherwise = sum(v.shadow_agree for v in found), sum(v.shadow_differ for v in found)
    if not alike + otherwise:
        return "no copy was answered yet"
    part = 100 * otherwise / (alike + otherwise)
    return f"{part:.2g} % of {number(alike + otherwise)} copies were answered otherwise than by the control, or not"


def _not_servable(state: ControllerState, grants: Mapping[str, TrafficGrant]) -> str:
    """Where a pod lacks one of the versions; "": nowhere."""
    for region in sorted(grants):
        reading = state.readings[region].reading
        if not reading.control_is_servable:
            return f"{region}: {reading.control_ready} of {reading.pods_expected} pods could answer with the control"
        if not reading.candidate_is_servable:
            return f"{region}: {reading.candidate_ready} of {reading.pods_expected} pods have the candidate loaded"
    return ""


def in_force_everywhere(state: ControllerState, regions: tuple[str, ...]) -> bool:
    """Whether every pod of these regions was read back with the table in force."""
    if state.table is None:
        return False
    heard = [_heard(state, region) for region in regions]
    return all(each is not None and each.reading.all_in_force(state.table.authority) for each in heard)


def candidate_requests(state: ControllerState) -> int:
    """How many requests the candidate answered, by the evidence."""
    return state.gathered.evidence.candidate.requests if state.gathered else 0


def _too_early(state: ControllerState, position: Position, now: Moment) -> str:
    step = position.current
    if step is None or not step.seconds:
        return ""
    if not state.step_in_force:
        return "waits until every pod is read back"
    left = step.seconds - (now.seconds - state.in_force_since)
    return f"{duration(left)} of the step are left" if left > 0 else ""


def _unfinished(state: ControllerState, position: Position, found: Verdict, now: Moment) -> tuple[str, str]:
    """What the step under way still waits for, and how long at least; ("", ""): nothing."""
    step = position.current
    assert step is not None
    if not in_force_everywhere(state, position.met) or not state.step_in_force:
        return f"waits until every pod is read back with {step.share / 100:g} %", ""
    left = step.seconds - (now.seconds - state.in_force_since)
    if left > 0:
        return f"{step.share / 100:g} % for {duration(step.seconds)}: {found.kind} so far", f"in {duration(left)}"
    met = candidate_requests(state) - state.met_before
    if met < REQUESTS_MIN:
        return f"waits for traffic: the candidate answered {number(met)} of {REQUESTS_MIN} requests in this step", ""
    if step.proof and found.kind is not Kind.HARMLESS:
        weakest = found.measure or "the share of the requests"
        return f"undecided: {weakest} is not proved harmless yet", "then"
    return "", ""


def _next_text(position: Position) -> str:
    if position.at_the_end:
        return "promotes it everywhere"
    regions, following = position.next_shares()
    return f"{following.share / 100:g} % in {', '.join(regions)}"


def _reason(found: Verdict, what: str) -> str:
    """The verdict in a line, as it stands in the log."""
    gates = "; ".join(
        f"{gate.measure} {gate.kind} ({gate.candidate_events} against {gate.control_events}, "
        f"log e {gate.log_e_harmful:.2f} of {gate.needed_harmful:.2f} for harm, "
        f"{gate.log_e_harmless:.2f} of {gate.needed_harmless:.2f} against it)"
        for gate in found.gates
    )
    outcomes = "".join(
        f"; outcome:{each.name} {each.kind} (mean {each.candidate_mean:.6g} of {each.candidate_count} against "
        f"{each.control_mean:.6g} of {each.control_count})"
        for each in found.outcomes
    )
    return f"{what}: {found.kind} after {found.candidate.requests} requests; {gates}{outcomes}"[:1000]
