"""Values as training code has them are taken where there is no doubt, else refused before anything is read."""

import datetime
import fractions
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path

import numpy as np
import pytest

from modelcast.producers.planning.arguments import (
    activation_of,
    labels_of,
    metrics_of,
    number_of_seconds,
    region_names_of,
    text_of,
    verb_of,
)
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_model, check_version
from modelcast.schemas.records import Activation, CommandKind


class Stage(StrEnum):
    CANARY = "canary"


class Tensor:
    """As torch has it: a number of no dimensions."""

    ndim = 0

    def __float__(self) -> float:
        return 0.5

    def item(self) -> float:
        return 0.5


@pytest.mark.parametrize(
    "value",
    [0.5, np.float32(0.5), np.float16(0.5), np.array(0.5), Decimal("0.5"), fractions.Fraction(1, 2), Tensor()],
)
def test_a_metric_is_whatever_has_a_finite_number(value: object) -> None:
    found = metrics_of({"auc": value})
    assert found == {"auc": 0.5}
    assert type(found["auc"]) is float


def test_whole_numbers_and_truth_are_metrics_too() -> None:
    assert metrics_of({"epochs": np.int64(3), "rows": 10**6, "early": True}) == {"epochs": 3, "rows": 1e6, "early": 1}


@pytest.mark.parametrize(
    "value",
    ["0.5", None, float("inf"), np.float32("nan"), 10**400, 1j, np.complex64(1), [0.5], np.zeros(3), Decimal("NaN")],
)
def test_what_has_no_finite_number_is_no_metric(value: object) -> None:
    with pytest.raises(UsageError, match="'auc'"):
        metrics_of({"auc": value})


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("4f2c1a", "4f2c1a"),
        (np.str_("4f2c1a"), "4f2c1a"),
        (Stage.CANARY, "canary"),
        (7, "7"),
        (np.int32(7), "7"),
        (np.bool_(True), "True"),
        (np.float32(0.5), "0.5"),
        (True, "True"),
        (Decimal("1.10"), "1.10"),
        (datetime.date(2026, 11, 30), "2026-11-30"),
        (datetime.datetime(2026, 11, 30, 7, tzinfo=datetime.UTC), "2026-11-30T07:00:00+00:00"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("a/b"), "a/b"),
    ],
)
def test_a_label_is_whatever_has_a_plain_text(value: object, text: str) -> None:
    found = labels_of({"it": value})
    assert found == {"it": text}
    assert type(found["it"]) is str
    assert labels_of({value: "it"}) == {text: "it"}


@pytest.mark.parametrize("value", [None, b"bytes", ["a"], {"a": 1}, object(), "half \ud83d", "x" * 4097, np.zeros(2)])
def test_what_has_none_is_no_label(value: object) -> None:
    with pytest.raises(UsageError, match="git"):
        labels_of({"git": value})
    with pytest.raises(UsageError):
        text_of("reason", value)


@pytest.mark.parametrize("convert", [metrics_of, labels_of])
@pytest.mark.parametrize("values", [7, "auc", ["auc"], [1, 2]])
def test_what_has_no_names_is_refused(convert: Callable[[object], object], values: object) -> None:
    with pytest.raises(UsageError):
        convert(values)


def test_nothing_means_none() -> None:
    assert (metrics_of(None), labels_of({}), region_names_of(None), region_names_of([])) == ({}, {}, (), ())


@pytest.mark.parametrize("regions", ["eu", ["eu"], ("eu",), {"eu"}, iter(["eu"]), np.array(["eu"])])
def test_a_text_is_one_region(regions: object) -> None:
    assert region_names_of(regions) == ("eu",)


@pytest.mark.parametrize("regions", ["EU", "eu,us", "", b"eu", 7, [7], ["eu", None], {"eu": 1}, [["eu"]]])
def test_what_names_no_region_is_refused(regions: object) -> None:
    with pytest.raises(UsageError):
        region_names_of(regions)


def test_an_activation_is_named_in_any_case() -> None:
    assert activation_of("staged") is activation_of(Activation.STAGED) is Activation.STAGED
    for value in ("later", None, 1, True):
        with pytest.raises(UsageError, match="staged"):
            activation_of(value)


class Unspeakable:
    """A value whose own text fails."""

    def __repr__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("value", [10**5000, "a\0b", Unspeakable(), "\ud800"], ids=["long", "nul", "no repr", "half"])
def test_what_has_no_text_is_refused_by_its_arguments_name(value: object) -> None:
    with pytest.raises(UsageError, match="label 'git'"):
        labels_of({"git": value})
    with pytest.raises(UsageError, match="reason"):
        text_of("reason", value)
    with pytest.raises(UsageError, match="bad version"):
        check_version(value)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="bad model name"):
        check_model(value)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="region"):
        region_names_of(value)
    with pytest.raises(UsageError, match="activation"):
        activation_of(value)


WRONG_SECONDS = ["5m", None, -1, float("nan"), True, [3], 10**5000, Unspeakable()]


@pytest.mark.parametrize("value", WRONG_SECONDS, ids=range(len(WRONG_SECONDS)))
def test_what_is_no_number_of_seconds_is_refused_by_its_arguments_name(value: object) -> None:
    with pytest.raises(UsageError, match="timeout is"):
        number_of_seconds("timeout", value)


def test_seconds_may_be_of_any_type_of_number() -> None:
    assert [number_of_seconds("timeout", value) for value in (0, 300, np.float32(2.5), 1e9)] == [0.0, 300.0, 2.5, 1e9]


def test_a_verb_goes_by_its_name_in_any_case_and_what_is_none_is_named_with_those_that_there_are() -> None:
    assert verb_of("pin") is verb_of("PIN") is verb_of(CommandKind.PIN) is CommandKind.PIN
    for value in ("pinn", "", None, 7, CommandKind.ACCEPT, Unspeakable()):
        with pytest.raises(UsageError, match="bad verb") as caught:
            verb_of(value)
        assert "activate, rollback, pin" in caught.value.hint
