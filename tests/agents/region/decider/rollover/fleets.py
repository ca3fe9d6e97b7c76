"""A fleet in one line: ``a:done@90 b:loading c/z2 d:lost``. Each word is a pod with its zone and what is so."""

from dataclasses import replace

from modelcast.agents.region.decider.rollover.pod_facts import Need, PodFacts
from modelcast.agents.region.decider.rollover_policy import RolloverPolicy
from modelcast.schemas.text.amounts import Amount

NOW = 1000.0


def amount(text: object) -> Amount:
    return Amount.parse(text)


def policy(**said: object) -> RolloverPolicy:
    """The default but for what is said; amounts as people write them."""
    read = {name: amount(value) if name in {"at_once", "min_healthy"} else value for name, value in said.items()}
    return replace(RolloverPolicy(), **read)  # type: ignore[arg-type]


def fleet(line: str, *, gap: bool = False) -> list[PodFacts]:
    """The pods of ``line``; a word without anything behind it is one that serves the old version."""
    return [_pod(word, gap) for word in line.split()]


def _pod(word: str, gap: bool) -> PodFacts:
    name, *said = word.split(":")
    name, _, zone = name.partition("/")
    pod = PodFacts(name, zone, Need.VERSION, gapless=not gap)
    for each in said:
        what, _, value = each.partition("@")
        pod = _with(pod, what, value)
    return pod


def _with(pod: PodFacts, what: str, value: str) -> PodFacts:
    match what:
        case "done":
            at = float(value or 0)
            return replace(pod, need=Need.NOTHING, ordered_at=at - 5, ended_at=at)
        case "seen":  # serving it when this owner first looked
            return replace(pod, need=Need.NOTHING, ended_at=float(value))
        case "loading":
            return replace(pod, loading=True, ordered_at=float(value or NOW - 1))
        case "lost":
            return replace(pod, need=Need.NOTHING, lost=True, healthy=False)
        case "ill":
            return replace(pod, healthy=False)
        case "bare":
            return replace(pod, need=Need.ANYTHING, healthy=False)
        case "adopts":
            return replace(pod, need=Need.AUTHORITY)
        case "read":  # just being read
            return replace(pod, startable=False)
        case "busy":
            return replace(pod, loads_another=value)
        case "failed":
            return replace(pod, failures=1, failure=value, ordered_at=NOW - 60, ended_at=NOW - 50)
    raise ValueError(what)
