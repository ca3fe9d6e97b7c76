"""Sending a file whose digest is known: nothing is left in the store unless the bytes sent were the bytes meant."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from modelcast.schemas.errors import VerificationFailed
from modelcast.schemas.ports import Progress

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

PART_SIZE_BYTES = 16 * 1024 * 1024
MULTIPART_FROM_BYTES = 32 * 1024 * 1024
PARTS_MAX = 10_000
PARTS_IN_FLIGHT = 4


def upload_file(
    client: "S3Client",
    bucket: str,
    key: str,
    path: Path,
    *,
    size_bytes: int,
    digest: str,
    progress: Progress | None,
) -> None:
    """Send ``path``; parts of 16 MiB (or what 10,000 parts need), four in flight, above 32 MiB.

    Raises:
        VerificationFailed: the file's bytes are not (or no longer) those that ``digest`` names.
    """
    if size_bytes <= MULTIPART_FROM_BYTES:
        client.put_object(Bucket=bucket, Key=key, Body=read_checked(path, size_bytes, digest))
        if progress:
            progress(size_bytes)
        return
    upload_id = client.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    try:
        part_size = max(PART_SIZE_BYTES, -(-size_bytes // PARTS_MAX))
        parts = _checked_parts(path, size_bytes, digest, part_size)

        def send(number: int, body: bytes) -> "CompletedPartTypeDef":
            answer = client.upload_part(Bucket=bucket, Key=key, UploadId=upload_id, PartNumber=number, Body=body)
            return {"PartNumber": number, "ETag": answer["ETag"]}

        done = _send_parts(send, parts, progress)
        client.complete_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": done})
    except BaseException:
        with suppress(Exception):  # what is left of it is not an object; the bucket's lifecycle rule sweeps it
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        raise


def _send_parts(
    send: "Callable[[int, bytes], CompletedPartTypeDef]", parts: Iterator[bytes], progress: Progress | None
) -> "list[CompletedPartTypeDef]":
    stop = threading.Event()

    def unless_stopped(number: int, body: bytes) -> "tuple[CompletedPartTypeDef, int]":
        if stop.is_set():
            raise InterruptedError("another part failed")
        return send(number, body), len(body)

    done: list[CompletedPartTypeDef] = []

    def collect(futures: "set[Future[tuple[CompletedPartTypeDef, int]]]") -> None:
        for future in futures:
            part, size = future.result()
            done.append(part)
            if progress:
                progress(size)

    with ThreadPoolExecutor(PARTS_IN_FLIGHT, "upload") as pool:
        flying: set[Future[tuple[CompletedPartTypeDef, int]]] = set()
        try:
            for number, body in enumerate(parts, 1):
                flying.add(pool.submit(unless_stopped, number, body))
                if len(flying) >= PARTS_IN_FLIGHT:
                    finished, flying = wait(flying, return_when=FIRST_COMPLETED)
                    collect(finished)
            collect(wait(flying).done)
        except BaseException:
            stop.set()
            raise
    return sorted(done, key=lambda part: part["PartNumber"])


def read_checked(path: Path, size_bytes: int, digest: str) -> bytes:
    """A small file's bytes.

    Raises:
        VerificationFailed: they are not those that ``digest`` names.
    """
    return b"".join(_checked_parts(path, size_bytes, digest, MULTIPART_FROM_BYTES))


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
            part = file.read(min(part_size, left))
            hashed.update(part)
            left -= len(part)
            last = left == 0 or not part
            if last and (left or file.read(1) or "sha256:" + hashed.hexdigest() != digest):
                raise _changed(path)
            yield part
            if last:
                return
