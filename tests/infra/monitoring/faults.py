"""Which alerts are made to fire by real faults, one group after the other, and which by promtool alone, and why."""

AT_ONCE = ("FleetUnseen", "VersionRefused", "RolloverStopped", "Alarm", "DeadLetters", "PodsMissing")
"""Bytes and models that are bad, a fleet's file that is missing, noise, a pod that stands still."""
SILENCE = ("ManyRegionsSilent", "RegionSilent", "ConsumerStopped", "RegionLate", "ModelLate", "ModelOftenLate")
"""One of three regions stands still, with records to read."""
LONGER = ("ConsumerLag", "Stalled", "SkewTooLong", "ViewUnwritten", "RegionOftenLate")
"""The same, for a minute or two, and Redis away."""
WITHOUT_KAFKA = ("AnnounceFailing", "StateStale")
WITHOUT_DAEMONS = ("TrackerAbsent", "DashboardStale")
BROUGHT_ABOUT = (*AT_ONCE, *SILENCE, *LONGER, *WITHOUT_KAFKA, *WITHOUT_DAEMONS)
ELSEWHERE = {
    "HeldLong": "a pin that lasts a week",
    "DiskFull": "an hour of a disk that fills",
    "OwnerFlapping": "clocks that jump, again and again",
    "TrackerBehind": "a tracker that is scraped and reads nothing for over a minute",
    "ProbeLost": "tests of the probe make it lose rounds",
}
"""What the fault of the others would take."""
