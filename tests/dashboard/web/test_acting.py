"""Commands over the API: they stand in the log as any others do, or say what they would change."""

import hashlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.test_utils import TestClient

from modelcast.dashboard.actions.attempts import BURST, PERIOD_SECONDS
from modelcast.dashboard.dashboard import Dashboard
from modelcast.infra.registry.audit_trail import AuditTrail
from modelcast.infra.settings_dashboard import ActionSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from tests.dashboard.makers import now_state, row
from tests.dashboard.web.conftest import said
from tests.producers.fakes import SETTINGS, Heard
from tests.producers.published import log_of

Serve = Callable[..., Awaitable[TestClient]]
TOKEN = "a" * 43
ENABLED = ActionSettings(enabled=True, tokens={"anna": "sha256:" + hashlib.sha256(TOKEN.encode()).hexdigest()})
PATH = "/api/v1/models/fraud/commands"


@pytest.fixture
async def client(board: Dashboard, serve: Serve, origin: MemoryStore, tmp_path: Path) -> TestClient:
    """Three versions of fraud in the origin; the tracker knows eu and us."""
    with Publisher(SETTINGS, store=origin, announcer=Heard()) as publisher:
        for number in (1, 2, 3):
            (tmp_path / "model").write_text(str(number))
            publisher.publish("fraud", tmp_path / "model")
    said(board, now_state("fraud", [row("eu"), row("us")]))
    return await serve(board, actions=ENABLED)


async def ask(
    client: TestClient, status: int = 200, *, token: str = TOKEN, headers: dict[str, str] | None = None, **body: Any
) -> dict[str, Any]:
    sent = {"Authorization": f"Bearer {token}", **(headers or {})}
    answer = await client.post(PATH, json=body, headers=sent)
    assert answer.status == status, await answer.text()
    assert answer.headers["Cache-Control"] == "no-store"
    return dict(await answer.json())


async def test_a_dry_run_says_what_would_change_and_writes_nothing(client: TestClient, origin: MemoryStore) -> None:
    effect = await ask(client, kind="pin", version=1, regions=["eu"], expected_generation=3, dry_run=True)
    assert effect["changes"] == [{"region": "eu", "version_from": 3, "version_to": 1}]
    assert (effect["generation"], effect["regions"], effect["written"]) == (4, 2, False)
    assert log_of(origin).head == 3


async def test_a_command_stands_in_the_log_with_who_asked(client: TestClient, origin: MemoryStore) -> None:
    effect = await ask(client, kind="rollback", version=2, regions=[], reason="drift", expected_generation=3)
    assert [(c["region"], c["version_to"]) for c in effect["changes"]] == [("eu", 2), ("us", 2)]
    assert (effect["written"], effect["requested_by"]) == (True, "anna")
    log = log_of(origin)
    assert (log.head, log.aspired_version("eu")) == (4, 2)
    entry = AuditTrail(origin).read(since_us=0, last=1)[0]
    assert (entry.who, entry.action, entry.result, entry.generation) == ("anna", "rollback", "done", 4)
    assert entry.source == "a dashboard, asked from 127.0.0.1"


async def test_what_was_decided_on_an_older_log_is_refused(client: TestClient, origin: MemoryStore) -> None:
    await ask(client, kind="pause", expected_generation=3)
    fault = await ask(client, 409, kind="unpin", expected_generation=3)
    assert fault["error"] == "the log is at generation 4, not 3"
    assert log_of(origin).head == 4


async def test_what_the_log_holds_already_is_not_written_again(client: TestClient, origin: MemoryStore) -> None:
    effect = await ask(client, kind="unpin", expected_generation=3)
    assert (effect["generation"], effect["written"], effect["changes"]) == (0, False, [])
    assert log_of(origin).head == 3


async def test_a_reload_tells_how_many_load_again(client: TestClient) -> None:
    assert (await ask(client, kind="reload", expected_generation=3, dry_run=True))["loads_again"] == 2
    one = await ask(client, kind="reload", regions=["us"], expected_generation=3, dry_run=True)
    assert one["loads_again"] == 1


@pytest.mark.parametrize(
    ("body", "status", "what"),
    [
        ({"kind": "pin", "version": 9, "expected_generation": 3}, 404, "fraud/9"),
        ({"kind": "pin", "version": 1, "regions": ["mars"], "expected_generation": 3}, 404, "no such region"),
        ({"kind": "pin", "expected_generation": 3}, 400, "needs a version"),
        ({"kind": "quarantine", "version": 1, "expected_generation": 3}, 400, "kind is 'quarantine'"),
        ({"kind": "pin", "version": 1}, 400, "expected_generation is no generation"),
        ({"kind": "pin", "version": True, "expected_generation": 3}, 400, "version is no version"),
        ({"kind": "pin", "version": 1, "regions": "eu", "expected_generation": 3}, 400, "regions is no list"),
        ({"kind": "pin", "version": 1, "expected_generation": 3, "force": True}, 400, "a command has no 'force'"),
        ({"kind": "pin", "version": 1, "expected_generation": 3, "reason": "x" * 2000}, 400, "a reason of 2000"),
        ({}, 400, "kind is 'None'"),
    ],
)
async def test_what_is_wrong_with_a_command_is_said(
    client: TestClient, origin: MemoryStore, body: dict[str, Any], status: int, what: str
) -> None:
    fault = await ask(client, status, **body)
    assert what in f"{fault['error']} {fault['subject']}"
    assert fault["hint"]
    assert log_of(origin).head == 3


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        ("wrong", {}, 401),
        (TOKEN, {"Origin": "https://evil.example"}, 403),
        (TOKEN, {"Sec-Fetch-Site": "cross-site"}, 403),
        (TOKEN, {"Content-Type": "text/plain"}, 415),
        ("", {"X-Forwarded-User": "root"}, 401),
    ],
)
async def test_strangers_and_other_sites_change_nothing(
    client: TestClient, origin: MemoryStore, token: str, headers: dict[str, str], status: int
) -> None:
    await ask(client, status, token=token, headers=headers, kind="pause", expected_generation=3)
    assert log_of(origin).head == 3


async def test_bytes_that_are_no_json_are_refused(client: TestClient) -> None:
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    for body in (b"", b"{", b"[]", b"null", b"\xff"):
        assert (await client.post(PATH, data=body, headers=headers)).status == 400
    assert (await client.post(PATH.replace("fraud", "none"), data=b"{}", headers=headers)).status == 404


async def test_a_dashboard_that_is_only_read_says_so(board: Dashboard, serve: Serve) -> None:
    said(board, now_state("fraud", [row("eu")]))
    client = await serve(board)
    answer = await client.post(PATH, json={}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status, (await answer.json())["error"]) == (403, "this dashboard is only read")
    told = await (await client.get("/api/v1/actions")).json()
    assert told == {"enabled": False, "by_proxy": False, "kinds": []}


async def test_what_a_verb_takes_is_told_by_the_table_of_verbs(client: TestClient) -> None:
    told = await (await client.get("/api/v1/actions")).json()
    takes = {each.pop("kind"): each for each in told["kinds"]}
    assert takes["PIN"] == {"takes_version": True, "needs_version": True, "by_region": True}
    assert takes["ROLLBACK"] == {"takes_version": True, "needs_version": False, "by_region": True}
    assert takes["RELEASE"] == {"takes_version": True, "needs_version": True, "by_region": False}
    assert takes["PAUSE"] == {"takes_version": False, "needs_version": False, "by_region": True}


async def test_a_name_from_a_listed_proxy_stands_in_the_log(
    board: Dashboard, serve: Serve, client: TestClient, origin: MemoryStore
) -> None:
    behind = ActionSettings(enabled=True, proxy_header="X-Forwarded-User", proxies=("127.0.0.0/8",))
    proxied = await serve(board, actions=behind)
    headers = {"X-Forwarded-User": "bert@example", "Sec-Fetch-Site": "same-origin"}
    answer = await proxied.post(PATH, json={"kind": "pause", "expected_generation": 3}, headers=headers)
    assert (await answer.json())["requested_by"] == "bert@example"
    assert log_of(origin).head == 4


async def test_who_tries_many_tokens_is_told_when_to_come_back(client: TestClient, origin: MemoryStore) -> None:
    for _ in range(BURST):
        await ask(client, 401, token="wrong", kind="pause", expected_generation=3)
    answer = await client.post(PATH, json={}, headers={"Authorization": f"Bearer {TOKEN}"})
    assert answer.status == 429
    assert 0 < int(answer.headers["Retry-After"]) <= PERIOD_SECONDS
    assert (await answer.json())["hint"].startswith("wait ")
    assert log_of(origin).head == 3


async def test_nobody_sends_a_dead_letter_back_who_may_not_and_bad_requests_say_what_is_wrong(
    board: Dashboard, serve: Serve, client: TestClient
) -> None:
    path, known = "/api/v1/dead-letters/7/replay", {"Authorization": f"Bearer {TOKEN}"}
    only_read = await serve(board)
    assert (await only_read.post(path, json={}, headers=known)).status == 403
    assert (await client.post(path, json={})).status == 401
    assert (await client.post(path, json={}, headers={**known, "Origin": "https://evil.example"})).status == 403
    assert (await client.post(path, data=b"{}", headers=known)).status == 415
    for body, what in (
        ({}, "expected_replays is no number"),
        ({"expected_replays": -1}, "expected_replays is no number"),
        ({"expected_replays": 0, "dry_run": "yes"}, "dry_run true or false"),
        ({"expected_replays": 0, "offset": 8}, "a replay has no 'offset'"),
    ):
        answer = await client.post(path, json=body, headers=known)
        assert answer.status == 400
        assert what in (await answer.json())["error"]
    for offset in ("-7", "0" * 20 + "9" * 5000):
        asked = await client.post(path.replace("7", offset), json={"expected_replays": 0}, headers=known)
        assert asked.status == 404
