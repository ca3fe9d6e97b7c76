"""What a policy allows, and what is wrong with one."""

from dataclasses import replace

import pytest

from modelcast.schemas.trust.policy import KEYS_MAX, PATHS_MAX, TrustPolicy, TrustRole, faults, matches, why_not_allowed

KEYS = {name: f"public-{name}" for name in ("ann", "bob", "eve", "ops")}


def role(name: str, keys: str, *paths: str, threshold: int = 1, terminating: bool = False) -> TrustRole:
    return TrustRole(name, frozenset(keys.split()), threshold, paths, terminating)


def policy(*roles: TrustRole) -> TrustPolicy:
    return TrustPolicy(1, 0, KEYS, roles)


@pytest.mark.parametrize(
    ("pattern", "subject", "expected"),
    [
        ("publish/*/immediate/*", "publish/fraud/immediate/eu", True),
        ("publish/*/immediate/*", "publish/fraud/staged/eu", False),
        ("publish/prod-*/*/*", "publish/prod-fraud/staged/~all", True),
        ("publish/*", "publish/fraud/immediate/eu", False),
        ("*/*", "beat/eu", True),
        ("*/*", "ack/eu/fraud", False),
        ("command/pin/fraud/e?", "command/pin/fraud/eu", True),
        ("command/pin/fraud/eu", "command/pin/fraud/EU", False),
    ],
)
def test_a_pattern_matches_part_by_part(pattern: str, subject: str, expected: bool) -> None:
    assert matches(pattern, subject) is expected


def test_one_region_is_not_everywhere() -> None:
    us = policy(role("us", "ops", "command/*/*/us"))
    assert why_not_allowed(us, ("command/pin/fraud/us",), frozenset({"ops"})) == ""
    assert "nobody" in why_not_allowed(us, ("command/pin/fraud/us", "command/pin/fraud/eu"), frozenset({"ops"}))
    assert "nobody" in why_not_allowed(us, ("command/pause/fraud/~all",), frozenset({"ops"}))


def test_a_threshold_counts_keys_of_the_role_alone() -> None:
    prod = policy(role("prod", "ann bob", "publish/*/immediate/*", threshold=2))
    asked = ("publish/fraud/immediate/~all",)
    assert why_not_allowed(prod, asked, frozenset({"ann", "bob"})) == ""
    assert why_not_allowed(prod, asked, frozenset({"ann", "eve"})).endswith("takes 2 of 'prod'; 1 signed")
    assert "may not say" in why_not_allowed(prod, asked, frozenset({"eve"}))


def test_the_first_terminating_role_that_matches_ends_the_search() -> None:
    strict = role("prod", "ann bob", "publish/prod-*/*/*", threshold=2, terminating=True)
    wide = role("dev", "eve", "publish/*/*/*")
    asked = ("publish/prod-fraud/staged/~all",)
    assert why_not_allowed(policy(strict, wide), asked, frozenset({"eve"})) != ""
    assert why_not_allowed(policy(wide, strict), asked, frozenset({"eve"})) == ""
    assert why_not_allowed(policy(replace(strict, terminating=False), wide), asked, frozenset({"eve"})) == ""


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (TrustPolicy(1, 0, {"a": "same", "b": "same"}, (role("r", "a b", "x", threshold=2),)), "one and the same"),
        (policy(role("r", "ann", "x"), role("r", "bob", "x")), "stands twice"),
        (policy(role("r", "ann mallory", "x")), "mallory"),
        (policy(role("r", "ann", "x", threshold=2)), "2 of 1 keys"),
        (policy(role("r", "ann", "x", threshold=0)), "0 of 1 keys"),
        (policy(role("r", "ann")), "covers no path"),
        (policy(role("r", "ann", *["x"] * (PATHS_MAX + 1))), "paths in a role"),
        (TrustPolicy(1, 0, {str(n): str(n) for n in range(KEYS_MAX + 1)}, ()), "keys, more than"),
    ],
)
def test_a_policy_that_may_not_be_used_says_why(bad: TrustPolicy, said: str) -> None:
    assert any(said in fault for fault in faults(bad))
    assert faults(policy(role("r", "ann bob", "x", threshold=2))) == []
