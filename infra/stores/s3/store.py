"""``ObjectStore`` on S3 and what speaks it."""

import re
import ssl
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
from modelcast.infra.stores.s3.answers import AnswerRange, ForeignAnswer, Headers, check_answer, check_page, part_of
from modelcast.infra.stores.s3.clients import Clients, Endpoint, clients_of
from modelcast.infra.stores.s3.direct import LINK_ERRORS, DirectRequests, last_modified_us
from modelcast.infra.stores.s3.errors import foreign, of_status, s3_unavailable, translated
from modelcast.infra.stores.s3.streams import BotoStream, EmptyStream, HttpStream, object_info, stream_of
from modelcast.infra.stores.s3.upload import PIECE_BYTES, STREAM_MAX_BYTES, growing, read_checked, upload_file
from modelcast.schemas.errors import ContentError, ModelcastError, NotFound, UsageError
from modelcast.schemas.ports import ByteStream, ObjectInfo, PreconditionFailed, Progress, Ready, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import (
        GetObjectRequestTypeDef,
        ListObjectsV2OutputTypeDef,
        ListObjectsV2RequestTypeDef,
        PutObjectRequestTypeDef,
    )

_ASK_BOTO3 = {301, 302, 307, 308, 400, 401, 403}  # a bucket in another region, keys that were replaced
_NOT_SENT = (ConnectionRefusedError, ssl.SSLCertVerificationError)
SMALL_BYTES = 256 * 1024
"""What a slow link still carries within one time-out; larger bodies are sent by boto3, patiently."""
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
    happened. A caller that asks again and gets ``PreconditionFailed`` may have lost to itself, and reads the object.
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

    def both_clients(self) -> tuple[Clients, DirectRequests | None, str]:
        """What requests go through: boto3's clients, our own (None: boto3 alone knows how); and the bucket."""
        return self._clients, self._direct, self._bucket

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
                if view:
                    raise s3_unavailable(f"{len(view)} bytes are missing at the end", self._at(key))
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
            yield EmptyStream(info)
            return
        end = "" if length is None else start + length - 1
        headers = {"Range": f"bytes={start}-{end}"} if start or length is not None else {}
        if etag is not None:
            headers["If-Match"] = etag
        yielded = False
        if self._direct:
            try:
                with self._direct.send("GET", self._prefix + key, headers) as response:
                    if self._is_plain(key, response, ranged="Range" in headers):
                        part, info = self._carried(key, response.status, response.headers, start, length, etag)
                        yielded = True
                        plain = HttpStream(info, response, part.skip_bytes + part.size_bytes, self._at(key))
                        yield stream_of(plain, part, self._at(key))
                        return
            except LINK_ERRORS as error:
                if yielded:
                    raise
                if "Range" in headers and not isinstance(error, _NOT_SENT):
                    raise s3_unavailable(error, self._at(key)) from error
        request: GetObjectRequestTypeDef = {"Bucket": self._bucket, "Key": self._prefix + key}
        if "Range" in headers:
            request["Range"] = headers["Range"]
        if etag is not None:
            request["IfMatch"] = etag
        with translated(self._at(key)):
            answer = self._clients.plain.get_object(**request)
        with answer["Body"] as body:
            meta = answer["ResponseMetadata"]
            part, info = self._carried(key, meta["HTTPStatusCode"], meta["HTTPHeaders"], start, length, etag)
            stream = BotoStream(info, body, part.skip_bytes + part.size_bytes, self._at(key))
            yield stream_of(stream, part, self._at(key))

    def _carried(
        self, key: str, status: int, headers: Headers, start: int, length: int | None, etag: str | None
    ) -> tuple[AnswerRange, ObjectInfo]:
        """Which bytes an answer carries, and what it says of the object.

        Raises:
            StoreUnavailable: not those that were asked for.
            PreconditionFailed: those of another object than ``etag`` names; a store or cache may ignore If-Match.
        """
        try:
            part = part_of(status, headers, start, length)
        except ForeignAnswer as error:
            raise foreign(error, self._at(key)) from error
        info = object_info(key, headers, part.whole_bytes)
        if etag is not None and _bare(info.etag) != _bare(etag):
            raise PreconditionFailed("the object changed meanwhile", subject=self._at(key))
        return part, info

    def head(self, key: str) -> ObjectInfo | None:
        """What the store says of an object; None if absent."""
        if self._direct:
            with suppress(*LINK_ERRORS), self._direct.send("HEAD", self._prefix + key) as response:
                response.read()
                self._check(key, response)
                if response.status == 404:
                    return None
                if response.status == 200 and (size := response.headers.get("Content-Length")) is not None:
                    return object_info(key, response.headers, int(size))
        with translated(self._at(key)):
            try:
                answer = self._clients.plain.head_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as error:
                if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
                    return None
                raise
            return object_info(key, answer["ResponseMetadata"]["HTTPHeaders"], answer["ContentLength"])

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
                answer = response.read()
                self._check(key, response)
                if response.status == 200:
                    date = last_modified_us(response.headers.get("Date"))
                    return ObjectInfo(key, len(body), response.headers.get("ETag", ""), date)
                if not conditions or response.status in _ASK_BOTO3:
                    return None
        except LINK_ERRORS as error:
            if not conditions or isinstance(error, _NOT_SENT):
                return None
            raise s3_unavailable(error, self._at(key)) from error
        raise self._refusal(key, response.status, answer)

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
                check_page(page)
            yield page
            if not page.get("IsTruncated"):
                return
            request = {**request, "ContinuationToken": page["NextContinuationToken"]}

    def _is_plain(self, key: str, response: HTTPResponse, *, ranged: bool) -> bool:
        """Whether an answer carries bytes; False for what boto3 should be asked about.

        Who reads ranges has retries of its own, that go on where the link broke: boto3's would come on top of them.
        """
        self._check(key, response)
        if response.status in {200, 206}:
            return True
        answer = response.read()
        if response.status in {404, 412} or (ranged and response.status not in _ASK_BOTO3):
            raise self._refusal(key, response.status, answer)
        return False

    def _check(self, key: str, response: HTTPResponse) -> None:
        try:
            check_answer(response.status, response.headers, with_etag=response.status in {200, 206})
        except ForeignAnswer as error:
            raise foreign(error, self._at(key)) from error

    def _refusal(self, key: str, status: int, answer: bytes) -> ModelcastError:
        code, message = _CODE.search(answer), _MESSAGE.search(answer)
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


def _bare(etag: str) -> str:
    """Without what a compressing proxy or a store's dialect puts around it."""
    return etag.removeprefix("W/").strip('"')
