"""Open reads of S3 objects, over a connection of our own or boto3's."""

import time
from http.client import HTTPResponse
from typing import TYPE_CHECKING

from modelcast.infra.stores.s3.answers import AnswerRange, Headers
from modelcast.infra.stores.s3.direct import LINK_ERRORS, last_modified_us
from modelcast.infra.stores.s3.errors import s3_unavailable, translated
from modelcast.schemas.ports import ByteStream, ObjectInfo

if TYPE_CHECKING:
    from botocore.response import StreamingBody

BOTO_READ_BYTES = 64 * 1024
SKIP_SECONDS_MAX = 30.0


class HttpStream:
    """The body of an ``http.client`` answer, ``size_bytes`` of it."""

    def __init__(self, info: ObjectInfo, response: HTTPResponse, size_bytes: int, subject: str) -> None:
        self.info = info
        self._response = response
        self._left = size_bytes
        self._beyond = int(response.headers["Content-Length"]) - size_bytes
        self._subject = subject

    def readinto(self, buffer: memoryview) -> int:
        """Read what has arrived, not what fits: a reader can notice that a link trickles, and be cancelled."""
        if not buffer or not self._left:
            return 0
        try:
            count: int = self._response.fp.readinto1(buffer[: self._left])
        except LINK_ERRORS as error:
            raise s3_unavailable(error, self._subject) from error
        if count == 0:
            raise s3_unavailable(f"the link broke {self._left} bytes before the end", self._subject)
        self._left -= count
        self._response.length = self._left + self._beyond  # http.client's own count, by which a connection is kept
        return count


class BotoStream:
    """The body of a boto3 answer, ``size_bytes`` of it."""

    def __init__(self, info: ObjectInfo, body: "StreamingBody", size_bytes: int, subject: str) -> None:
        self.info = info
        self._body = body
        self._left = size_bytes
        self._subject = subject

    def readinto(self, buffer: memoryview) -> int:
        """Read a little: boto3 waits until there is so much, and what came is lost if the link breaks before."""
        with translated(self._subject):
            chunk = self._body.read(min(len(buffer), self._left, BOTO_READ_BYTES)) if self._left else b""
        if self._left and buffer and not chunk:
            raise s3_unavailable(f"the link broke {self._left} bytes before the end", self._subject)
        buffer[: len(chunk)] = chunk
        self._left -= len(chunk)
        return len(chunk)


class EmptyStream:
    """A read of no bytes."""

    def __init__(self, info: ObjectInfo) -> None:
        self.info = info

    def readinto(self, buffer: memoryview) -> int:
        """Nothing."""
        return 0


class SkippingStream:
    """A stream that begins before the range that was asked for: what lies before is read and dropped."""

    def __init__(self, stream: ByteStream, skip_bytes: int, subject: str) -> None:
        self.info = stream.info
        self._stream, self._skip, self._subject = stream, skip_bytes, subject

    def readinto(self, buffer: memoryview) -> int:
        """Read on to the range first.

        Raises:
            StoreUnavailable: that takes too long.
        """
        ends_at = time.monotonic() + SKIP_SECONDS_MAX
        while self._skip and buffer:
            count = self._stream.readinto(buffer[: self._skip])
            self._skip -= count
            if count == 0 or time.monotonic() > ends_at:
                raise s3_unavailable("it ignores Range, and what was asked for did not come in time", self._subject)
        return self._stream.readinto(buffer)


def stream_of(stream: ByteStream, part: AnswerRange, subject: str) -> ByteStream:
    """The range that was asked for, out of a stream that carries ``part``."""
    return SkippingStream(stream, part.skip_bytes, subject) if part.skip_bytes else stream


def object_info(key: str, headers: Headers, size_bytes: int) -> ObjectInfo:
    """What an answer's headers say of an object."""
    return ObjectInfo(key, size_bytes, headers.get("etag") or "", last_modified_us(headers.get("last-modified")))
