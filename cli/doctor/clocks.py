"""Clocks, compared. Pure."""

from modelcast.cli.doctor.checks import Check, Result

OFFSET_SECONDS_GOOD = 5.0
OFFSET_SECONDS_MAX = 600.0
"""Seconds; S3 refuses signatures that are 15 minutes old."""


def judge_clock(subject: str, asked: float, theirs: float, answered: float) -> Check:
    """Judge how far a server's clock is from this machine's.

    Args:
        subject: whose clock.
        asked: ours, when it was asked, in seconds since 1970.
        theirs: what it said; whole seconds are fine.
        answered: ours, when its answer had come.
    """
    early, late = asked - theirs - 1.0, theirs - answered
    offset = max(early, late, 0.0)
    side = "behind" if early > late else "ahead of"
    if offset <= OFFSET_SECONDS_GOOD:
        return Check(subject, Result.ok, "agrees with ours")
    detail = f"{offset:.0f} s {side} ours"
    if offset > OFFSET_SECONDS_MAX:
        return Check(subject, Result.error, f"{detail}: stores refuse signatures of a wrong time", "run NTP on both")
    hint = "nothing breaks by it, but ages and lags shown here are off by that much: run NTP on both"
    return Check(subject, Result.warning, detail, hint)
