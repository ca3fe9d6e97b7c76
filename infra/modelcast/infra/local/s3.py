"""An S3 server in memory (moto): for the demo and for tests. Its objects end with it."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from modelcast.infra.local.ports import LOOPBACK
from modelcast.infra.local.process import Child

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

READY_SECONDS_MAX = 60.0
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "modelcast-local",
    "AWS_SECRET_ACCESS_KEY": "modelcast-local",
    "AWS_DEFAULT_REGION": "us-east-1",
}
"""What clients of the local servers put in their environment; good for nothing else."""


def client_for(endpoint_url: str) -> "S3Client":
    """A plain boto3 client for a local server."""
    import boto3
    from botocore.config import Config

    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}, proxies={}),
    )


@dataclass(slots=True)
class S3Server:
    """An S3 server that answers on ``endpoint_url``."""

    directory: Path
    port: int
    child: Child

    @classmethod
    def start(cls, directory: Path, *, buckets: Iterable[str] = (), port: int = 0) -> Self:
        """Start it, create ``buckets``, and return once they are there.

        Raises:
            ServerFailed: it did not come up.
        """
        directory.mkdir(parents=True, exist_ok=True)
        port_file = directory / "s3.port"
        port_file.unlink(missing_ok=True)
        child = Child.start(
            [sys.executable, "-m", "modelcast.infra.local.s3_server", str(port), port_file],
            name="s3",
            log=directory / "s3.log",
            grace_seconds=2,
        )
        child.wait_until(port_file.exists, what="ready", seconds_max=READY_SECONDS_MAX)
        server = cls(directory, int(port_file.read_text()), child)
        if names := list(buckets):
            client = client_for(server.endpoint_url)
            for name in names:
                client.create_bucket(Bucket=name)
        return server

    @property
    def endpoint_url(self) -> str:
        """``http://host:port``."""
        return f"http://{LOOPBACK}:{self.port}"

    def stop(self) -> None:
        """End it, and its objects with it."""
        self.child.stop()
