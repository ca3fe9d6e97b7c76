"""The store is reached wherever boto3 reaches it: own certificates, proxies, endpoints and profiles of companies."""

import os
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.httpsession import URLLib3Session

from modelcast.infra.ablation import OWN_HTTP, VARIABLE
from modelcast.infra.stores import S3Store, open_store
from modelcast.schemas.errors import Refused, StoreUnavailable
from tests.support.network.tls import TlsFront, TunnelProxy, make_authority
from tests.support.servers.stores import S3ForTests

FROM_OUTSIDE = ("AWS_", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""What the names of variables begin with that say how a store is reached."""


@pytest.fixture(autouse=True)
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's configuration file of this test, and no other configuration."""
    for name in [name for name in os.environ if name.upper().startswith(FROM_OUTSIDE)]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "modelcast-local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "modelcast-local")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    return tmp_path / "config"


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Path]:
    return make_authority(tmp_path / "company")


@pytest.fixture
def front(s3: S3ForTests, authority: tuple[Path, Path]) -> Iterator[TlsFront]:
    with TlsFront(s3.endpoint_url, authority[1]) as one:
        yield one


def works(store: S3Store) -> None:
    """Each kind of request, small and streamed."""
    store.put("k", b"0123456789", if_absent=True)
    found = store.get("k", size_max=10)
    assert found is not None
    assert (found.body, store.head("k")) == (b"0123456789", found.info)
    with store.open("k", start=3, length=4) as stream:
        buffer = bytearray(10)
        assert stream.readinto(memoryview(buffer)) == 4
        assert buffer[:4] == b"3456"
    assert [info.key for info in store.list("")] == ["k"]
    store.delete("k")
    assert store.head("k") is None


@pytest.mark.integration
@pytest.mark.parametrize("client", ["own", "boto3"])
@pytest.mark.parametrize("named_by", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "ca_bundle"])
def test_a_companys_own_ca_is_trusted_where_boto3_trusts_it(
    s3: S3ForTests,
    front: TlsFront,
    authority: tuple[Path, Path],
    profile: Path,
    monkeypatch: pytest.MonkeyPatch,
    named_by: str,
    client: str,
) -> None:
    bucket = s3.bucket()
    if named_by == "ca_bundle":
        profile.write_text(f"[profile work]\nca_bundle = {authority[0]}\nregion = us-east-1\n")
        monkeypatch.setenv("AWS_PROFILE", "work")
    else:
        monkeypatch.setenv(named_by, str(authority[0]))
    if client == "boto3":
        monkeypatch.setenv(VARIABLE, OWN_HTTP)
    works(open_store(f"s3://{bucket}", endpoint_url=front.endpoint_url))


@pytest.mark.integration
def test_small_requests_over_tls_go_past_boto3(
    s3: S3ForTests, front: TlsFront, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority[0]))
    store = open_store(f"s3://{s3.bucket()}", endpoint_url=front.endpoint_url)
    store.put("k", b"1")

    def never(*_: object) -> None:
        raise AssertionError("boto3 was asked")

    monkeypatch.setattr(URLLib3Session, "send", never)
    found = store.get("k", size_max=1)
    assert found is not None
    assert found.body == b"1"


@pytest.mark.integration
@pytest.mark.parametrize("client", ["own", "boto3"])
@pytest.mark.parametrize("named_by", ["", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_an_unknown_ca_is_named_with_what_to_do(
    s3: S3ForTests,
    front: TlsFront,
    authority: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    named_by: str,
    client: str,
) -> None:
    """Both clients trust what boto3 trusts, and boto3 does not read curl's variables."""
    if named_by:
        monkeypatch.setenv(named_by, str(authority[0]))
    if client == "boto3":
        monkeypatch.setenv(VARIABLE, OWN_HTTP)
    store = open_store(f"s3://{s3.bucket()}", endpoint_url=front.endpoint_url)
    for act in [lambda: store.get("k", size_max=1), lambda: store.put("k", b"", if_absent=True)]:
        with pytest.raises(StoreUnavailable, match="certificate verify failed") as caught:
            act()
        assert "AWS_CA_BUNDLE" in caught.value.hint
    with pytest.raises(StoreUnavailable, match="certificate verify failed"), store.open("k", start=1, length=1):
        pass


@pytest.mark.integration
def test_a_ca_bundle_that_is_not_there_is_named(
    s3: S3ForTests, front: TlsFront, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "gone.pem"))
    with pytest.raises(StoreUnavailable, match=r"gone\.pem"):
        open_store(f"s3://{s3.bucket()}", endpoint_url=front.endpoint_url).get("k", size_max=1)


@pytest.mark.integration
def test_an_empty_ca_bundle_variable_is_named(s3: S3ForTests, front: TlsFront, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = s3.bucket()
    monkeypatch.setenv("AWS_CA_BUNDLE", "")
    with pytest.raises(Refused, match="CA bundle"):
        open_store(f"s3://{bucket}", endpoint_url=front.endpoint_url).get("k", size_max=1)


@pytest.mark.integration
def test_a_bundle_that_is_replaced_is_noticed(
    s3: S3ForTests, front: TlsFront, authority: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, _ = make_authority(tmp_path / "former")
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes(other.read_bytes())
    monkeypatch.setenv("AWS_CA_BUNDLE", str(bundle))
    store = open_store(f"s3://{s3.bucket()}", endpoint_url=front.endpoint_url)
    with pytest.raises(StoreUnavailable, match="certificate verify failed"):
        store.head("k")
    bundle.write_bytes(other.read_bytes() + authority[0].read_bytes())
    works(store)


@pytest.mark.integration
def test_a_bundle_that_is_named_later_counts_for_stores_opened_then(
    s3: S3ForTests, front: TlsFront, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a notebook."""
    bucket = f"s3://{s3.bucket()}"
    with pytest.raises(StoreUnavailable):
        open_store(bucket, endpoint_url=front.endpoint_url).head("k")
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority[0]))
    works(open_store(bucket, endpoint_url=front.endpoint_url))


@pytest.mark.integration
@pytest.mark.parametrize("exempt", [False, True])
def test_a_proxy_is_used_unless_the_store_is_exempt(
    s3: S3ForTests, front: TlsFront, authority: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, exempt: bool
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", str(authority[0]))
    with TunnelProxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        if exempt:
            monkeypatch.setenv("NO_PROXY", "example.org,127.0.0.1")
        works(open_store(f"s3://{s3.bucket()}", endpoint_url=front.endpoint_url))
        assert set(proxy.asked) == (set() if exempt else {f"127.0.0.1:{front.port}"})


@pytest.mark.integration
@pytest.mark.parametrize("named_by", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "profile", "services"])
def test_an_endpoint_of_the_environment_or_the_profile_is_used(
    s3: S3ForTests, profile: Path, monkeypatch: pytest.MonkeyPatch, named_by: str
) -> None:
    url = s3.endpoint_url
    if named_by == "profile":
        profile.write_text(f"[default]\nendpoint_url = {url}\n")
    elif named_by == "services":
        profile.write_text(f"[default]\nservices = here\n[services here]\ns3 =\n  endpoint_url = {url}\n")
    else:
        monkeypatch.setenv(named_by, url)
    works(open_store(f"s3://{s3.bucket()}"))


@pytest.mark.parametrize(
    "lines",
    [
        "region = eu-central-1",
        "region = eu-central-1\nuse_fips_endpoint = true",
        "region = eu-central-1\nuse_dualstack_endpoint = true",
        "region = us-east-1\ns3 =\n  addressing_style = path",
        "region = us-east-1\ns3 =\n  use_accelerate_endpoint = true",
        "endpoint_url = http://store.example:9000\ns3 =\n  addressing_style = virtual",
        "endpoint_url = http://store.example:9000/s3",
    ],
)
def test_the_profile_says_where_a_bucket_is(profile: Path, lines: str) -> None:
    profile.write_text(f"[default]\n{lines}\n")
    asked = boto3.session.Session().client("s3", region_name=None if "region" in lines else "us-east-1")
    expected = asked.generate_presigned_url("get_object", {"Bucket": "my-bucket", "Key": "x"}).partition("?")[0]
    direct = open_store("s3://my-bucket")._direct
    assert direct is not None
    assert direct._url("x") == expected
