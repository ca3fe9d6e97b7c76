"""Sending a file whose digest is known: nothing is left in the store unless the bytes sent were the bytes meant.

A large file goes in parts. What an interrupted run has sent is found in the store itself, compared part by part with
the bytes here, and not sent again, on whatever machine it is run.
"""

import hashlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from modelcast.infra.files import wanted_soon
from modelcast.infra.forks import renew_in_children
from modelcast.infra.stores.s3.parts import MULTIPART_FROM_BYTES, part_size_of
from modelcast.infra.stores.s3.unfinished import abort, unfinished
from modelcast.infra.threads import Threads
from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.ports import Progress, Ready

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PARTS_IN_FLIGHT = 4
HELD_MAX_BYTES = 64 * 1024 * 1024
"""Of all uploads of this process together, between being read and being sent."""
TRIES = 3
STREAM_MAX_BYTES = 512 * 1024 * 1024
"""What grows up to this size goes with one request, without parts that some stores copy at the end."""
PIECE_BYTES = 1024 * 1024


def upload_file(
    client: "S3Client",
    bucket: str,
    key: str,
    path: Path,
    *,
    size_bytes: int,
    digest: str,
    progress: Progress | None,
    ready: Ready,
) -> None:
    """Send ``path``; above 16 MiB in parts, four in flight.

    Args:
        ready: called with where the bytes end that are read next, before room is taken for them.

    Raises:
        VerificationFailed: the file's bytes are not (or no longer) those that ``digest`` names.
    """
    if size_bytes <= MULTIPART_FROM_BYTES:
        ready(size_bytes)
        with _room.held(size_bytes):
            client.put_object(Bucket=bucket, Key=key, Body=read_checked(path, size_bytes, digest))
        if progress:
            progress(size_bytes)
        return
    reported = _ReportedOnce(progress)
    for attempt in range(TRIES):
        try:
            _multipart(client, bucket, key, path, size_bytes, digest, reported, ready)
        except ClientError as error:
            # Another publisher of the same bytes was on the same upload, and finished it or gave it up.
            gone = error.response.get("Error", {}).get("Code") == "NoSuchUpload"
            if gone and _is_there(client, bucket, key, size_bytes):
                return
            if not gone or attempt == TRIES - 1:
                raise
        else:
            return


def _is_there(client: "S3Client", bucket: str, key: str, size_bytes: int) -> bool:
    try:
        return client.head_object(Bucket=bucket, Key=key)["ContentLength"] == size_bytes
    except ClientError:
        return False


def _multipart(
    client: "S3Client",
    bucket: str,
    key: str,
    path: Path,
    size_bytes: int,
    digest: str,
    reported: "_ReportedOnce",
    ready: Ready,
) -> None:
    resumed = unfinished(client, bucket, key)
    upload_id = resumed.upload_id if resumed else client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    there = resumed.parts if resumed else {}

    def send(number: int, body: bytes) -> "CompletedPartTypeDef":
        answer = client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
        return {"PartNumber": number, "ETag": answer["ETag"]}

    try:
        part_size = part_size_of(size_bytes)
        parts = _with_room(_checked_parts(path, size_bytes, digest, part_size), size_bytes, part_size, ready)
        done = _send_parts(send, parts, part_size, there, reported)
        client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": done})
    except VerificationFailed:  # of no use; after any other failure, the next run goes on from here
        abort(client, bucket, key, upload_id)
        raise


def _send_parts(
    send: "Callable[[int, bytes], CompletedPartTypeDef]",
    parts: Iterator[bytes],
    part_size: int,
    there: Mapping[int, str],
    reported: "_ReportedOnce",
) -> "list[CompletedPartTypeDef]":
    """Send what is not ``there`` (number to ETag) already, several at once; each gives the room of a part back."""
    stop = threading.Event()
    done: list[CompletedPartTypeDef] = []

    def unless_stopped(number: int, body: bytes) -> "tuple[CompletedPartTypeDef, int]":
        try:
            if stop.is_set():
                raise InterruptedError("another part failed")
            return send(number, body), len(body)
        finally:
            _room.release(part_size)

    def collect(futures: "set[Future[tuple[CompletedPartTypeDef, int]]]") -> None:
        for future in futures:
            part, size = future.result()
            done.append(part)
            reported(part["PartNumber"], size)

    with Threads(PARTS_IN_FLIGHT, "upload") as pool:
        flying: set[Future[tuple[CompletedPartTypeDef, int]]] = set()
        try:
            for number, body in enumerate(parts, 1):
                if number in there and there[number] == hashlib.md5(body, usedforsecurity=False).hexdigest():
                    done.append({"PartNumber": number, "ETag": f'"{there[number]}"'})
                    _room.release(part_size)
                    reported(number, len(body))
                    continue
                flying.add(pool.submit(unless_stopped, number, body))
                if len(flying) >= PARTS_IN_FLIGHT:
                    finished, flying = wait(flying, return_when=FIRST_COMPLETED)
                    collect(finished)
            collect(wait(flying).done)
        except BaseException:
            stop.set()
            raise
    return sorted(done, key=lambda part: part["PartNumber"])


class _ReportedOnce:
    """Reports each part once, also when an upload starts again."""

    def __init__(self, progress: Progress | None) -> None:
        self._progress = progress
        self._numbers: set[int] = set()

    def __call__(self, number: int, size_bytes: int) -> None:
        if self._progress and number not in self._numbers:
            self._numbers.add(number)
            self._progress(size_bytes)


class _Room:
    """Memory shared by all uploads of the process; one that is larger than all of it goes alone."""

    def __init__(self, size_bytes: int) -> None:
        self._size = size_bytes
        self.after_fork()
        renew_in_children(self)

    def after_fork(self) -> None:
        """See ``Inherited``: what the parent sends takes no room here."""
        self._taken = 0
        self._freed = threading.Condition()

    def take(self, count: int) -> None:
        with self._freed:
            self._freed.wait_for(lambda: not self._taken or self._taken + count <= self._size)
            self._taken += count

    def release(self, count: int) -> None:
        with self._freed:
            self._taken -= count
            self._freed.notify_all()

    @contextmanager
    def held(self, count: int) -> Iterator[None]:
        self.take(count)
        try:
            yield
        finally:
            self.release(count)


_room = _Room(HELD_MAX_BYTES)


def _with_room(parts: Iterator[bytes], size_bytes: int, part_size: int, ready: Ready) -> Iterator[bytes]:
    """The parts, each read once there is room for it; the consumer gives the room back."""
    for end in count(part_size, part_size):
        ready(min(end, size_bytes))
        _room.take(part_size)
        try:
            body = next(parts, None)
        except BaseException:
            _room.release(part_size)
            raise
        if body is None:
            _room.release(part_size)
            return
        yield body
        del body  # else it is held while the next one waits for room


def read_checked(path: Path, size_bytes: int, digest: str) -> bytes:
    """A small file's bytes.

    Raises:
        VerificationFailed: they are not those that ``digest`` names.
    """
    return b"".join(_checked_parts(path, size_bytes, digest, MULTIPART_FROM_BYTES))


def growing(path: Path, size_bytes: int, digest: str, ready: Ready) -> Iterator[bytes]:
    """A file's bytes while it grows, in pieces.

    Raises:
        VerificationFailed: instead of the last piece, if the whole is not what ``digest`` names.
    """
    pieces = _checked_parts(path, size_bytes, digest, PIECE_BYTES)
    for end in count(PIECE_BYTES, PIECE_BYTES):
        ready(min(end, size_bytes))
        try:
            piece = next(pieces)
        except StopIteration:
            return
        yield piece


def _checked_parts(path: Path, size_bytes: int, digest: str, part_size: int) -> Iterator[bytes]:
    """The file in parts; raises after the last one was read (and before it is given) if the whole is not as named."""
    try:
        yield from _parts(path, size_bytes, digest, part_size)
    except OSError as error:
        raise _changed(path, f": {error.strerror}") from error


def _changed(path: Path, how: str = "") -> VerificationFailed:
    return VerificationFailed(
        f"the file changed while it was being uploaded{how}", subject=str(path), hint="publish again"
    )


def _parts(path: Path, size_bytes: int, digest: str, part_size: int) -> Iterator[bytes]:
    hashed, left = hashlib.sha256(), size_bytes
    with path.open("rb") as file:
        while True:
            wanted_soon(file.fileno(), size_bytes - left, min(part_size, left))
            part = file.read(min(part_size, left))
            hashed.update(part)
            left -= len(part)
            last = left == 0 or not part
            if last and (left or file.read(1) or "sha256:" + hashed.hexdigest() != digest):
                raise _changed(path)
            yield part
            if last:
                return
