"""What a publication comes to follows from the log alone."""

from dataclasses import replace

import pytest

from modelcast.producers.planning.publication import JUMP_MAX, Announce, Claim, Conflict, entry_of, plan_publication
from modelcast.producers.planning.request import PublishRequest
from modelcast.schemas import keys
from modelcast.schemas.errors import Refused
from modelcast.schemas.log.fold import ModelLog
from modelcast.schemas.names import VERSION_MAX
from modelcast.schemas.records import ALL_REGIONS, ArtifactRef, CommandKind, CommandTarget, ModelCommand


def asked(content: str, version: int | None = None) -> PublishRequest:
    digest = "sha256:" + content * 64
    return PublishRequest("fraud", ArtifactRef("origin", keys.manifest(digest), digest, 1, 1, ""), version)


def published(log: ModelLog, request: PublishRequest, event_id: str) -> ModelLog:
    plan = plan_publication(log, request, event_id)
    assert isinstance(plan, Claim)
    return log.apply(entry_of(request, plan, registry_id="r", event_id=event_id, now_us=0))


@pytest.fixture
def log() -> ModelLog:
    """Version 1 of bytes a by event e1, version 2 of bytes b by e2."""
    return published(published(ModelLog("fraud", "r"), asked("a"), "e1"), asked("b"), "e2")


def test_new_bytes_take_the_next_version_or_the_one_that_was_named(log: ModelLog) -> None:
    assert plan_publication(ModelLog("fraud", "r"), asked("a"), "e1") == Claim(1, 1)
    assert plan_publication(log, asked("c"), "new") == Claim(3, 3)
    assert plan_publication(log, asked("b", 9), "new") == Claim(9, 3)


def test_the_latest_versions_bytes_are_announced_again(log: ModelLog) -> None:
    assert plan_publication(log, asked("b"), "new") == Announce(2, 2)
    assert plan_publication(log, asked("b"), None) == Announce(2, 2)
    assert plan_publication(log, asked("a"), "new") == Claim(3, 3)
    assert plan_publication(log, asked("a", 1), "new") == Announce(1, 1)


def test_what_an_earlier_run_claimed_is_completed_whatever_came_after_it(log: ModelLog) -> None:
    assert plan_publication(log, asked("a"), "e1") == Announce(1, 1, completes=True)
    assert plan_publication(log, asked("a", 1), "e1") == Announce(1, 1, completes=True)


def test_a_named_version_leaves_out_at_most_a_thousand_unless_that_is_said(log: ModelLog) -> None:
    assert plan_publication(log, asked("c", 2 + JUMP_MAX), "new") == Claim(1002, 3)
    for version in (3 + JUMP_MAX, 2**31 - 1):
        plan = plan_publication(log, asked("c", version), "new")
        assert isinstance(plan, Conflict)
        assert "--allow-version-jump" in plan.hint
        meant = replace(asked("c", version), allow_version_jump=True)
        assert plan_publication(log, meant, "new") == Claim(version, 3)
    first = plan_publication(ModelLog("fraud", "r"), asked("a", 1 + JUMP_MAX), "new")
    assert isinstance(first, Conflict)


@pytest.mark.parametrize("request_", [asked("c", 2), asked("c", 1)])
def test_a_version_never_changes(log: ModelLog, request_: PublishRequest) -> None:
    plan = plan_publication(log, request_, "new")
    assert isinstance(plan, Conflict)
    with pytest.raises(Refused, match="exists with other bytes"):
        raise plan.error()


def test_versions_only_go_up(log: ModelLog) -> None:
    later = published(log, asked("c", 9), "e3")
    plan = plan_publication(later, asked("d", 5), "new")
    assert isinstance(plan, Conflict)
    assert (plan.message, plan.subject) == ("version 9 exists, and versions only go up", "fraud/5")
    assert "10" in plan.hint


def quarantined(log: ModelLog, version: int) -> ModelLog:
    target = CommandTarget(ALL_REGIONS, version)
    kind = CommandKind.QUARANTINE
    return log.apply(ModelCommand("r", f"q{log.head}", "fraud", log.head + 1, kind, (target,), 0, "ann"))


@pytest.mark.parametrize("version", [None, 3])
def test_quarantined_bytes_do_not_come_back_under_another_version(log: ModelLog, version: int | None) -> None:
    after = quarantined(log, 1)
    plan = plan_publication(after, asked("a", version), "new")
    assert isinstance(plan, Conflict)
    assert (plan.subject, plan.commanded_at) == ("fraud/1", 3)
    assert "modelcast release fraud/1" in plan.hint
    assert plan_publication(after, asked("a", 1), "new") == Announce(1, 1)
    assert plan_publication(after, asked("c"), "new") == Claim(3, 4)


def test_no_version_follows_the_highest(log: ModelLog) -> None:
    full = published(log, replace(asked("c", VERSION_MAX), allow_version_jump=True), "e3")
    plan = plan_publication(full, asked("d"), "new")
    assert isinstance(plan, Conflict)
    assert (plan.subject, "another model" in plan.hint) == (f"fraud/{VERSION_MAX}", True)
    assert plan_publication(full, asked("c"), "new") == Announce(VERSION_MAX, 3)
