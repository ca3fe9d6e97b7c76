"""Multipart uploads that an interrupted run left in the store: to go on with, or, a day later, to clear away."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STALE_AFTER = timedelta(days=1)
UNTRUE_AFTER = timedelta(days=3650)
"""Some stores (moto) give one fixed date for all uploads; those under way must not be ended for it."""
PAGES_MAX = 10
"""Of 1,000 uploads each; a bucket with more needs a lifecycle rule."""


@dataclass(frozen=True, slots=True)
class Unfinished:
    """An upload that can go on. ``parts``: number to ETag, without quotes."""

    upload_id: str
    parts: Mapping[int, str]


def unfinished(client: "S3Client", bucket: str, key: str) -> Unfinished | None:
    """The newest unfinished upload of ``key``, with what it has; others in its folder are ended when a day old.

    None also where the store doesn't list uploads, or not to us: then everything is sent.
    """
    try:
        return _unfinished(client, bucket, key)
    except ClientError:
        return None


def abort(client: "S3Client", bucket: str, key: str, upload_id: str) -> None:
    """End an upload, and free what it holds. If that fails, it is found again a day later."""
    with suppress(ClientError, BotoCoreError):
        client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)


def _unfinished(client: "S3Client", bucket: str, key: str) -> Unfinished | None:
    folder = key[: key.rfind("/") + 1]
    mine: list[tuple[datetime, str]] = []
    for number, page in enumerate(
        client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=folder)
    ):
        now = _clock(page["ResponseMetadata"]["HTTPHeaders"].get("date"))
        for found in page.get("Uploads", ()):
            initiated, upload_id = found["Initiated"], found["UploadId"]
            if found["Key"] == key:
                mine.append((initiated, upload_id))  # however old: its parts are compared one by one
            elif STALE_AFTER <= now - initiated < UNTRUE_AFTER:
                abort(client, bucket, found["Key"], upload_id)
        if number + 1 >= PAGES_MAX:
            break
    if not mine:
        return None
    newest = max(mine)
    parts: dict[int, str] = {}
    for listed in client.get_paginator("list_parts").paginate(Bucket=bucket, Key=key, UploadId=newest[1]):
        for part in listed.get("Parts", ()):
            parts[part["PartNumber"]] = part["ETag"].strip('"')
    return Unfinished(newest[1], parts)


def _clock(header: str | None) -> datetime:
    """The store's own clock: whether an upload is old is not for ours to say."""
    try:
        return parsedate_to_datetime(header) if header else datetime.now(UTC)
    except ValueError:
        return datetime.now(UTC)
