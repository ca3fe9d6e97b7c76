"""The embedded store's objects outlive its process, each as it was last acknowledged."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from modelcast.infra.local.servers.s3 import S3Server, client_for
from modelcast.infra.local.servers.s3_kept import Touched, touched


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (("PUT", "/bucket/a/b c", ""), Touched("bucket", "a/b c")),
        (("DELETE", "/bucket/a", ""), Touched("bucket", "a")),
        (("POST", "/bucket/a", "uploadId=7"), Touched("bucket", "a")),
        (("POST", "/bucket", "delete"), Touched("bucket", "")),
        (("PUT", "/bucket", ""), Touched("bucket", "")),
        (("GET", "/bucket/a", ""), None),
        (("POST", "/bucket/a", "uploads"), None),
        (("PUT", "/bucket/a", "partNumber=1&uploadId=7"), None),
        (("POST", "/", ""), None),
    ],
)
def test_what_a_request_may_change(request_: tuple[str, str, str], expected: Touched | None) -> None:
    assert touched(*request_) == expected


@pytest.fixture
def server(tmp_path: Path) -> Any:
    server = S3Server.launch(tmp_path, keep=True)
    server.wait_ready()
    server.create_buckets(["bucket"])
    yield server
    server.stop()


def copied(client: Any) -> None:
    client.copy_object(Bucket="bucket", Key="k", CopySource={"Bucket": "bucket", "Key": "other"})


def in_parts(client: Any) -> None:
    upload = client.create_multipart_upload(Bucket="bucket", Key="k")["UploadId"]
    part = client.upload_part(Bucket="bucket", Key="k", PartNumber=1, UploadId=upload, Body=b"bytes")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(Bucket="bucket", Key="k", UploadId=upload, MultipartUpload=parts)


@pytest.mark.integration
@pytest.mark.parametrize("put", [copied, in_parts])
def test_an_object_is_there_after_a_kill_however_it_came(server: S3Server, put: Callable[[Any], None]) -> None:
    client = client_for(server.endpoint_url)
    client.put_object(Bucket="bucket", Key="other", Body=b"bytes")
    put(client)
    before = client.head_object(Bucket="bucket", Key="k")
    server.child.kill()
    server.restart()
    after = client_for(server.endpoint_url).get_object(Bucket="bucket", Key="k")
    assert (after["Body"].read(), after["ETag"]) == (b"bytes", before["ETag"])


@pytest.mark.integration
def test_what_was_deleted_or_replaced_stays_so(server: S3Server) -> None:
    client = client_for(server.endpoint_url)
    for key in ("one", "two", "three"):
        client.put_object(Bucket="bucket", Key=key, Body=b"old")
    client.put_object(Bucket="bucket", Key="one", Body=b"new")
    client.delete_object(Bucket="bucket", Key="two")
    client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "three"}]})
    server.child.kill()
    server.restart()
    client = client_for(server.endpoint_url)
    assert client.get_object(Bucket="bucket", Key="one")["Body"].read() == b"new"
    for key in ("two", "three"):
        with pytest.raises(ClientError, match="NoSuchKey"):
            client.get_object(Bucket="bucket", Key=key)
