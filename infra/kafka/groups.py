"""Who reads in the consumer groups of the agents."""

from collections.abc import Sequence

from confluent_kafka import KafkaException

from modelcast.infra.kafka.client import make_admin
from modelcast.infra.settings import Settings

ASSIGNOR = "faust"
"""How the agents' groups share out partitions. Kafka lets nobody join a group whose members share them otherwise."""


def strangers(settings: Settings, groups: Sequence[str]) -> dict[str, str]:
    """Which program other than ours has which of these groups, for people.

    Groups that don't exist, have no member, or may not be described by this user are left out.
    """
    admin, timeout = make_admin(settings), settings.kafka.timeout_seconds
    found: dict[str, str] = {}
    for name, answer in admin.describe_consumer_groups(list(groups), request_timeout=timeout).items():
        try:
            group = answer.result(timeout)
        except KafkaException:
            continue
        if group.members and group.partition_assignor not in {"", ASSIGNOR}:
            who = sorted({f"{member.client_id} at {member.host.lstrip('/')}" for member in group.members})
            found[name] = f"{', '.join(who)} (assignor {group.partition_assignor})"
    return found
