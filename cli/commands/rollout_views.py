"""``modelcast rollout get | explain | replay``: how a rollout stands, why, and its verdicts computed again."""

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from modelcast.cli.configured import load, origin_registry
from modelcast.cli.console import Format, TextTable, emit, out
from modelcast.cli.options import Output, Watch
from modelcast.cli.views.registry import read_log
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of, short
from modelcast.schemas.errors import NotFound, VerificationFailed
from modelcast.schemas.names import check_model
from modelcast.schemas.quantities import MISSING, duration, number
from modelcast.schemas.records import ModelCommand

if TYPE_CHECKING:
    from modelcast.infra.registry.reader import RegistryReader, TimedEntry
    from modelcast.infra.settings import Settings
    from modelcast.schemas.log.fold import ModelLog
    from modelcast.schemas.log.rollouts import LoggedRollout
    from modelcast.schemas.traffic.reports import RolloutOutcome, RolloutState

WATCH_SECONDS = 1.0
VERDICT_SIZE_MAX = 64 * 1024
Model = Annotated[str, typer.Argument(help="The model, as in fraud.")]


def register(group: typer.Typer) -> None:
    """Add these commands to ``rollout``."""
    group.command()(get)
    group.command("explain")(explain_rollout)
    group.command()(replay)


def get(model: Model, watch: Watch = False, output: Output = Format.table) -> None:
    """How a model's newest rollout stands: shares wished and read back, evidence, what comes next."""
    name, settings = check_model(model), load()
    if not watch:
        emit(*_in_format(settings, name, output))
        return
    from rich.live import Live

    try:
        if output is not Format.table or not out.is_terminal:
            while True:
                emit(*_in_format(settings, name, output))
                time.sleep(WATCH_SECONDS)
        with Live(console=out, auto_refresh=False, screen=False) as live:
            while True:
                live.update(_in_format(settings, name, output)[2], refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return


def explain_rollout(model: Model, output: Output = Format.table) -> None:
    """Every entry about a model's newest rollout: when, who, what, and on what evidence."""
    name = check_model(model)
    reader = origin_registry(load())
    rollout, entries = _newest(*read_log(reader, name))
    now = time.time()
    table = TextTable("GENERATION", "AGE", "WHAT", "WHO", "EVIDENCE", "WHY", box=None)
    rows: list[dict[str, Any]] = []
    for timed in entries:
        entry = timed.entry
        assert isinstance(entry, ModelCommand)
        shares = ", ".join(
            f"{target.region or 'everywhere'} {(target.share or 0) / 100:g} %" for target in entry.targets
        )
        what = entry.kind.lower().replace("_", " ") + (f" {shares}" if entry.targets[0].share is not None else "")
        evidence = short(entry.evidence) if entry.evidence else MISSING
        age = duration(now - timed.last_modified_us / 1e6)
        table.add_row(str(entry.generation), age, what, entry.requested_by, evidence, entry.reason)
        rows.append({"received_at_us": timed.last_modified_us, "entry": entry})
    head = f"{name}/{rollout.candidate}: {rollout.plan.strategy} rollout {rollout.id} is {rollout.phase.lower()}"
    emit({"rollout": rollout.id, "phase": rollout.phase, "entries": rows}, output, Group(Text(head), table))


def replay(model: Model, output: Output = Format.table) -> None:
    """Compute every verdict of a model's newest rollout again from its counts. Exit code 4: one differs."""
    from modelcast.schemas.evidence.replay import SIZE_MAX_BYTES, decode_evidence, encode_verdict, replayed

    name = check_model(model)
    reader = origin_registry(load())
    rollout, entries = _newest(*read_log(reader, name))
    table = TextTable("GENERATION", "WHAT", "REQUESTS", "SECONDS", "VERDICT", "THE SAME", box=None)
    rows, differing = [], []
    for entry in (timed.entry for timed in entries):
        assert isinstance(entry, ModelCommand)
        if not entry.evidence:
            continue
        body = _object(reader, keys.rollout_evidence(name, rollout.id, entry.evidence), SIZE_MAX_BYTES)
        kept = _object(reader, keys.rollout_verdict(name, rollout.id, entry.evidence), VERDICT_SIZE_MAX)
        evidence = decode_evidence(body)
        found = replayed(evidence)
        same = encode_verdict(found) == kept and sha256_of(body) == entry.evidence
        if not same:
            differing.append(entry.generation)
        what, requests = entry.kind.lower().replace("_", " "), number(found.candidate.requests)
        table.add_row(
            str(entry.generation), what, requests, str(len(evidence.counts)), found.kind, "yes" if same else "NO"
        )
        rows.append({"generation": entry.generation, "verdict": found, "same": same})
    emit(rows, output, table)
    if differing:
        raise VerificationFailed(
            f"the verdicts of generations {', '.join(map(str, differing))} are not what their evidence gives",
            subject=f"{name} rollout {rollout.id}",
            hint="the evidence in the store was changed, or another release computed them",
        )


def _newest(log: "ModelLog", timed: Any) -> "tuple[LoggedRollout, list[TimedEntry]]":
    rollout = log.rollout
    if rollout is None:
        raise NotFound("no rollout was ever started", subject=log.model, hint=f"modelcast rollout start {log.model}/N")
    entries = [
        each
        for _, each in sorted(timed.items())
        if isinstance(each.entry, ModelCommand) and each.entry.rollout == rollout.id
    ]
    return rollout, entries


def _object(reader: "RegistryReader", key: str, size_max: int) -> bytes:
    found = reader.store.get(key, size_max=size_max)
    if found is None:
        raise NotFound("the evidence is gone", subject=key, hint="it is kept as long as the store keeps it")
    return found.body


def _in_format(settings: "Settings", model: str, output: Format) -> tuple[Any, Format, RenderableType]:
    log, timed = read_log(origin_registry(settings), model)
    rollout, _ = _newest(log, timed)
    from modelcast.producers.rollouts import reported_rollout

    state, age_seconds = reported_rollout(settings, model, log.registry_id)
    fresh = state if state is not None and state.rollout == rollout.id else None
    data = {
        "rollout": rollout.id,
        "phase": rollout.phase,
        "candidate": rollout.candidate,
        "ceilings": rollout.ceilings,
        "reason": rollout.reason,
        "state": fresh,
        "reported_seconds_ago": age_seconds if fresh is not None else None,
    }
    head = Text(
        f"{model}/{rollout.candidate}: {rollout.plan.strategy} rollout {rollout.id} is {rollout.phase.lower()}"
        + (f" ({rollout.reason})" if rollout.reason else "")
    )
    if fresh is None:
        note = Text("no controller has reported on it: is `modelcast run rollouts` running?", style="yellow")
        return data, output, Group(head, note) if rollout.active else head
    return data, output, Group(head, *_lines(fresh, age_seconds), _regions(fresh))


def _lines(state: "RolloutState", age_seconds: float) -> list[RenderableType]:
    step = f"wave {state.wave + 1} of {state.waves}, step {state.step + 1} of {state.steps}" if state.waves else ""
    lines = [f"{step}; as of {duration(age_seconds)} ago" if step else f"as of {duration(age_seconds)} ago"]
    if state.why:
        lines.append(f"now: {state.why}")
    if state.next:
        lines.append(f"then: {state.next}")
    if state.verdict:
        answered = f"{number(state.candidate_requests)} requests against {number(state.control_requests)}"
        lines.append(f"evidence: {state.verdict} after {answered}")
    lines += [
        f"  {gate.measure}: {gate.kind}; {gate.candidate_events} against {gate.control_events}; "
        f"harm {_bar(gate.log_e_harmful, gate.needed_harmful)}, "
        f"harmless {_bar(gate.log_e_harmless, gate.needed_harmless)}"
        for gate in state.gates
    ]
    lines += [_outcome_line(each) for each in state.outcomes]
    if state.outcomes_left_out:
        lines.append(f"  outcomes left out: {state.outcomes_left_out}")
    if state.if_stopped:
        lines.append(f"if the controller stopped now: {state.if_stopped}")
    return [Text("\n".join(lines))]


def _outcome_line(each: "RolloutOutcome") -> str:
    candidate = f"{each.candidate_mean:.4g} of {number(each.candidate_count)}"
    means = f"{candidate} against {each.control_mean:.4g} of {number(each.control_count)}"
    between = (
        "too few yet" if each.low is None or each.high is None else f"{each.low:+.4g} to {each.high:+.4g} at any time"
    )
    return f"  outcome:{each.name}: {each.kind or 'no gate'}; {means}; difference {between}"


def _bar(reached: float, needed: float) -> str:
    filled = round(10 * max(0.0, min(1.0, reached / needed))) if needed > 0 else 0
    return f"[{'#' * filled}{'.' * (10 - filled)}]"


def _regions(state: "RolloutState") -> TextTable:
    table = TextTable("REGION", "WAVE", "GRANTED", "READ BACK", "ANSWERED", "PODS READY", "", box=None)
    for each in state.regions:
        total = each.control_requests + each.candidate_requests
        observed = f"{100 * each.candidate_requests / total:.2f} %" if total else MISSING
        table.add_row(
            each.region,
            "standby" if each.wave < 0 else str(each.wave + 1),
            f"{each.ceiling / 100:g} %",
            f"{each.share / 100:g} %" + ("" if each.read_back else " (not all)"),
            observed,
            f"{each.candidate_ready}/{each.pods_expected}",
            f"cut off: {each.cut}" if each.cut else "",
        )
    return table
