"""What doctor says of what it saw: the object, what is wrong, what to do next."""

from pathlib import Path

import pytest

from modelcast.cli.doctor.checks import Check, Result, exit_code
from modelcast.cli.doctor.clocks import judge_clock
from modelcast.cli.doctor.kafka import judge_groups, judge_places, judge_release, rights_of
from modelcast.cli.doctor.machine import Folder, Room, judge_lock, judge_open_files, judge_room
from modelcast.cli.doctor.redis import judge_eviction
from modelcast.cli.doctor.regions import Contents, judge_buckets, judge_contents, judge_names, place_of
from modelcast.cli.doctor.roles import ORIGIN_ROLES, RightsSeen, judge_roles, kafka_roles
from modelcast.cli.doctor.stores import judge_clients
from modelcast.infra.settings import StoreSettings
from modelcast.schemas.errors import Refused, StoreUnavailable

GIB = 1024**3
CACHE = Folder(Path("/cache"), "regions.eu.cache_dir", locked=True, limit_bytes=50 * GIB)


@pytest.mark.parametrize(
    ("soft", "result"), [(128, Result.error), (1024, Result.warning), (65536, Result.ok), (-1, Result.ok)]
)
def test_few_open_files_are_told_with_how_to_have_more(soft: int, result: Result) -> None:
    check = judge_open_files(soft, 1_048_576)
    assert check.result is result
    assert (result is Result.ok) or "ulimit -n" in check.hint


def test_a_folder_without_locks_or_rights_is_named_with_its_setting() -> None:
    no_locks = judge_lock(CACHE, "the file system has no locks (flock): Operation not supported")
    assert (no_locks.result, no_locks.subject) == (Result.error, "regions.eu.cache_dir /cache")
    assert "regions.eu.cache_dir" in no_locks.hint
    assert judge_lock(CACHE, "").result is Result.ok
    alone = Folder(Path("/tmp"), "TMPDIR")
    assert judge_lock(alone, "the file system has no locks (flock): x").result is Result.ok
    assert judge_lock(alone, "no file can be made there: Permission denied").result is Result.error


@pytest.mark.parametrize(
    ("free", "total", "result", "told"),
    [
        (1024, 100 * GIB, Result.error, "nothing can be written"),
        (20 * GIB, 30 * GIB, Result.warning, "regions.eu.cache_size_max_bytes"),
        (GIB // 2, 100 * GIB, Result.warning, "a large model has no room"),
        (60 * GIB, 100 * GIB, Result.ok, "60 GiB free"),
    ],
)
def test_room_is_judged_by_what_is_to_come(free: int, total: int, result: Result, told: str) -> None:
    check = judge_room(CACHE, Room(free, total))
    assert check.result is result
    assert told in f"{check.detail} {check.hint}"


@pytest.mark.parametrize(
    ("theirs", "result", "told"),
    [
        (1000.0, Result.ok, "agrees"),
        (999.0, Result.ok, "agrees"),  # whole seconds
        (1060.0, Result.warning, "60 s ahead of ours"),
        (900.0, Result.warning, "behind ours"),
        (5000.0, Result.error, "refuse signatures"),
    ],
)
def test_a_clock_that_is_off_is_told_with_its_side(theirs: float, result: Result, told: str) -> None:
    check = judge_clock("store: clock", 1000.0, theirs, 1000.2)
    assert check.result is result
    assert told in check.detail


def test_stores_that_are_one_place_are_named_however_they_are_written() -> None:
    def place(url: str, endpoint: str | None = None) -> tuple[str, str]:
        return place_of(StoreSettings(url=url, endpoint_url=endpoint))

    places = {
        "stores.origin": place("s3://models"),
        "regions.eu.store": place("s3://models/"),
        "regions.us.store": place("s3://us", "http://LOCALHOST:9000"),
        "regions.ap.store": place("s3://us", "http://127.0.0.1:9000/"),
        "regions.af.store": place("s3://us", "http://127.0.0.1:9001"),
    }
    subjects = {check.subject: check.result for check in judge_buckets(places)}
    assert subjects == {
        "buckets: stores.origin and regions.eu.store": Result.error,
        "buckets: regions.us.store and regions.ap.store": Result.error,
    }
    assert (
        judge_buckets({"stores.origin": place("s3://a"), "regions.eu.store": place("s3://a/eu")})[0].result is Result.ok
    )


@pytest.mark.parametrize(
    ("contents", "result", "told"),
    [
        (Contents(), Result.ok, "its own"),
        (Contents((), frozenset({"eu"})), Result.ok, "its own"),
        (Contents((), frozenset({"us"})), Result.error, "the state of region us"),
        (Contents((), frozenset({"eu", "us"})), Result.error, "the state of region us"),
        (Contents(("fraud",), frozenset()), Result.error, "holds registry logs (fraud): it is an origin"),
    ],
)
def test_a_bucket_that_is_anothers_is_told_by_what_it_holds(contents: Contents, result: Result, told: str) -> None:
    check = judge_contents("eu", "s3://eu", contents)
    assert check.result is result
    assert told in check.detail
    assert (result is Result.ok) or "regions.eu.store.url" in check.hint


def test_a_region_that_nobody_speaks_for_is_told_with_the_one_that_was_meant() -> None:
    checks = {c.subject: c for c in judge_names({"eu-west", "us"}, {"eu-wset": 1.0, "us": 2.0})}
    assert checks["region eu-west"].result is Result.warning
    assert "did you mean eu-wset?" in checks["region eu-west"].hint
    assert "[regions.eu-wset]" in checks["region eu-wset"].hint
    assert checks["region names"].result is Result.ok


def test_roles_that_these_credentials_cannot_fill_are_no_error_while_one_fits() -> None:
    needs = next(role.needs for role in ORIGIN_ROLES if role.name == "tracker")
    found = {c.subject: c for c in judge_roles("store origin", ORIGIN_ROLES, RightsSeen(needs))}
    assert found["store origin: role tracker"].result is Result.ok
    lacking = found["store origin: role publisher"]
    assert lacking.result is Result.skipped
    assert "put on registry/" in lacking.detail
    assert "publisher.json" in lacking.hint


def test_a_role_that_is_insisted_on_or_none_at_all_is_an_error() -> None:
    (asked,) = judge_roles("store origin", ORIGIN_ROLES, RightsSeen(), "operator")
    assert (asked.result, asked.subject) == (Result.error, "store origin: role operator")
    assert {c.result for c in judge_roles("store origin", ORIGIN_ROLES, RightsSeen())} == {Result.error}


def test_what_could_not_be_tried_is_not_taken_for_missing() -> None:
    publisher = [role for role in ORIGIN_ROLES if role.name == "publisher"]
    puts = {right: "puts were not tried" for right in publisher[0].needs if right[0] == "put"}
    allowed = frozenset(right for right in publisher[0].needs if right[0] != "put")
    (check,) = judge_roles("store", publisher, RightsSeen(allowed, puts))
    assert check.result is Result.ok
    assert "puts were not tried" in check.detail


def test_who_may_read_or_write_a_topic_may_describe_it() -> None:
    rights = rights_of({"model-updates": frozenset({"READ"}), "version-state": frozenset()})
    assert rights == {("read", "model-updates"), ("describe", "model-updates")}


def test_every_region_has_a_group_of_its_own_to_read_with() -> None:
    eu = next(role for role in kafka_roles(["eu", "us"]) if role.name == "region eu")
    assert ("read", "group modelcast-region-eu") in eu.needs


AWAY, NO_CA = (
    StoreUnavailable("store unreachable: x", hint="up?"),
    StoreUnavailable("certificate", hint="AWS_CA_BUNDLE"),
)


def test_every_client_of_a_store_is_told() -> None:
    (well,) = judge_clients("store", {"boto3": None, "our own client": None}, "host:9000")
    assert (well.result, well.detail) == (Result.ok, "host:9000, by boto3 and our own client")
    (one,) = judge_clients("store", {"boto3": None, "our own client": NO_CA}, "host")
    assert one.result is Result.error
    assert "boto3 gets through" in one.detail
    assert one.hint == "AWS_CA_BUNDLE"
    (none,) = judge_clients("store", {"boto3": AWAY, "our own client": AWAY}, "host")
    assert (none.result, none.hint) == (Result.unreachable, "up?")
    (other,) = judge_clients("store", {"boto3": AWAY, "our own client": None}, "host")
    assert other.result is Result.unreachable
    (style, *_) = judge_clients("store", {"boto3": Refused("404", hint="?")}, "bucket.host", "path")
    assert style.result is Result.error
    assert "addressing_style = path" in style.hint


def test_the_rest_of_kafka_and_redis() -> None:
    assert judge_release("3.9-IV0").result is Result.warning
    assert judge_release(None).result is Result.skipped
    assert judge_places(["lost"]).result is Result.warning
    assert judge_eviction("allkeys-lru").result is Result.warning
    assert judge_eviction("volatile-ttl").result is Result.ok


def test_the_exit_code_is_the_gravest_of_all() -> None:
    def code(*results: Result) -> int:
        return int(exit_code([Check("x", result, "") for result in results]))

    assert code(Result.ok, Result.warning, Result.skipped) == 0
    assert code(Result.ok, Result.unreachable) == 6
    assert code(Result.unreachable, Result.error) == 1


def test_a_program_that_keeps_an_agent_out_of_its_group_is_named_with_what_to_do() -> None:
    (check,) = judge_groups({"modelcast-region-eu": "rdkafka at 10.0.0.7 (assignor range)"})
    assert (check.result, check.subject) == (Result.error, "kafka: group modelcast-region-eu")
    assert "rdkafka at 10.0.0.7" in check.detail
    assert "end it" in check.hint
    assert judge_groups({}) == []
