"""The evidence of a decision as bytes, and the verdict computed from them again, bit for bit.

Format 1 is zlib-compressed JSON: ``{"format": 1, "plan": {...}, "strata": [...], "counts": [[...], ...], "outcomes":
[[...], ...], "predictions": {...}, "batches": {...}}``. A row of
``counts`` is [seconds since the row before, index of the stratum, share or -1, the five counts of the control, the five
of the candidate]. A row of ``outcomes`` is [name, count, sum and sum of squares of the control, the same of the
candidate]. ``predictions`` are the sums of ``PredictionSums``; ``batches`` holds those of a bandit, each as three
numbers of either version and whether the candidate was proved harmless, and the least share.
"""

import json
import zlib
from dataclasses import asdict, astuple, dataclass, field, replace
from typing import Any

from modelcast.schemas.errors import ContentError, DecodeError
from modelcast.schemas.evidence.bandit import BanditBatch, candidate_shares
from modelcast.schemas.evidence.counts import SHARES, Arm, Counts
from modelcast.schemas.evidence.gates import AnalysisPlan, Gate, Measure, OutcomeGate, PredictionGate, PredictionMeasure
from modelcast.schemas.evidence.means import Moments
from modelcast.schemas.evidence.outcomes import OutcomeTotals
from modelcast.schemas.evidence.predictions import Predictions, PredictionSums
from modelcast.schemas.evidence.verdict import Verdict, fold_counts, verdict

FORMAT = 1
SIZE_MAX_BYTES = 256 * 1024 * 1024
_ARM_LENGTH = len(Arm.__slots__)
_ROW_LENGTH = 3 + 2 * _ARM_LENGTH


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a verdict was based on."""

    plan: AnalysisPlan
    counts: tuple[Counts, ...]
    outcomes: tuple[OutcomeTotals, ...] = ()
    predictions: PredictionSums = field(default_factory=PredictionSums)
    batches: tuple[BanditBatch, ...] = ()
    floor: int = 0


def replayed(evidence: Evidence) -> Verdict:
    """The verdict of this evidence: the same floats on every machine."""
    state = fold_counts(evidence.counts, evidence.plan)
    return with_shares(verdict(state, evidence.plan, evidence.outcomes, evidence.predictions), evidence)


def with_shares(found: Verdict, evidence: Evidence) -> Verdict:
    """The verdict with the shares that a bandit's batches gave."""
    if not evidence.batches:
        return found
    higher = evidence.plan.outcomes[0].higher_is_better
    return replace(found, shares=tuple(candidate_shares(evidence.batches, evidence.floor, higher_is_better=higher)))


def encode_verdict(found: Verdict) -> bytes:
    """A verdict as JSON in one line: the same bytes for the same verdict, to the last bit of its floats."""
    return json.dumps(asdict(found), sort_keys=True, separators=(",", ":")).encode()


def encode_evidence(evidence: Evidence) -> bytes:
    """Evidence as bytes of format 1; the order of the counts is kept."""
    strata = list(dict.fromkeys(each.stratum for each in evidence.counts))
    index = {name: number for number, name in enumerate(strata)}
    rows, before = [], 0
    for each in evidence.counts:
        share = -1 if each.share is None else each.share
        rows.append(
            [each.second - before, index[each.stratum], share, *astuple(each.control), *astuple(each.candidate)]
        )
        before = each.second
    outcomes = [[each.name, *astuple(each.control), *astuple(each.candidate)] for each in evidence.outcomes]
    document = {
        "format": FORMAT,
        "plan": asdict(evidence.plan),
        "strata": strata,
        "counts": rows,
        "outcomes": outcomes,
        "predictions": asdict(evidence.predictions),
        "batches": {
            "floor": evidence.floor,
            "rows": [[*astuple(each.control), *astuple(each.candidate), each.proved] for each in evidence.batches],
        },
    }
    return zlib.compress(json.dumps(document, separators=(",", ":")).encode(), 9)


def decode_evidence(data: bytes) -> Evidence:
    """Read what ``encode_evidence`` wrote.

    Raises:
        DecodeError: it is not evidence, too large, or of a format that is not known here.
    """
    document = _document(data)
    if document.get("format") != FORMAT:
        raise DecodeError(
            f"evidence of format {document.get('format')!r}",
            reason="unknown_format",
            hint=f"this release reads format {FORMAT}; use the one that wrote it",
        )
    try:
        plan = _plan(document["plan"])
        strata, second, counts = document["strata"], 0, []
        for row in document["counts"]:
            if len(row) != _ROW_LENGTH:
                raise DecodeError(f"a row of {len(row)} numbers", hint=f"format {FORMAT} has {_ROW_LENGTH}")
            second += row[0]
            control, candidate = Arm(*row[3 : 3 + _ARM_LENGTH]), Arm(*row[3 + _ARM_LENGTH :])
            counts.append(Counts(second, strata[row[1]], control, candidate, None if row[2] == -1 else row[2]))
        outcomes = tuple(_totals(row) for row in document["outcomes"])
        predictions = _predictions(document["predictions"])
        floor = document["batches"]["floor"]
        batches = tuple(_batch(row) for row in document["batches"]["rows"])
        if type(floor) is not int or not 0 <= floor <= SHARES // 2 or (batches and not plan.outcomes):
            raise DecodeError("batches that no plan could have")
    except (KeyError, IndexError, TypeError, ValueError, ContentError) as error:
        raise DecodeError(f"not the evidence of a rollout: {error}", hint="fetch it again from the store") from error
    return Evidence(plan, tuple(counts), outcomes, predictions, batches, floor)


def _document(data: bytes) -> dict[str, Any]:
    reader = zlib.decompressobj()
    try:
        text = reader.decompress(data, SIZE_MAX_BYTES)
        if not reader.eof:
            raise DecodeError("evidence that is cut short or too large", reason="truncated_or_too_large")
        document = json.loads(text)
    except (zlib.error, ValueError, RecursionError) as error:
        raise DecodeError(f"not the evidence of a rollout: {error}", hint="fetch it again from the store") from error
    if not isinstance(document, dict):
        raise DecodeError("not the evidence of a rollout", hint="fetch it again from the store")
    return document


def _plan(document: dict[str, Any]) -> AnalysisPlan:
    fields = dict(document)
    gates = tuple(Gate(**{**gate, "measure": Measure(gate["measure"])}) for gate in fields.pop("gates"))
    outcomes = tuple(OutcomeGate(**gate) for gate in fields.pop("outcomes"))
    predictions = tuple(
        PredictionGate(
            PredictionMeasure(gate["measure"]), gate["tolerated"], gate["excluded"], tuple(gate["reference"])
        )
        for gate in fields.pop("predictions")
    )
    return AnalysisPlan(gates, **fields, outcomes=outcomes, predictions=predictions)


def _predictions(fields: dict[str, Any]) -> PredictionSums:
    control, candidate = (
        Predictions(**{**fields[name], "scores": tuple(fields[name]["scores"])}) for name in ("control", "candidate")
    )
    sums = {**fields, "control": control, "candidate": candidate, "scores": tuple(fields["scores"])}
    whole = (sums["weight"], sums["empty"], sums["repeated"], sums["score_weight"], *sums["scores"])
    if any(type(each) is not int for each in whole):
        raise DecodeError("sums of predictions that are no whole numbers")
    return PredictionSums(**sums)


def _batch(row: list[Any]) -> BanditBatch:
    *numbers, proved = row
    if len(numbers) != 6 or any(type(each) is not int for each in numbers) or not isinstance(proved, bool):
        raise DecodeError(f"a batch of {len(row)} values", hint="six whole numbers, and true or false")
    return BanditBatch(Moments(*numbers[:3]), Moments(*numbers[3:]), proved)


def _totals(row: list[Any]) -> OutcomeTotals:
    name, *numbers = row
    if not isinstance(name, str) or len(numbers) != 6 or any(type(each) is not int for each in numbers):
        raise DecodeError(f"a row of outcomes of {len(row)} values", hint="a name and six whole numbers")
    return OutcomeTotals(name, Moments(*numbers[:3]), Moments(*numbers[3:]))
