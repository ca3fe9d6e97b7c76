"""What doctor takes a role to need is what the deployment files grant; what credentials may do is tried harmlessly."""

import json
import shlex
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from modelcast.cli.doctor.checks import Result
from modelcast.cli.doctor.roles import BUCKET, ORIGIN_ROLES, REGION_ROLES, Role, calls_of, judge_roles, kafka_roles
from modelcast.cli.doctor.stores import try_rights
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.errors import Refused
from modelcast.schemas.ports import ObjectInfo, StoredObject
from tests.support.servers.secured_kafka import granted

POLICIES = Path(__file__).parents[3] / "infra" / "deploy" / "s3"
ACTIONS = {"list": "s3:ListBucket", "get": "s3:GetObject", "put": "s3:PutObject", "delete": "s3:DeleteObject"}


def acls(principal: str) -> set[tuple[str, str]]:
    """(operation, object) that ``acls.sh`` grants to a principal."""
    found = set()
    for line in granted({"REGIONS": "eu us"}):
        words = shlex.split(line)
        given: dict[str, list[str]] = {}
        for name, value in zip(words[1::2], words[2::2], strict=True):
            given.setdefault(name, []).append(value)
        if f"User:{principal}" in given["--allow-principal"]:
            objects = [*given.get("--topic", ()), *(f"group {group}" for group in given.get("--group", ()))]
            found |= {
                (o.replace("Configs", "_configs").lower(), each) for o in given["--operation"] for each in objects
            }
    return found


@pytest.mark.parametrize("role", kafka_roles(["eu", "us"]), ids=lambda role: role.name)
def test_what_a_role_needs_on_kafka_is_granted_by_the_script(role: Role) -> None:
    principal = f"modelcast-{role.name.replace(' ', '-')}"
    assert role.needs - acls(principal) == set()


def _file(role: Role, of_region: str) -> str:
    return f"{of_region if role.name == 'region' else role.name}.json"


@pytest.mark.parametrize("name", ["tracker", "operator"])
def test_who_compares_with_what_regions_accepted_must_read_their_state(name: str) -> None:
    role = next(role for role in REGION_ROLES if role.name == name)
    assert role.needs == {("list", BUCKET), ("get", "state/")}


@pytest.mark.parametrize(
    ("file", "bucket", "role"),
    [
        *((_file(role, "region-origin"), "models-origin", role) for role in ORIGIN_ROLES),
        *((_file(role, "region-own"), "models-eu", role) for role in REGION_ROLES),
    ],
)
def test_what_a_role_needs_of_a_store_is_granted_by_its_policy(file: str, bucket: str, role: Role) -> None:
    statements = json.loads((POLICIES / file).read_text())["Statement"]

    def granted_here(operation: str, name: str) -> bool:
        wanted = f"arn:aws:s3:::{bucket}" + ("" if name == BUCKET else f"/{name}x")
        for statement in statements:
            at = statement["Resource"]
            if ACTIONS[operation] in statement["Action"] and any(fnmatchcase(wanted, pattern) for pattern in at):
                return bool(statement["Effect"] == "Allow")
        return False

    assert [right for right in sorted(role.needs) if not granted_here(*right)] == []


class Guarded(MemoryStore):
    """Lets its user do what is allowed, and notes what was written."""

    def __init__(self, allowed: set[tuple[str, str]]) -> None:
        super().__init__("guarded")
        self.allowed = allowed

    def _check(self, operation: str, key: str) -> None:
        if not any(operation == o and (name == BUCKET or key.startswith(name)) for o, name in self.allowed):
            raise Refused("the store denied access: 403", subject=key)

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        self._check("get", key)
        return super().get(key, size_max=size_max)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        self._check("put", key)
        return super().put(key, body, if_absent=if_absent, if_match=if_match)

    def delete(self, key: str) -> None:
        self._check("delete", key)
        super().delete(key)

    def list(self, prefix: str, *, start_after: str = ""):  # type: ignore[no-untyped-def]
        self._check("list", prefix)
        return super().list(prefix, start_after=start_after)


@pytest.mark.parametrize("role", ORIGIN_ROLES, ids=lambda role: role.name)
def test_rights_are_found_out_without_changing_anything(role: Role) -> None:
    store = Guarded(set(role.needs))
    seen = try_rights(store, calls_of(ORIGIN_ROLES), conditional=True)
    assert seen.allowed == role.needs
    assert list(MemoryStore.list(store, "")) == []
    (check,) = judge_roles("store origin", ORIGIN_ROLES, seen, role.name)
    assert check.result is Result.ok


def test_one_right_that_is_missing_is_named() -> None:
    publisher = next(role for role in ORIGIN_ROLES if role.name == "publisher")
    seen = try_rights(Guarded(set(publisher.needs) - {("put", "manifests/")}), calls_of(ORIGIN_ROLES), conditional=True)
    (check,) = judge_roles("store origin", ORIGIN_ROLES, seen, "publisher")
    assert (check.result, check.detail) == (Result.error, "lacks put on manifests/")


def test_where_conditions_are_not_honoured_no_put_is_tried() -> None:
    store = Guarded(set(calls_of(ORIGIN_ROLES)))
    seen = try_rights(store, calls_of(ORIGIN_ROLES), conditional=False)
    assert set(seen.untried) == {right for right in calls_of(ORIGIN_ROLES) if right[0] == "put"}
