"""Logs and snapshots as hypothesis draws them: duplicates, shuffles, lost pages, old epochs, strange bytes."""

from hypothesis import strategies as st

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import CommandKind, ModelAck, PodReport
from modelcast.schemas.states import PodState, State
from tests.agents.tracker.makers import SECOND, command, digest, log_of, pages, update

REGIONS = ("ap", "eu", "us")
NOW_US = 1_000 * SECOND
KINDS = (
    CommandKind.ACTIVATE,
    CommandKind.ROLLBACK,
    CommandKind.PIN,
    CommandKind.UNPIN,
    CommandKind.PAUSE,
    CommandKind.RESUME,
    CommandKind.RELOAD,
    CommandKind.QUARANTINE,
    CommandKind.RELEASE,
)


@st.composite
def logs(draw: st.DrawFn) -> ModelLog:
    entries, versions = [], 0
    for generation in range(1, draw(st.integers(1, 7)) + 1):
        if versions == 0 or draw(st.booleans()):
            versions += 1
            placement = draw(st.sampled_from(((), (), (), ("eu", "us"), ("ap",))))
            entries.append(update(generation, versions, placement=placement))
            continue
        kind = draw(st.sampled_from(KINDS))
        bare = kind in (CommandKind.UNPIN, CommandKind.PAUSE, CommandKind.RESUME, CommandKind.RELOAD)
        everywhere = kind in (CommandKind.QUARANTINE, CommandKind.RELEASE)
        regions = ("",) if everywhere else draw(st.sampled_from((("",), ("eu",), ("ap", "us"))))
        entries.append(command(generation, kind, None if bare else draw(st.integers(1, versions)), regions))
    return log_of(*entries)


@st.composite
def reports(draw: st.DrawFn, head: int) -> list[PodReport]:
    # Mostly alike, so that convergence is drawn often.
    usual = draw(st.integers(1, 3))
    pods = []
    for name in draw(st.lists(st.sampled_from("abcde"), unique=True, max_size=4)):
        version = draw(st.sampled_from((usual, usual, usual, usual, None, 1, 2, 9)))
        pods.append(
            PodReport(
                pod=f"pod-{name}",
                state=draw(st.sampled_from((PodState.SERVING, PodState.SERVING, *PodState))),
                version=version,
                manifest_digest=""
                if version is None
                else digest(draw(st.sampled_from((version, version, version, 8)))),
                generation=draw(st.integers(0, head)),
                incarnation=draw(st.sampled_from(("i1", "i2"))),
                read_at_us=NOW_US - draw(st.sampled_from((1, 1, 1, 1, 600, 601))) * SECOND,
            )
        )
    return pods


@st.composite
def deliveries(draw: st.DrawFn, head: int = 5) -> list[ModelAck]:
    """What arrives: some snapshots' pages, not all of them, some twice, in any order."""
    sent: list[ModelAck] = []
    for region in (*REGIONS, "xx"):
        numbers = draw(st.lists(st.tuples(st.integers(1, 2), st.integers(1, 3)), unique=True, max_size=4))
        for epoch, sequence in numbers:
            pods = draw(reports(head))
            sent.extend(
                pages(
                    region,
                    pods,
                    epoch=epoch,
                    sequence=sequence,
                    page_count=draw(st.integers(1, 3)),
                    generation=draw(st.integers(0, head)),
                    version=draw(st.sampled_from((None, 1, 2, 3))),
                    state=draw(st.sampled_from(State)),
                    refused_version=draw(st.sampled_from((None, None, 1, 2, 3))),
                    pods_expected=max(0, len(pods) + draw(st.sampled_from((0, 0, 0, 1, -1)))),
                )
            )
    if not sent:
        return []
    lost = draw(st.sets(st.integers(0, len(sent) - 1), max_size=2))
    arriving = [a for n, a in enumerate(sent) if n not in lost]
    again = draw(st.lists(st.sampled_from(sent), max_size=3)) if arriving else []
    return draw(st.permutations(arriving + [a for a in again if a in arriving]))
