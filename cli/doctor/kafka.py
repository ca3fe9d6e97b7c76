"""The cluster: reachable for both client libraries, topics and places of records as they must be, clock, rights."""

import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING

from modelcast.cli.doctor.checks import Check, Result, Unit, failed
from modelcast.cli.doctor.clocks import judge_clock
from modelcast.cli.doctor.roles import Rights, RightsSeen, judge_roles, kafka_roles
from modelcast.schemas.errors import KafkaUnavailable, ModelcastError, UsageError
from modelcast.schemas.topics import Topic

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

SECONDS_MAX = 8.0
"""Of one question to the cluster."""


def units(settings: "Settings", role: str = "") -> list[Unit]:
    """What is looked at on the cluster."""
    kafka = settings.kafka.model_copy(update={"timeout_seconds": min(SECONDS_MAX, settings.kafka.timeout_seconds)})
    hurried = settings.model_copy(update={"kafka": kafka})
    return [
        Unit("kafka", partial(_check_cluster, hurried), seconds_max=40.0),
        Unit("kafka rights", partial(_check_rights, hurried, role), seconds_max=25.0),
        Unit("kafka clock", partial(_check_clock, hurried), seconds_max=25.0),
    ]


def _check_cluster(settings: "Settings") -> Iterator[Check]:
    from modelcast.infra.kafka.admin import broker_version, check_topics, describe, misplaced
    from modelcast.infra.kafka.groups import strangers

    yield from _check_agents(settings)
    try:
        cluster = describe(settings)
    except KafkaUnavailable as error:
        if not lacks_rights(error):
            raise
        message = f"this user may not read the topics' settings ({error.message})"
        yield Check("kafka: topics", Result.skipped, message, "run `doctor` as the operator")
        return
    yield Check("kafka", Result.ok, f"cluster {cluster.cluster_id}, {len(cluster.brokers)} broker(s)")
    yield judge_release(broker_version(settings))
    findings = check_topics(settings)
    for finding in findings:
        result = Result.error if finding.severity == "error" else Result.warning
        yield Check(f"kafka: {finding.subject}", result, finding.problem, finding.hint)
    if not findings:
        yield Check("kafka: topics", Result.ok, f"{len(cluster.topics)} as they must be")
    if any(f.subject == Topic.MODEL_UPDATES and f.severity == "error" for f in findings):
        return
    yield judge_places(misplaced(settings, Topic.MODEL_UPDATES))
    yield from judge_groups(strangers(settings, _groups(settings)))


def lacks_rights(error: KafkaUnavailable) -> bool:
    """Whether the cluster answered, and said no."""
    return "ACL" in error.hint and "create" not in error.hint


def _check_agents(settings: "Settings") -> Iterator[Check]:
    """Whether an agent could honour what the settings say about the connection."""
    from modelcast.infra.kafka.agent_connection import agent_connection

    try:
        connection = agent_connection(settings)
    except UsageError as error:
        check = failed("kafka: agents", error)
        yield Check(check.subject, Result.warning, f"none would start here: {check.detail}", check.hint)
    else:
        how = connection.protocol + (f" with {connection.mechanism}" if connection.mechanism else "")
        yield Check("kafka: agents", Result.ok, f"{how}, for both client libraries")


def judge_release(release: str | None) -> Check:
    """Whether the brokers are of a release that is tested with. None: it may not be read."""
    if release is None:
        return Check("kafka: version", Result.skipped, "this user may not read the brokers' settings")
    hint = "Modelcast is tested with Kafka 4.x; older clusters must keep LogAppendTime (see the topics' check)"
    return Check("kafka: version", Result.ok if release.startswith("4") else Result.warning, release, hint)


def judge_places(elsewhere: list[str]) -> Check:
    """Whether records lie where readers look for them. ``elsewhere``: keys of those that do not."""
    if not elsewhere:
        return Check("kafka: partitioner", Result.ok, "the newest records lie where murmur2 puts them")
    detail = f"misplaced: {', '.join(key or '(no key)' for key in elsewhere[:5])}"
    hint = "a producer uses another partitioner: set partitioner=murmur2_random there; the log repairs what was missed"
    return Check("kafka: partitioner", Result.warning, detail, hint)


def judge_groups(strangers: Mapping[str, str]) -> list[Check]:
    """What keeps agents out of their consumer groups. ``strangers``: who has one in their place, by group."""
    hint = "end it, or have it read under another name; the agent goes on by itself once it has left"
    return [
        Check(
            f"kafka: group {name}",
            Result.error,
            f"another program reads in it: {who}; agents of ours get nothing",
            hint,
        )
        for name, who in sorted(strangers.items())
    ]


def _groups(settings: "Settings") -> list[str]:
    return ["modelcast-tracker", "modelcast-rollouts", *(f"modelcast-region-{name}" for name in settings.regions)]


def _check_rights(settings: "Settings", role: str) -> Iterator[Check]:
    from modelcast.infra.kafka.rights import group_operations, topic_operations

    groups = ["modelcast-tracker", *(f"modelcast-region-{name}" for name in settings.regions)]
    found = {**topic_operations(settings), **{f"group {n}": o for n, o in group_operations(settings, groups).items()}}
    yield from judge_roles("kafka", kafka_roles(settings.regions), RightsSeen(rights_of(found)), role)


def rights_of(operations: Mapping[str, frozenset[str]]) -> Rights:
    """What is allowed, by the operations that the cluster names for each object; readers and writers may describe."""
    allowed = {(operation.lower(), name) for name, all_ in operations.items() for operation in all_}
    describing = {
        ("describe", name) for operation, name in allowed if operation in {"read", "write", "delete", "alter"}
    }
    return frozenset(allowed | describing)


def _check_clock(settings: "Settings") -> Iterator[Check]:
    """By a record without a value on a compacted topic, which has no reader and which the cluster soon drops."""
    from modelcast.infra.kafka.rights import append_time_us, topic_operations

    if "WRITE" not in topic_operations(settings).get(Topic.REGION_HEARTBEATS, frozenset()):
        yield Check("kafka: clock", Result.skipped, "this user may not write a record to see the brokers' clock")
        return
    began = time.time()
    try:
        theirs_us = append_time_us(settings, Topic.REGION_HEARTBEATS)
    except ModelcastError as error:
        yield failed("kafka: clock", error)
        return
    yield judge_clock("kafka: clock", began, theirs_us / 1e6, time.time())
