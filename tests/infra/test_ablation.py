"""One variable turns mechanisms off, for benchmarks."""

import pytest

from modelcast.infra.ablation import BUILT_IN, OWN_HTTP, VARIABLE, Mechanisms, without
from modelcast.infra.stores import open_store
from modelcast.infra.variables import unknown_variables
from tests.support.servers.stores import S3ForTests


def test_all_is_on_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert not any(map(without, BUILT_IN.names))


@pytest.mark.parametrize("value", [OWN_HTTP, f" {OWN_HTTP} ,"])
def test_what_the_variable_names_is_off(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert without(OWN_HTTP)
    assert unknown_variables({VARIABLE: value}) == []


@pytest.mark.parametrize(("value", "asked"), [("own-htpp", OWN_HTTP), ("", "own-htpp")])
def test_a_name_that_does_not_exist_is_an_error(monkeypatch: pytest.MonkeyPatch, value: str, asked: str) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match="no such mechanism: own-htpp"):
        without(asked)


def test_each_package_answers_for_its_own_names(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Mechanisms("other", frozenset({"other/leap", "other/hop"}))
    monkeypatch.setenv(VARIABLE, f"{OWN_HTTP}, other/leap")
    assert without(OWN_HTTP)
    assert (other.without("other/leap"), other.without("other/hop")) == (True, False)
    monkeypatch.setenv(VARIABLE, "other/laep")
    assert not without(OWN_HTTP)
    with pytest.raises(ValueError, match="no such mechanism: other/laep"):
        other.without("other/hop")


@pytest.mark.integration
def test_without_own_http_boto3_does_all(s3: S3ForTests, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, OWN_HTTP)
    monkeypatch.setattr("modelcast.infra.stores.s3.direct.ConnectionPool", None)
    store = open_store(
        f"s3://{s3.bucket()}",
        endpoint_url=s3.endpoint_url,
        region=s3.region,
        access_key_id=s3.access_key_id,
        secret_access_key=s3.secret_access_key,
    )
    store.put("k", b"small", if_absent=True)
    found = store.get("k", size_max=5)
    assert found is not None
    assert (found.body, store.head("k")) == (b"small", found.info)
    store.delete("k")
    assert store.head("k") is None
