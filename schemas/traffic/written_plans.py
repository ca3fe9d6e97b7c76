"""The parts of a plan as people write them: ``1@10m,50!,100``, ``errors=1.5x``, ``outcome:ctr>=-1%``."""

from dataclasses import replace

from modelcast.schemas.evidence.counts import SHARES
from modelcast.schemas.evidence.gates import AnalysisPlan, Gate, Measure, OutcomeGate, PredictionGate, PredictionMeasure
from modelcast.schemas.traffic.steps_and_gates import PlanStep, bad_plan


def plan_steps_of(text: str, *, seconds: float) -> tuple[PlanStep, ...]:
    """Steps as people write them: ``1,10,50,100`` (per cent), ``1@10m,10@1h,50!,100``.

    Args:
        text: shares; ``@`` gives a step's time, ``!`` asks for proof.
        seconds: of steps that give none.

    Raises:
        UsageError: it is none.
    """
    found = []
    for part in text.split(","):
        body, proof = part.strip().removesuffix("!"), part.strip().endswith("!")
        share, at, time = body.partition("@")
        try:
            tenths = float(share.removesuffix("%")) * SHARES / 100
            whole = round(tenths)
            if abs(tenths - whole) > 1e-6:
                raise ValueError(share)
            found.append(PlanStep(whole, _seconds(time) if at else seconds, proof))
        except (ValueError, OverflowError):
            raise bad_plan(f"step {part.strip()[:40]!r}", "write 1,10,50,100 or 1@10m,50@1h!,100") from None
    return tuple(found)


def gate_of(text: str) -> Gate:
    """A gate as people write it: ``errors=1.5x``, ``p99=1.2x``, ``errors=1.5x/2x`` (tolerated / to be excluded).

    Raises:
        UsageError: it is none.
    """
    name, _, limits = text.partition("=")
    measure = {"errors": Measure.ERRORS, "p99": Measure.LATENCY, "latency": Measure.LATENCY}.get(name.strip())
    ready = {gate.measure: gate for gate in AnalysisPlan().gates}
    if measure is None:
        known = ", ".join(PredictionMeasure)
        raise bad_plan(f"gate {text[:60]!r}", f"write errors=1.5x, p99=1.2x, or one of {known} as in scores<=10%")
    tolerated, _, excluded = limits.partition("/")
    try:
        harmful = float(tolerated.strip().removesuffix("x"))
        widest = ready[measure].harmless / ready[measure].harmful
        harmless = float(excluded.strip().removesuffix("x")) if excluded else harmful * widest
    except ValueError:
        raise bad_plan(f"gate {text[:60]!r}", "write errors=1.5x or p99=1.2x") from None
    return replace(ready[measure], harmful=harmful, harmless=harmless)


def outcome_gate_of(text: str) -> OutcomeGate:
    """A gate of an outcome as people write it: ``outcome:ctr>=-1%`` (higher is better), ``outcome:refunds<=+5%``.

    Raises:
        UsageError: it is none.
    """
    hint = "write outcome:ctr>=-1% (1 % fewer is tolerated) or outcome:refunds<=+5%"
    name, sign, limit = next((text.partition(s) for s in (">=", "<=") if s in text), (text, "", ""))
    higher = sign == ">="
    try:
        per_cent = float(limit.strip().removesuffix("%"))
    except ValueError:
        raise bad_plan(f"gate {text[:60]!r}", hint) from None
    wrong_way = per_cent > 0 if higher else per_cent < 0
    if wrong_way or not limit.strip().endswith("%"):
        raise bad_plan(f"gate {text[:60]!r}", hint)
    return OutcomeGate(name.strip().removeprefix("outcome:"), abs(per_cent) / 100, higher)


def prediction_gate_of(text: str, reference: tuple[int, ...] = ()) -> PredictionGate:
    """A gate on predictions as people write it: ``scores<=10%``, ``scores<=10%/20%`` (tolerated / to be excluded).

    Args:
        text: of the gate; what must be excluded is twice what is tolerated where it is not written.
        reference: of drift: how many scores fall into each bin.

    Raises:
        UsageError: it is none, or drift has no reference.
    """
    name, _, limits = text.partition("<=")
    hint = "write scores<=10% or scores<=10%/20%: by how many of a hundred answers the versions may differ"
    tolerated, _, excluded = limits.partition("/")
    try:
        measure = PredictionMeasure(name.strip())
        harmful = _part(tolerated)
        harmless = _part(excluded) if excluded else min(1.0, 2 * harmful)
    except ValueError:
        raise bad_plan(f"gate {text[:60]!r}", hint) from None
    return PredictionGate(measure, harmful, harmless, reference if measure is PredictionMeasure.DRIFT else ())


def is_prediction_gate(text: str) -> bool:
    """Whether a gate as people write it is about predictions."""
    return text.partition("<=")[0].strip() in set(PredictionMeasure)


def _part(text: str) -> float:
    """``10%`` as 0.1."""
    body = text.strip().removeprefix("+")
    if not body.endswith("%"):
        raise ValueError(text)
    return float(body.removesuffix("%")) / 100


def _seconds(text: str) -> float:
    units = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
    return float(text[:-1]) * units[text[-1:]] if text[-1:] in units else float(text)
