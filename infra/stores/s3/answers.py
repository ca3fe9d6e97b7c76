"""Whether an answer is the store's own, and which bytes of the object it carries.

What stands between here and the store answers in its stead: a login page, a cache without ranges, a proxy that
compresses. None of that says anything about the object, so it is never taken for the object's bytes.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

SKIP_MAX_BYTES = 64 * 1024 * 1024
"""What is read and dropped at most to reach a range that the store did not begin its answer with."""
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})")
_STORE_HEADERS = ("x-amz", "x-goog-")
_PLAIN_ENCODINGS = {"", "identity", "aws-chunked"}  # some stores keep the last one from the upload
_KINDS_OF_ERRORS = {"", "application/xml", "text/xml", "application/octet-stream", "binary/octet-stream"}
_WITH_ETAG = frozenset({"GetObject", "HeadObject", "PutObject", "UploadPart"})


class Headers(Protocol):
    """An answer's headers; names in any case."""

    def get(self, name: str, /) -> str | None:
        """One header's text, or None."""
        ...

    def __iter__(self) -> Iterator[str]: ...


class ForeignAnswer(Exception):
    """An answer that a store does not give; its text says what came instead."""


@dataclass(frozen=True, slots=True)
class AnswerRange:
    """What an answer carries: ``skip_bytes`` before the range that was asked for, then ``size_bytes`` of it."""

    skip_bytes: int
    size_bytes: int
    whole_bytes: int
    """The object's size."""


def check_answer(status: int, headers: Headers, *, with_etag: bool) -> None:
    """Refuse what something else than the store answered.

    Args:
        with_etag: whether a store's answer has an ETag, if it succeeds.

    Raises:
        ForeignAnswer: it is a page for people, or no answer of S3's.
    """
    if status >= 500:  # is tried again anyhow
        return
    kind = (headers.get("content-type") or "").partition(";")[0].strip().lower()
    page = kind == "text/html" or (status >= 300 and kind not in _KINDS_OF_ERRORS)
    if page and headers.get("content-length") != "0" and not _names_the_store(headers):
        raise ForeignAnswer(f"{status} with {kind}, no answer of a store")
    if 300 <= status < 400 and not kind and not _names_the_store(headers):
        raise ForeignAnswer(f"{status}: it leads to {headers.get('location') or 'nowhere'}")
    if with_etag and status in {200, 206} and not headers.get("etag"):
        raise ForeignAnswer(f"{status} without an ETag, no answer of a store")


def check_headers(**event: Any) -> None:
    """``check_answer`` as a handler of botocore's event ``before-parse.s3``."""
    answer = event["response_dict"]
    check_answer(answer["status_code"], answer["headers"], with_etag=event["operation_model"].name in _WITH_ETAG)


def check_page(page: Mapping[str, Any]) -> None:
    """Refuse a parsed answer that is no list of objects: it would look like an empty one.

    Raises:
        ForeignAnswer: it names neither a bucket nor whether more follows.
    """
    if "IsTruncated" not in page and "Name" not in page:
        raise ForeignAnswer("what came is no list of objects")


def part_of(status: int, headers: Headers, start: int, length: int | None) -> AnswerRange:
    """What a 200 or 206 carries of the ``length`` bytes from ``start`` (None: to the end) that were asked for.

    Raises:
        ForeignAnswer: none of it, or not as it lies in the store.
    """
    encoding = (headers.get("content-encoding") or "").strip().lower()
    if encoding not in _PLAIN_ENCODINGS:
        raise ForeignAnswer(f"the answer is encoded ({encoding}): a proxy changes what it passes on")
    length_header = headers.get("content-length")
    if length_header is None or not length_header.isdecimal():
        raise ForeignAnswer("the answer does not say how long it is")
    carried = int(length_header)
    if status == 200:
        first, whole = 0, carried
    else:
        found = _CONTENT_RANGE.fullmatch((headers.get("content-range") or "").strip())
        if found is None:
            raise ForeignAnswer(f"206 with Content-Range {headers.get('content-range')!r}")
        first, last, whole = map(int, found.groups())
        if last - first + 1 != carried or last >= whole:
            raise ForeignAnswer(f"206 with Content-Range {found[0]!r} and {carried} bytes")
    skip = start - first
    if skip < 0 or 0 < skip >= carried or skip > SKIP_MAX_BYTES:
        came = f"bytes {first} to {first + carried} of {whole}"
        raise ForeignAnswer(f"it ignores Range: asked for bytes from {start}, it sent {came}")
    left = carried - skip
    return AnswerRange(skip, left if length is None else min(length, left), whole)


def _names_the_store(headers: Headers) -> bool:
    return any(name.lower().startswith(_STORE_HEADERS) for name in headers)
