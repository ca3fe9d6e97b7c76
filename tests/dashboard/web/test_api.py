"""What the API answers."""

import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from modelcast.dashboard.dashboard import Dashboard
from modelcast.dashboard.groups import GroupLook, GroupStatus, GroupsWatch, PartitionLook
from modelcast.dashboard.sources.news import NewsBatch, Reach
from modelcast.dashboard.view.candidates import SeenRollout
from modelcast.dashboard.view.disks import SAMPLE_SECONDS, SAMPLES_MIN
from modelcast.dashboard.view.overview import Worker
from modelcast.dashboard.web.app import host_allowed
from modelcast.infra.settings_dashboard import ActionSettings
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.log.statements import state
from modelcast.schemas.records import CommandKind, CommandTarget, ModelCommand, RegionHeartbeat
from modelcast.schemas.statuses import Status
from modelcast.schemas.traffic.reports import RolloutRegion, RolloutState
from tests.dashboard.makers import REGISTRY, fetching, now_state, refusing, row
from tests.dashboard.pasts import MODEL, past
from tests.dashboard.web.conftest import said
from tests.support.records.folding import NOWHERE

Serve = Callable[..., Awaitable[TestClient]]


async def read(client: TestClient, path: str, status: int = 200) -> dict[str, Any]:
    answer = await client.get(path)
    assert answer.status == status, await answer.text()
    return dict(await answer.json())


async def test_the_verdict_says_what_is_so_and_how_old_it_is(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu"), fetching("us", 20)]))
    answer = await read(await serve(board), "/api/v1/verdict")
    assert answer["verdict"]["status"] == "LAG"
    assert answer["verdict"]["sentence"] == "fraud is rolling out in 1 of 2 regions."
    assert answer["verdict"]["pairs"] == {"LAG": 1, "OK": 1}
    assert answer["fresh"]["source"] == "kafka"
    assert 0 <= answer["fresh"]["age_seconds"] < 5
    assert answer["fresh"]["stale"] is False


async def test_an_overview_that_is_empty_says_so(board: Dashboard, serve: Serve) -> None:
    board.take(NewsBatch("kafka", Reach.LIVE, complete=frozenset()))
    answer = await read(await serve(board), "/api/v1/verdict")
    assert answer["verdict"]["sentence"] == "Nothing is known yet: nothing was published, or no tracker runs."
    assert answer["fresh"]["age_seconds"] is None


async def test_an_unchanged_answer_is_not_sent_again(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu")]))
    client = await serve(board)
    tag = (await client.get("/api/v1/problems")).headers["ETag"]
    assert (await client.get("/api/v1/problems", headers={"If-None-Match": tag})).status == 304
    said(board, now_state("fraud", [refusing("eu")]))
    assert (await client.get("/api/v1/problems", headers={"If-None-Match": tag})).status == 200


async def test_pages_go_on_after_the_last_row_whatever_came_meanwhile(board: Dashboard, serve: Serve) -> None:
    for name in ("b", "d", "f"):
        said(board, now_state(name, [row("eu")]))
    client = await serve(board)
    first = await read(client, "/api/v1/models?sort=name&limit=2")
    assert ([m["model"] for m in first["models"]], first["total"], first["moved_on"]) == (["b", "d"], 3, False)
    said(board, now_state("a", [row("eu")]), now_state("e", [row("eu")]))
    second = await read(client, f"/api/v1/models?sort=name&limit=2&after={first['next']}")
    assert ([m["model"] for m in second["models"]], second["next"], second["moved_on"]) == (["e", "f"], "", True)


async def test_models_come_worst_first_and_can_be_chosen(board: Dashboard, serve: Serve) -> None:
    said(
        board,
        now_state("a-ok", [row("eu")]),
        now_state("b-lag", [fetching("eu", 9)]),
        now_state("c-late", [fetching("eu", 99)]),
    )
    client = await serve(board)
    assert [m["model"] for m in (await read(client, "/api/v1/models"))["models"]] == ["c-late", "b-lag", "a-ok"]
    assert [m["model"] for m in (await read(client, "/api/v1/models?status=LAG"))["models"]] == ["b-lag"]
    assert [m["model"] for m in (await read(client, "/api/v1/models?q=ok"))["models"]] == ["a-ok"]


async def test_a_silent_region_is_counted_by_no_n_of_n(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu"), row("us"), row("ap", silent=True)]))
    client = await serve(board)
    (line,) = (await read(client, "/api/v1/models"))["models"]
    assert (line["serving"], line["counted"], line["consistent_version"]) == (2, 3, None)
    (silent,) = [r for r in (await read(client, "/api/v1/regions"))["regions"] if r["region"] == "ap"]
    assert (silent["serving"], silent["counted"], silent["status"]) == (0, 1, "SILENT")


async def test_one_model_everywhere(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu"), refusing("us", error="expected dd2b, got 9dc2")]))
    answer = await read(await serve(board), "/api/v1/models/fraud")
    assert [(r["region"], r["status"]) for r in answer["regions"]] == [("us", "REFUSED"), ("eu", "OK")]
    assert [p["title"] for p in answer["problems"]] == ["fraud/8"]
    assert answer["regions"][0]["error"] == "expected dd2b, got 9dc2"


async def test_the_last_entries_tell_who_and_why(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu")]))
    pin = ModelCommand("r", "e1", "fraud", 9, CommandKind.PIN, (CommandTarget("eu", 7),), 1, "anna", "A/B")
    announced = state(pin, NOWHERE)
    board.take(NewsBatch("kafka", Reach.LIVE, entries=((announced, 1_000_000), (announced, 1_000_000))))
    (line,) = (await read(await serve(board), "/api/v1/entries"))["entries"]
    assert (line["kind"], line["version"], line["by"], line["why"], line["regions"]) == (
        "PIN",
        7,
        "anna",
        "A/B",
        ["eu"],
    )
    (of_model,) = (await read(await serve(board), "/api/v1/models/fraud"))["entries"]
    assert of_model["by"] == "anna"


async def test_the_grid_is_a_byte_a_pair(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("a", [row("eu"), row("us", silent=True)]), now_state("b", [row("us")]))
    body = await (await (await serve(board)).get("/api/v1/grid")).read()
    line, _, cells = body.partition(b"\n")
    head = json.loads(line)
    assert (head["models"], head["regions"]) == (["a", "b"], ["eu", "us"])
    names = [head["statuses"][cell] if cell != 255 else None for cell in cells]
    assert names == ["OK", "SILENT", None, "OK"]


async def test_pods_are_named_as_missing_while_redis_is_away(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu")]))
    answer = await read(await serve(board), "/api/v1/models/fraud/regions/eu/pods")
    assert (answer["pods"], answer["pods_age_seconds"]) == ([], None)
    assert "Redis" in answer["error"]


@pytest.mark.parametrize(
    ("path", "status", "part"),
    [
        ("/api/v1/models/nothing", 404, "knows of no such model"),
        ("/api/v1/models/Bad%20Name", 400, "model name"),
        ("/api/v1/regions/nowhere", 404, "knows of no such region"),
        ("/api/v1/models/fraud/regions/nowhere/pods", 404, "knows of no such region"),
        ("/api/v1/models?limit=0", 400, "limit"),
        ("/api/v1/models?limit=1001", 400, "limit"),
        ("/api/v1/models?limit=-1", 400, "limit"),
        ("/api/v1/models?limit=x", 400, "limit"),
        ("/api/v1/models?limit=0000000019999999", 400, "limit"),
        ("/api/v1/models?limit=000000001" + "1" * 5000, 400, "limit"),
        ("/api/v1/models?after=!!", 400, "after"),
        ("/api/v1/models?after=WzEsW11d", 400, "after"),
        ("/api/v1/models?sort=age", 400, "worst, name"),
        ("/api/v1/models?status=GREEN", 400, "LATE"),
        ("/api/v1/nothing", 404, "no such page"),
        ("/static/../app.py", 404, "no such page"),
        ("/static/%2e%2e/app.py", 404, "no such page"),
    ],
)
async def test_a_bad_question_gets_a_clear_answer(
    board: Dashboard, serve: Serve, path: str, status: int, part: str
) -> None:
    said(board, now_state("fraud", [row("eu")]))
    answer = await read(await serve(board), path, status)
    assert set(answer) == {"error", "subject", "hint"}
    assert part in " ".join(answer.values())


async def test_nothing_can_be_written(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    assert (await client.post("/api/v1/verdict", data=b"{}")).status == 405


async def test_what_strangers_say_is_sent_as_text_without_what_turns_its_direction(
    board: Dashboard, serve: Serve
) -> None:
    evil = "<script>alert(1)</script>\u202egnp.exe\u2066"
    said(board, now_state("fraud", [refusing("eu", error=evil)]))
    answer = await (await serve(board)).get("/api/v1/problems")
    assert answer.headers["Content-Type"].startswith("application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert (await answer.json())["problems"][0]["reason"] == "<script>alert(1)</script>gnp.exe"


@pytest.mark.parametrize(
    ("host", "bound", "allowed", "may"),
    [
        ("localhost:9470", "127.0.0.1", (), True),
        ("127.0.0.1:9470", "127.0.0.1", (), True),
        ("[::1]:9470", "::1", (), True),
        ("evil.example:9470", "127.0.0.1", (), False),  # DNS rebinding
        ("dash.example", "127.0.0.1", ("dash.example",), True),
        ("10.0.0.5:9470", "0.0.0.0", (), True),
        ("anything.example", "10.0.0.5", (), True),
        ("other.example", "10.0.0.5", ("dash.example",), False),
        ("10.0.0.5:9470", "10.0.0.5", ("dash.example",), True),
    ],
)
def test_only_its_own_names_are_answered(host: str, bound: str, allowed: tuple[str, ...], may: bool) -> None:
    assert host_allowed(host, bound, allowed) is may


async def test_a_page_that_took_over_a_name_reads_nothing(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    assert (await client.get("/api/v1/verdict", headers={"Host": "evil.example"})).status == 421
    assert (await client.get("/livez", headers={"Host": "evil.example"})).status == 200


async def test_the_document_is_guarded_by_a_policy_that_lets_nothing_else_in(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    for path in ("/", "/models/fraud", "/regions/eu", "/refused"):
        answer = await client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert 'src="/static/main.js"' in await answer.text()


UNDESCRIBED = {"events", "grid", "dead-letters", "{version}"}
"""The last parts of paths that answer no JSON, or that need a Kafka."""


async def test_every_answer_is_described(board: Dashboard, serve: Serve, origin: MemoryStore) -> None:
    past(origin, time.time_ns() // 1000)
    said(board, now_state(MODEL, [row("eu")]))
    client = await serve(board)
    document = await read(client, "/openapi.json")
    asked = {"model": MODEL, "from": "1", "to": "2"}
    for path in document["paths"]:
        if "get" not in document["paths"][path] or path.rpartition("/")[2] in UNDESCRIBED:
            continue
        answer = await client.get(path.format(model=MODEL, region="eu", generation=3), params=asked, timeout=5)
        reference = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        described = document["components"]["schemas"][reference.rpartition("/")[2]]
        assert set(await answer.json()) == set(described["properties"])


async def test_probes_and_metrics(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    assert (await client.get("/livez")).status == 200
    assert (await client.get("/readyz")).status == 503
    said(board, now_state("fraud", [row("eu")]))
    assert (await client.get("/readyz")).status == 200
    shown = await (await client.get("/metrics")).text()
    assert "modelcast_dashboard_watchers 0.0" in shown
    assert "modelcast_dashboard_kafka_up 1.0" in shown
    assert 'modelcast_model_pairs{model="fraud",status="OK"} 1.0' in shown
    assert 'modelcast_region_pairs{region="eu",status="OK"} 1.0' in shown


async def test_metrics_ask_for_a_token_where_that_is_set(board: Dashboard, serve: Serve) -> None:
    client = await serve(board, metrics_tokens=("sha256:" + hashlib.sha256(b"scrape").hexdigest(),))
    refused = await client.get("/metrics")
    assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
    assert (await client.get("/metrics", headers={"Authorization": "Bearer scrape"})).status == 200
    assert (await client.get("/livez")).status == 200


async def test_where_reading_takes_a_token_nothing_but_probes_is_shown_without(board: Dashboard, serve: Serve) -> None:
    def digest(token: str) -> str:
        return "sha256:" + hashlib.sha256(token.encode()).hexdigest()

    people = ActionSettings(enabled=True, tokens={"anna": digest("hers")})
    client = await serve(board, read_tokens=(digest("old"), digest("new")), actions=people)
    for path in ("/", "/api/v1/models", "/api/v1/events", "/openapi.json", "/static/main.js", "/nowhere"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"X-Forwarded-User": "anna"}):
            refused = await client.get(path, headers=headers)
            assert (refused.status, refused.headers.get("WWW-Authenticate")) == (401, "Bearer"), path
            assert "with a token" in (await refused.json())["error"]
    for token in ("old", "new", "hers"):
        assert (await client.get("/api/v1/models", headers={"Authorization": f"Bearer {token}"})).status == 200
    assert (await client.get("/livez")).status == 200


async def test_who_comes_by_the_proxy_may_read(board: Dashboard, serve: Serve) -> None:
    by_proxy = ActionSettings(proxy_header="X-Forwarded-User", proxies=("127.0.0.1/32",))
    client = await serve(board, read_tokens=("sha256:" + "0" * 64,), actions=by_proxy)
    assert (await client.get("/api/v1/models", headers={"X-Forwarded-User": "anna"})).status == 200
    assert (await client.get("/api/v1/models", headers={"X-Forwarded-User": " "})).status == 401
    far = ActionSettings(proxy_header="X-Forwarded-User", proxies=("10.0.0.0/8",))
    client = await serve(board, read_tokens=("sha256:" + "0" * 64,), actions=far)
    assert (await client.get("/api/v1/models", headers={"X-Forwarded-User": "anna"})).status == 401


async def test_all_words_are_told_worst_first(board: Dashboard, serve: Serve) -> None:
    statuses = (await read(await serve(board), "/api/v1/statuses"))["statuses"]
    assert [each["status"] for each in statuses] == [status.value for status in Status]


async def test_consumer_groups_come_worst_first_with_what_their_words_mean(
    board: Dashboard, serve: Serve, groups: GroupsWatch
) -> None:
    client = await serve(board)
    empty = await read(client, "/api/v1/kafka/groups")
    assert (empty["groups"], empty["looked_at_us"]) == ([], 0)
    now_us = 1_700_000_000_000_000
    well = GroupLook("modelcast-tracker", 1, (PartitionLook("model-acks", 0, 5, 0, 5),))
    waits = PartitionLook("model-updates", 3, 5, 0, 9, unread_since_us=now_us - 412_000_000)
    groups.take((well, GroupLook("modelcast-region-eu", 0, (waits,))), now_us)
    answer = await read(client, "/api/v1/kafka/groups")
    assert [(g["group"], g["status"], g["lag_seconds"], g["lag_records"]) for g in answer["groups"]] == [
        ("modelcast-region-eu", "STOP", 412.0, 4),
        ("modelcast-tracker", "OK", 0.0, 0),
    ]
    assert {w["status"] for w in answer["statuses"]} == {status.value for status in GroupStatus}
    metrics = await (await client.get("/metrics")).text()
    assert 'modelcast_consumer_lag_seconds{group="modelcast-region-eu",topic="model-updates"} 412.0' in metrics
    assert 'modelcast_consumer_status{group="modelcast-region-eu",status="STOP"} 1.0' in metrics
    assert 'modelcast_consumer_status{group="modelcast-tracker",status="STOP"} 0.0' in metrics


async def test_a_status_finds_every_model_that_has_it_anywhere(board: Dashboard, serve: Serve) -> None:
    said(
        board,
        now_state("a", [row("eu", silent=True), fetching("us", 9)]),
        now_state("b", [row("eu", silent=True)]),
    )
    client = await serve(board)
    assert [m["model"] for m in (await read(client, "/api/v1/models?status=LAG"))["models"]] == ["a"]
    assert [m["model"] for m in (await read(client, "/api/v1/models?status=SILENT"))["models"]] == ["a", "b"]


async def test_no_answer_is_larger_than_a_mebibyte_however_long_the_reasons_are(board: Dashboard, serve: Serve) -> None:
    long = [refusing(f"r{n:04}", error="ä" * 400, rollover="x" * 400, way="y" * 200) for n in range(1_500)]
    said(board, now_state("fraud", long))
    client = await serve(board)
    for path in ("/api/v1/models/fraud", "/api/v1/refused", "/api/v1/regions"):
        body = await (await client.get(path)).read()
        assert len(body) < 2**20
        assert b'"r0000"' in body
    assert (await read(client, "/api/v1/models/fraud"))["regions_total"] == 1_500
    assert (await read(client, "/api/v1/regions"))["total"] == 1_500


async def test_long_rows_make_short_pages_and_none_is_lost(board: Dashboard, serve: Serve) -> None:
    many = [now_state(f"m{n:04}", [refusing("eu", error=f"{n} " + "z" * 3_000)]) for n in range(1_000)]
    said(board, *many)
    client, after, seen = await serve(board), "", []
    while True:
        page = await read(client, f"/api/v1/problems?limit=1000&after={after}")
        seen += [p["title"] for p in page["problems"]]
        if not (after := page["next"]):
            break
    assert sorted(seen) == [f"m{n:04}/8" for n in range(1_000)]


async def test_what_rolls_out_is_told_with_its_regions(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu", aspired_version=8, served_version=8), fetching("us", 9)]))
    (line,) = (await read(await serve(board), "/api/v1/rollouts"))["rollouts"]
    assert (line["model"], line["version"], line["serving"], line["counted"], line["slowest"]) == (
        "fraud", 8, 1, 2, "us",
    )  # fmt: skip


async def test_a_region_tells_what_its_link_its_disks_and_its_owners_do(
    board: Dashboard, serve: Serve, groups: GroupsWatch
) -> None:
    fast = fetching("eu", 10, bytes_per_second=2e6, bytes_moved=60, bytes_planned=100, owner_epoch=1)
    slow = fetching("eu", 10, bytes_per_second=1e6, bytes_moved=10, bytes_planned=100, owner_epoch=1)
    said(board, now_state("fraud", [fast]), now_state("ranker", [slow]), now_state("spam", [row("eu", owner_epoch=1)]))
    said(board, now_state("spam", [row("eu", owner_epoch=2)]))
    now_us = time.time_ns() // 1000
    for free in range(SAMPLES_MIN, 0, -1):
        beat = RegionHeartbeat("r", "eu", "w1", 1, 1, now_us + 60_000_000, disk_free_bytes=free * 10**9)
        board.take(NewsBatch("redis", Reach.LIVE, workers={"eu": (Worker(beat, now_us),)}))
        board.disks.sample(board.overview.workers, (SAMPLES_MIN - free) * SAMPLE_SECONDS)
    groups.take((GroupLook("modelcast-region-eu", 1, ()),), now_us)
    found = await read(await serve(board), "/api/v1/regions/eu")
    assert found["link_bytes_per_second"] == 3e6
    assert found["link_bytes_per_second_max"] is None
    assert [each["model"] for each in found["fetching"]] == ["ranker", "fraud"]
    assert [(each["model"], each["epoch"]) for each in found["takeovers"]] == [("spam", 2)]
    assert found["group"]["group"] == "modelcast-region-eu"
    (worker,) = found["workers"]
    assert worker["disk_full_in_seconds"] == pytest.approx(SAMPLE_SECONDS)
    assert worker["clock_ahead_seconds"] == pytest.approx(60)


async def test_when_a_status_changed_last_is_told_and_the_start_is_no_change(board: Dashboard, serve: Serve) -> None:
    client = await serve(board)
    said(board, now_state("fraud", [row("eu")]))
    assert (await read(client, "/api/v1/verdict"))["fresh"]["changed_us"] == 0
    before_us = time.time_ns() // 1000
    said(board, now_state("fraud", [fetching("eu", 10)]))
    assert (await read(client, "/api/v1/verdict"))["fresh"]["changed_us"] >= before_us


async def test_a_model_tells_of_its_candidate_with_its_share_by_region(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu"), row("us")]))
    client = await serve(board)
    assert (await read(client, "/api/v1/models/fraud"))["candidate"] is None
    regions = (
        RolloutRegion("eu", 0, 1000, 1000, True, 2, 2, 90, 10, 1, "errors 3 x"),
        RolloutRegion("us", 1, 0, 0, True),
    )
    state = RolloutState(REGISTRY, "fraud", "9", 9, "RUNNING", "canary", 8, 7, 1, regions=regions)
    board.take(NewsBatch("kafka", Reach.LIVE, rollouts=(SeenRollout(state, time.time_ns() // 1000),)))
    board.flush()
    found = (await read(client, "/api/v1/models/fraud"))["candidate"]["state"]
    assert (found["candidate"], found["control"], found["phase"]) == (8, 7, "RUNNING")
    assert [(r["region"], r["ceiling"], r["share"], r["cut"]) for r in found["regions"]] == [
        ("eu", 1000, 1000, "errors 3 x"),
        ("us", 0, 0, ""),
    ]
    assert (await read(client, "/api/v1/verdict"))["verdict"]["status"] == "REFUSED"
