"""Names and references: what people may type, and what they get for what they may not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.schemas.errors import ExitCode, UsageError
from modelcast.schemas.names import VERSION_MAX, Reference, check_alias, check_model, check_region, check_version
from tests.support.records.record_strategies import aliases, model_names, versions


@given(
    st.one_of(
        st.builds(Reference, model_names),
        st.builds(Reference, model_names, version=versions),
        st.builds(Reference, model_names, alias=aliases),
    )
)
def test_a_reference_reads_back_as_it_was_written(reference: Reference) -> None:
    assert Reference.parse(str(reference)) == reference
    assert Reference.parse(f"models:/{reference}") == reference


@given(st.text(max_size=30))
def test_any_text_is_a_reference_or_a_usage_error(text: str) -> None:
    try:
        reference = Reference.parse(text)
    except UsageError as error:
        assert error.hint
        assert error.exit_code is ExitCode.USAGE
    else:
        assert check_model(reference.model) == reference.model
        assert reference.version is None or reference.alias is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/7",
        "@champion",
        "fraud/",
        "fraud/0",
        "fraud/-1",
        "fraud/7.0",
        "fraud/٧",
        "fraud/ 7",
        "fraud/2147483648",
        "fraud/99999999999999999999",
        "fraud/7/8",
        "fraud/7@champion",
        "fraud@",
        "fraud@Champion",
        "fraud@7",
        "Fraud",
        "-fraud",
        "fraud\n",
        "fraud/7\n",
        "a_b",
        "x" * 64,
        "models:/",
        "models:/models:/fraud",
        "s3://bucket/fraud",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Reference.parse(text)


def test_leading_zeros_name_the_same_version() -> None:
    assert Reference.parse("fraud/007") == Reference("fraud", version=7)


@pytest.mark.parametrize("check", [check_model, check_region])
def test_the_longest_name_is_taken_and_one_more_is_not(check: object) -> None:
    assert callable(check)
    assert check("x" * 63) == "x" * 63
    with pytest.raises(UsageError):
        check("x" * 64)


def test_a_long_bad_name_is_shown_short() -> None:
    with pytest.raises(UsageError) as refused:
        check_model("X" * 10_000)
    assert len(str(refused.value)) < 250


@pytest.mark.parametrize("version", [0, -1, VERSION_MAX + 1, True])
def test_what_is_no_version_is_refused(version: int) -> None:
    with pytest.raises(UsageError):
        check_version(version)


def test_versions_go_from_one_to_the_largest() -> None:
    assert check_version(1) == 1
    assert check_version(VERSION_MAX) == VERSION_MAX


@pytest.mark.parametrize("alias", ["champion", "a", "shadow_2", "canary-eu"])
def test_an_alias_starts_with_a_letter(alias: str) -> None:
    assert check_alias(alias) == alias
    with pytest.raises(UsageError):
        check_alias("1" + alias)
