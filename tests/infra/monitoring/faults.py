"""Which alerts are made to fire by real faults, one group after the other, and which by promtool alone, and why."""

from collections.abc import Mapping
from types import MappingProxyType

CUT = ("CandidateCut", "RolloutEnded")
"""A candidate of a rollout that answers nonsense."""
AT_ONCE = ("FleetUnseen", "VersionRefused", "RolloverStopped", "Alarm", "DeadLetters", "PodsMissing")
"""Bytes and models that are bad, a fleet's file that is missing, noise, a pod that stands still."""
SILENCE = ("RegionSilent", "RegionLate", "ModelLate", "ModelOftenLate")
"""One of three regions stands still, with records to read."""
TAKEN = ("OwnerFlapping",)
"""A second region was given the bucket of another."""
DEAF = ("ProbeLost",)
"""Another program reads in the place of a region's agent."""
FILLING = ("DiskFull",)
"""A file that grows on the cache's disk."""
LONGER = ("ConsumerStopped", "ConsumerLag", "Stalled", "SkewTooLong", "ViewUnwritten", "RegionOftenLate", "HeldLong")
"""The same as SILENCE, for minutes: the dashboard judges a group by 13 looks, one in five seconds and fewer where it is
busy. Redis away, and a pin that is left behind; a week of it lasts half a minute."""
UNREAD = ("TrackerBehind",)
"""The registry's id is damaged: a tracker that starts reads no report."""
WITHOUT_KAFKA = ("AnnounceFailing", "StateStale", "ManyRegionsSilent")
WITHOUT_DAEMONS = ("TrackerAbsent", "DashboardStale")
BROUGHT_ABOUT = (
    *(*CUT, *AT_ONCE, *SILENCE, *TAKEN, *DEAF, *FILLING, *LONGER, *UNREAD),
    *(*WITHOUT_KAFKA, *WITHOUT_DAEMONS),
)
ELSEWHERE: Mapping[str, str] = MappingProxyType({})
"""Alerts that no test brings about for real, and why."""
