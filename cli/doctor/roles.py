"""What each role needs, as the policies and ACLs in ``infra/deploy`` grant it; and what a user lacks of it. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from modelcast.cli.doctor.checks import Check, Result
from modelcast.schemas.topics import Topic

Rights = frozenset[tuple[str, str]]
"""(operation, object): ("write", "model-updates"), ("put", "registry/")."""


@dataclass(frozen=True, slots=True)
class Role:
    """A role and its rights; ``help`` says who has it and where its rights are granted from."""

    name: str
    needs: Rights
    grant: str


def _needs(**objects: Iterable[str]) -> Rights:
    return frozenset((operation, name) for operation, names in objects.items() for name in names)


_ACLS = "infra/deploy/kafka/acls.sh grants it"
_EVERY_TOPIC = tuple(str(topic) for topic in Topic)
_PUBLISHER = _needs(write=[Topic.MODEL_UPDATES], read=[Topic.VERSION_STATE])
_OPERATOR = _PUBLISHER | _needs(
    read=[Topic.DEAD_LETTERS, Topic.MODEL_UPDATES, Topic.VERSION_CHANGES, Topic.ROLLOUT_STATE, Topic.REGION_HEARTBEATS],
    write=[Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS, Topic.DEAD_LETTERS, Topic.OUTCOMES],
    describe_configs=_EVERY_TOPIC,
)


def kafka_roles(regions: Iterable[str]) -> list[Role]:
    """Who speaks on Kafka."""
    found = [Role("publisher", _PUBLISHER, _ACLS), Role("operator", _OPERATOR, _ACLS)]
    regional = []
    for region in regions:
        regional.append(group_of(f"region-{region}"))
        needs = _needs(
            read=[Topic.MODEL_UPDATES, Topic.TRAFFIC_STATE, group_of(f"region-{region}")],
            write=[Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS, Topic.TRAFFIC_COUNTS],
            describe=[
                *(Topic.VERSION_STATE, Topic.VERSION_CHANGES, Topic.PROBE_STATE),
                *(Topic.DEAD_LETTERS, Topic.ROLLOUT_STATE, Topic.OUTCOMES),
            ],
        )
        found.append(Role(f"region {region}", needs, _ACLS))
    tracker = _needs(
        read=[*_EVERY_TOPIC[:4], Topic.VERSION_CHANGES, Topic.PROBE_STATE, group_of("tracker")],
        write=[
            *(Topic.VERSION_STATE, Topic.VERSION_CHANGES, Topic.PROBE_STATE),
            *(Topic.MODEL_UPDATES, Topic.DEAD_LETTERS),
        ],
        describe=[Topic.TRAFFIC_COUNTS, Topic.TRAFFIC_STATE, Topic.ROLLOUT_STATE, Topic.OUTCOMES],
    )
    rollouts = _needs(
        read=[
            *(Topic.MODEL_UPDATES, Topic.TRAFFIC_COUNTS, Topic.ROLLOUT_STATE, Topic.OUTCOMES),
            group_of("rollouts"),
        ],
        write=[Topic.MODEL_UPDATES, Topic.TRAFFIC_STATE, Topic.ROLLOUT_STATE, Topic.DEAD_LETTERS],
        describe=[
            *(Topic.MODEL_ACKS, Topic.REGION_HEARTBEATS),
            *(Topic.VERSION_STATE, Topic.VERSION_CHANGES, Topic.PROBE_STATE),
        ],
    )
    return [
        *found,
        Role("outcomes", _needs(write=[Topic.OUTCOMES]), _ACLS),
        Role("tracker", tracker, _ACLS),
        Role("rollouts", rollouts, _ACLS),
        Role(
            "viewer",
            _needs(
                read=[
                    *(*_EVERY_TOPIC[:4], Topic.VERSION_CHANGES, Topic.PROBE_STATE),
                    *(Topic.TRAFFIC_COUNTS, Topic.TRAFFIC_STATE, Topic.ROLLOUT_STATE, Topic.OUTCOMES),
                ],
                describe=[group_of("tracker"), group_of("rollouts"), *regional],
            ),
            _ACLS,
        ),
    ]


def group_of(name: str) -> str:
    """How a consumer group stands among the objects."""
    return f"group modelcast-{name}"


BUCKET = "the bucket"
_READS_REGISTRY = _needs(list=[BUCKET], get=["registry/"])
_READS_ARTIFACTS = _needs(list=[BUCKET], get=["manifests/", "blobs/"])
_READS_STATE = _needs(list=[BUCKET], get=["state/"])
_POLICY = "infra/deploy/s3/{}.json has the policy"
ORIGIN_ROLES: Sequence[Role] = (
    Role(
        "publisher",
        _READS_REGISTRY
        | _READS_ARTIFACTS
        | _needs(
            get=["deltas/", "publications/"],
            put=["registry/", "manifests/", "blobs/", "deltas/", "publications/", "audit/"],
            delete=["publications/"],
        ),
        _POLICY.format("publisher"),
    ),
    Role(
        "operator",
        _READS_REGISTRY
        | _READS_ARTIFACTS
        | _needs(get=["history/", "audit/", "rollouts/"], put=["registry/", "audit/"]),
        _POLICY.format("operator"),
    ),
    Role(
        "region",
        _READS_REGISTRY | _READS_ARTIFACTS | _needs(get=["deltas/", "traffic/"]),
        _POLICY.format("region-origin"),
    ),
    Role(
        "tracker",
        _READS_REGISTRY | _needs(get=["history/"], put=["history/"], delete=["history/"]),
        _POLICY.format("tracker"),
    ),
    Role(
        "rollouts",
        _READS_REGISTRY | _needs(get=["traffic/", "rollouts/"], put=["registry/", "traffic/", "rollouts/"]),
        _POLICY.format("rollouts"),
    ),
)
REGION_ROLES: Sequence[Role] = (
    Role(
        "region",
        _READS_ARTIFACTS
        | _needs(
            get=["state/", "registry/", "pods/"],
            put=["manifests/", "blobs/", "state/", "registry/"],
            delete=["manifests/", "blobs/", "pods/"],
        ),
        _POLICY.format("region-own"),
    ),
    Role("pod", _READS_ARTIFACTS | _READS_STATE, _POLICY.format("pod")),
    Role(
        "registered-pod",
        _READS_ARTIFACTS | _READS_STATE | _needs(get=["pods/"], put=["pods/"], delete=["pods/"]),
        _POLICY.format("registered-pod"),
    ),
    Role("tracker", _READS_STATE, _POLICY.format("tracker")),
    Role("operator", _READS_STATE, _POLICY.format("operator")),
)


def calls_of(roles: Sequence[Role]) -> Rights:
    """Every right that some role needs."""
    return frozenset().union(*(role.needs for role in roles))


@dataclass(frozen=True, slots=True)
class RightsSeen:
    """What was found out about rights: those that are there, and those that could not be tried, with why."""

    allowed: Rights = frozenset()
    untried: Mapping[tuple[str, str], str] = field(default_factory=dict)


def judge_roles(subject: str, roles: Sequence[Role], seen: RightsSeen, wanted: str = "") -> list[Check]:
    """Which roles these credentials can fill.

    No user needs all roles: what a role lacks is an error only where no role at all can be filled, or for ``wanted``.
    """
    chosen = [role for role in roles if not wanted or role.name == wanted]
    lacks = {role.name: sorted(role.needs - seen.allowed - seen.untried.keys()) for role in chosen}
    none_fits = all(lacks.values())
    found = []
    for role in chosen:
        lacking = lacks[role.name]
        if not lacking:
            untried = sorted({seen.untried[right] for right in role.needs if right in seen.untried})
            detail = "has its rights" + (f" ({'; '.join(untried)})" if untried else "")
            found.append(Check(f"{subject}: role {role.name}", Result.ok, detail))
            continue
        result = Result.error if wanted or none_fits else Result.skipped
        detail = "lacks " + ", ".join(f"{operation} on {name}" for operation, name in lacking)
        found.append(Check(f"{subject}: role {role.name}", result, detail, f"{role.grant}, should it be needed here"))
    return found
