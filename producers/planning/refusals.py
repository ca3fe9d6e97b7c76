"""Who refuses a version: the log, by a person's word, or a region of its own accord. Pure."""

from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.records import Entry, ModelCommand, VersionState
from modelcast.schemas.states import State


def refused_versions(state: VersionState) -> frozenset[int]:
    """The versions that some region refuses, as the tracker knows it."""
    refused = {row.refused_version for row in state.regions}
    refused |= {row.aspired_version for row in state.regions if row.state is State.QUARANTINED}
    return frozenset(version for version in refused if version is not None)


def quarantine_line(log: ModelLog, entry: Entry | None, version: int) -> str:
    """How the log refuses a version, for people; "" if it does not.

    Args:
        log: the model's.
        entry: what stands in it at ``log.quarantined[version]``, if that is known.
        version: the one asked about.
    """
    return f"quarantined{by_whom(entry)}" if version in log.quarantined else ""


def by_whom(entry: Entry | None) -> str:
    """Who commanded an entry and why, to go behind what it did; "" if that is not known."""
    if not isinstance(entry, ModelCommand):
        return ""
    who = f" by {entry.requested_by}" if entry.requested_by else ""
    return who + (f" ({entry.reason})" if entry.reason else "")
