"""``ObjectStore`` on S3 and what speaks it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from http.client import HTTPResponse
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from modelcast.infra.ablation import OWN_HTTP, without
from modelcast.infra.forks import renew_in_children
from modelcast.infra.stores.s3_clients import Clients, Endpoint, clients_of
from modelcast.infra.stores.s3_direct import LINK_ERRORS, DirectRequests, last_modified_us
from modelcast.infra.stores.s3_errors import of_status, translated, unavailable
from modelcast.infra.stores.s3_upload import PIECE_BYTES, STREAM_MAX_BYTES, growing, read_checked, upload_file
from modelcast.schemas.errors import ContentError, ModelcastError, NotFound, UsageError
from modelcast.schemas.ports import ByteStream, ObjectInfo, PreconditionFailed, Progress, Ready, StoredObject

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3.type_defs import (
        GetObjectRequestTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
        PutObjectRequestTypeDef,
    )

_REDIRECTS = {301, 302, 307, 400}  # a bucket in another region; boto3 finds it
SMALL_BYTES = 256 * 1024
"""What a slow link still carries within one time-out; larger bodies are sent by boto3, patiently."""
PATIENT_BYTES = 64 * 1024
_CODE = re.compile(rb"<Code>(\w{1,80})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")


def open_store(
    url: str,
    *,
    endpoint_url: str | None = None,
    region: str | None = None,
    access_key_id: str | None = None,
    secret_access_key: str | None = None,
) -> "S3Store":
    """The store at ``s3://bucket/prefix``. Opens no connection yet.

    Args:
        url: bucket and prefix.
        endpoint_url: for stores other than AWS (``http://127.0.0.1:9000``).
        region: signing region; without it that of the environment, else us-east-1.
        access_key_id: without it, boto3's standard chain (``AWS_*``, profiles, roles).
        secret_access_key: goes with it.

    Raises:
        UsageError: ``url`` is not of that form.
    """
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment:
        raise UsageError(f"bad store url {url!r}", hint="write s3://BUCKET or s3://BUCKET/PREFIX")
    endpoint = Endpoint(endpoint_url, region, access_key_id, secret_access_key)
    return S3Store(parts.netloc, parts.path.strip("/"), endpoint)


class S3Store:
    """An ``ObjectStore`` in a bucket. Thread-safe; clients and connections are shared by the whole process.

    Conditional puts are sent exactly once: a time-out or a 409 is ``StoreUnavailable`` although the put may have
    happened. So whoever asks again and gets ``PreconditionFailed`` may have lost to itself, and reads the object.
    ``put`` takes ``last_modified_us`` from the answer's Date, which is the same clock as Last-Modified.
    """

    def __init__(self, bucket: str, prefix: str = "", endpoint: Endpoint | None = None) -> None:
        self._bucket = bucket
        self._prefix = prefix + "/" if prefix else ""
        self._endpoint = endpoint or Endpoint()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``."""
        for made in ("_clients", "_direct"):
            self.__dict__.pop(made, None)

    @property
    def name(self) -> str:
        """For messages: bucket and prefix."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    @cached_property
    def _clients(self) -> Clients:
        with translated(self.name):
            return clients_of(self._endpoint)

    @cached_property
    def _direct(self) -> DirectRequests | None:
        if without(OWN_HTTP):
            return None
        with translated(self.name):
            return DirectRequests.learned_from(self._clients.plain, self._clients.credentials, self._bucket)

    def get(self, key: str, *, size_max: int) -> StoredObject | None:
        """Read a whole small object; None if absent."""
        try:
            with self.open(key) as stream:
                size = stream.info.size_bytes
                if size > size_max:
                    raise ContentError(f"object of {size} bytes, expected at most {size_max}", subject=self._at(key))
                body = bytearray(size)
                view = memoryview(body)
                while view and (count := stream.readinto(view)):
                    view = view[count:]
                return StoredObject(bytes(body), stream.info)
        except NotFound:
            return None

    @contextmanager
    def open(
        self, key: str, *, start: int = 0, length: int | None = None, etag: str | None = None
    ) -> Iterator[ByteStream]:
        """Read ``length`` bytes from ``start``."""
        if length == 0:
            info = self.head(key)
            if info is None:
                raise NotFound("no such object", subject=self._at(key))
            yield _Empty(info)
            return
        end = "" if length is None else start + length - 1
        byte_range = f"bytes={start}-{end}" if start or length is not None else None
        yielded = False
        if self._direct:
            headers = {"Range": byte_range} if byte_range else {}
            if etag is not None:
                headers["If-Match"] = etag
            try:
                with self._direct.send("GET", self._prefix + key, headers) as response:
                    if (stream := self._plain(key, response, ranged=byte_range is not None)) is not None:
                        yielded = True
                        yield stream
                        return
            except LINK_ERRORS as error:
                if yielded:
                    raise
                if byte_range:
                    raise unavailable(error, self._at(key)) from error
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._prefix + key}
        if byte_range:
            request["Range"] = byte_range
        if etag is not None:
            request["IfMatch"] = etag
        with translated(self._at(key)):
            answer = self._clients.plain.get_object(**request)
            body = answer["Body"]
        size = int(answer.get("ContentRange", "/" + str(answer["ContentLength"])).rpartition("/")[2])
        info = ObjectInfo(key, size, answer["ETag"], int(answer["LastModified"].timestamp()) * 1_000_000)
        with body:
            yield _BotoStream(info, body, answer["ContentLength"], self._at(key))

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of an object; None if absent."""
        if self._direct:
            with suppress(*LINK_ERRORS), self._direct.send("HEAD", self._prefix + key) as response:
                response.read()
                if response.status == 404:
                    return None
                if response.status == 200:
                    return _info(key, response)
        with translated(self._at(key)):
            try:
                answer = self._clients.plain.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise
            modified_us = int(answer["LastModified"].timestamp()) * 1_000_000
            return ObjectInfo(key, answer["ContentLength"], answer["ETag"], modified_us)

    def put(self, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> ObjectInfo:
        """Write a small object, conditionally if asked."""
        headers = {"If-None-Match": "*"} if if_absent else {}
        if if_match is not None:
            headers["If-Match"] = if_match
        try:
            if (info := self._put_directly(key, body, headers)) is not None:
                return info
            request: PutObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._prefix + key, "Body": body}
            if if_absent:
                request["IfNoneMatch"] = "*"
            if if_match is not None:
                request["IfMatch"] = if_match
            with translated(self._at(key)):
                patient = self._clients.plain if len(body) <= SMALL_BYTES else self._clients.bulk
                client = self._clients.once if headers else patient
                answer = client.put_object(**request)
        except NotFound:
            if if_match is None:
                raise
            raise PreconditionFailed("the object is gone", subject=self._at(key)) from None
        date = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
        return ObjectInfo(key, len(body), answer["ETag"], last_modified_us(date))

    def _put_directly(self, key: str, body: bytes, conditions: dict[str, str]) -> ObjectInfo | None:
        """None: boto3 should be asked. That never sends a conditional put that the store may have obeyed again."""
        if len(body) > SMALL_BYTES or not self._direct:
            return None
        try:
            with self._direct.send("PUT", self._prefix + key, conditions, body) as response:
                said = response.read()
                if response.status == 200:
                    date = last_modified_us(response.headers.get("Date"))
                    return ObjectInfo(key, len(body), response.headers.get("ETag", ""), date)
                if not conditions or response.status in _REDIRECTS:
                    return None
        except LINK_ERRORS as error:
            if not conditions or isinstance(error, ConnectionRefusedError):
                return None
            raise unavailable(error, self._at(key)) from error
        raise self._refusal(key, response.status, said)

    def upload(
        self,
        key: str,
        path: Path,
        *,
        size_bytes: int,
        digest: str,
        progress: Progress | None = None,
        ready: Ready | None = None,
    ) -> None:
        """Write a file, if its bytes are those that ``digest`` names; otherwise leave nothing."""
        if size_bytes <= SMALL_BYTES:
            if ready:
                ready(size_bytes)
            self.put(key, read_checked(path, size_bytes, digest))
            if progress:
                progress(size_bytes)
            return
        if ready and size_bytes <= STREAM_MAX_BYTES and self._put_growing(key, path, size_bytes, digest, ready):
            if progress:
                progress(size_bytes)
            return
        with translated(self._at(key)):
            upload_file(
                self._clients.bulk,
                self._bucket,
                self._prefix + key,
                path,
                size_bytes=size_bytes,
                digest=digest,
                progress=progress,
                ready=ready or _at_once,
            )

    def _put_growing(self, key: str, path: Path, size_bytes: int, digest: str, ready: Ready) -> bool:
        """Put a file with one request while it grows; False: it did not go, and parts should be tried.

        Nothing stands at ``key`` before its last byte is sent, and that is sent only if the whole is as named.
        """
        if not self._direct:
            return False
        ready(min(PIECE_BYTES, size_bytes))  # stores end requests that stand still: this one begins when it can go on
        body = growing(path, size_bytes, digest, ready)
        with (
            translated(self._at(key)),
            suppress(*LINK_ERRORS),
            self._direct.put_stream(
                self._prefix + key, body, size_bytes=size_bytes, sha256=digest.removeprefix("sha256:")
            ) as response,
        ):
            response.read()
            return response.status == 200
        return False

    def warm(self, connections: int) -> None:
        """So many reads are about to begin: have connections for them, and wait for none."""
        if self._direct:
            self._direct.warm(connections)

    def list(self, prefix: str, *, start_after: str = "") -> Iterator[ObjectInfo]:
        """Objects below ``prefix`` in key order, after ``start_after``."""
        request: ListObjectsV2RequestTypeDef = {"Bucket": self._bucket, "Prefix": self._prefix + prefix}
        if start_after:
            request["StartAfter"] = self._prefix + start_after
        for page in self._pages(request):
            for found in page.get("Contents", ()):
                key = found["Key"][len(self._prefix) :]
                modified_us = int(found["LastModified"].timestamp() * 1_000_000)
                yield ObjectInfo(key, found["Size"], found["ETag"], modified_us)

    def folders(self, prefix: str) -> Iterator[str]:
        """The names directly below ``prefix`` that have objects under them."""
        below = self._prefix + (prefix if not prefix or prefix.endswith("/") else prefix + "/")
        for page in self._pages({"Bucket": self._bucket, "Prefix": below, "Delimiter": "/"}):
            for found in page.get("CommonPrefixes", ()):
                yield found["Prefix"][len(below) : -1]

    def delete(self, key: str) -> None:
        """Remove an object; absent is fine."""
        if self._direct:
            with suppress(*LINK_ERRORS), self._direct.send("DELETE", self._prefix + key) as response:
                response.read()
                if response.status in {200, 204, 404}:
                    return
        with suppress(NotFound), translated(self._at(key)):
            self._clients.plain.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _pages(self, request: "ListObjectsV2RequestTypeDef") -> "Iterator[ListObjectsV2OutputTypeDef]":
        while True:
            with translated(f"{self.name}/"):
                page = self._clients.plain.list_objects_v2(**request)
            yield page
            if not page.get("IsTruncated"):
                return
            request = {**request, "ContinuationToken": page["NextContinuationToken"]}

    def _plain(self, key: str, response: HTTPResponse, *, ranged: bool) -> "_HttpStream | None":
        """The stream of a plain answer; None for what boto3 should be asked about.

        Who reads ranges has retries of its own, that go on where the link broke: boto3's would come on top of them.
        """
        if response.status in {200, 206} and response.headers.get("Content-Length") is not None:
            return _HttpStream(_info(key, response), response, self._at(key))
        said = response.read()
        if response.status in {404, 412} or (ranged and response.status not in _REDIRECTS):
            raise self._refusal(key, response.status, said)
        return None

    def _refusal(self, key: str, status: int, said: bytes) -> ModelcastError:
        code, message = _CODE.search(said), _MESSAGE.search(said)
        return of_status(
            status,
            code[1].decode() if code else "",
            message[1].decode(errors="replace") if message else "",
            self._at(key),
        )

    def _at(self, key: str) -> str:
        return f"{self.name}/{key}"


def _at_once(_: int) -> None:
    pass


class _HttpStream:
    def __init__(self, info: ObjectInfo, response: HTTPResponse, subject: str) -> None:
        self.info = info
        self._response = response
        self._left = int(response.headers["Content-Length"])
        self._subject = subject

    def readinto(self, buffer: memoryview) -> int:
        if not buffer or not self._left:
            return 0
        try:
            # What has arrived, not what fits: a link that trickles must not hold the reader for ever.
            count: int = self._response.fp.readinto1(buffer[: self._left])
        except LINK_ERRORS as error:
            raise unavailable(error, self._subject) from error
        if count == 0:
            raise unavailable(f"the link broke {self._left} bytes before the end", self._subject)
        self._left -= count
        self._response.length = self._left  # http.client's own count, by which a connection is kept
        return count


class _BotoStream:
    def __init__(self, info: ObjectInfo, body: "StreamingBody", left: int, subject: str) -> None:
        self.info = info
        self._body = body
        self._left = left
        self._subject = subject

    def readinto(self, buffer: memoryview) -> int:
        with translated(self._subject):
            # It waits until there is so much, and what came is lost if the link breaks before: therefore little.
            chunk = self._body.read(min(len(buffer), self._left, PATIENT_BYTES)) if self._left else b""
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)


class _Empty:
    def __init__(self, info: ObjectInfo) -> None:
        self.info = info

    def readinto(self, buffer: memoryview) -> int:
        return 0


def _info(key: str, response: HTTPResponse) -> ObjectInfo:
    headers = response.headers
    size = int((headers.get("Content-Range") or headers["Content-Length"]).rpartition("/")[2])
    return ObjectInfo(key, size, headers.get("ETag", ""), last_modified_us(headers.get("Last-Modified")))
