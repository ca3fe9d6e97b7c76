"""Which alerts are made to fire by real faults, one group after the other, and which by promtool alone, and why."""

AT_ONCE = ("FleetUnseen", "VersionRefused", "RolloverStopped", "Alarm", "DeadLetters", "PodsMissing")
"""Bytes and models that are bad, a fleet's file that is missing, noise, a pod that stands still."""
SILENCE = ("ManyRegionsSilent", "RegionSilent", "ConsumerStopped", "RegionLate", "ModelLate", "ModelOftenLate")
"""One of three regions stands still, with records to read."""
FILLING = ("DiskFull",)
"""A file that grows on the cache's disk."""
LONGER = ("ConsumerLag", "Stalled", "SkewTooLong", "ViewUnwritten", "RegionOftenLate", "HeldLong")
"""The same, for a minute or two, Redis away, and a pin that is left behind; a week of it lasts half a minute."""
UNREAD = ("TrackerBehind",)
"""The registry's id is damaged: a tracker that starts reads no report."""
WITHOUT_KAFKA = ("AnnounceFailing", "StateStale")
WITHOUT_DAEMONS = ("TrackerAbsent", "DashboardStale")
BROUGHT_ABOUT = (*AT_ONCE, *SILENCE, *FILLING, *LONGER, *UNREAD, *WITHOUT_KAFKA, *WITHOUT_DAEMONS)
ELSEWHERE = {
    "CandidateCut": "a candidate that harms real requests; a test of the region's guard has one cut",
    "OwnerFlapping": "workers that take a model from each other again and again; Kafka gives it to one of them",
    "ProbeLost": "a region that beats and reads no announcement; tests of the probe make it lose rounds",
}
"""What the fault of the others would take."""
