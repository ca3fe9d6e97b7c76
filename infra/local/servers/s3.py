"""An S3 server in memory (moto). Its objects end with it unless they are kept in its folder."""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from modelcast.infra.local.errors import ServerFailed
from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

START_ATTEMPTS = 3
READY_SECONDS_MAX = 300.0
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
    _port_is_free_to_change: bool = True
    _keep: bool = False

    @classmethod
    def launch(cls, directory: Path, *, port: int | None = None, keep: bool = False) -> Self:
        """Start it without waiting, on ``port`` or a free one. ``keep``: its objects stay in ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        chosen = port or free_ports(1)[0]
        return cls(directory, chosen, _spawn(directory, chosen, keep=keep), port is None, keep)

    @classmethod
    def start(cls, directory: Path, *, buckets: Iterable[str] = (), port: int | None = None) -> Self:
        """Start it, create ``buckets``, and return once they are there.

        Raises:
            ServerFailed: it did not come up.
        """
        server = cls.launch(directory, port=port)
        server.wait_ready()
        server.create_buckets(buckets)
        return server

    def wait_ready(self) -> None:
        """Wait until it listens; if another program took its port first, try others.

        Raises:
            ServerFailed: it did not come up.
        """
        for attempt in range(START_ATTEMPTS):
            try:
                self.child.wait_until(_ready_file(self.directory).exists, what="ready", seconds_max=READY_SECONDS_MAX)
            except ServerFailed:
                if attempt == START_ATTEMPTS - 1 or not self._port_is_free_to_change:
                    raise
                self.port = free_ports(1)[0]
                self.child = _spawn(self.directory, self.port, keep=self._keep)
            else:
                return

    def create_buckets(self, names: Iterable[str]) -> None:
        """Make buckets; those that exist stay as they are."""
        wanted = list(names)
        if wanted:
            client = client_for(self.endpoint_url)
            for name in wanted:
                client.create_bucket(Bucket=name)

    def restart(self) -> None:
        """Start again on the same port: with what was kept, else empty."""
        self.child.stop()
        self.child = _spawn(self.directory, self.port, keep=self._keep)
        self.wait_ready()

    @property
    def endpoint_url(self) -> str:
        """``http://host:port``."""
        return f"http://{LOOPBACK}:{self.port}"

    def stop(self) -> None:
        """End it."""
        self.child.stop()


def _ready_file(directory: Path) -> Path:
    return directory / "s3.ready"


def _spawn(directory: Path, port: int, *, keep: bool) -> Child:
    _ready_file(directory).unlink(missing_ok=True)
    kept = [directory / "objects"] if keep else []
    return Child.start(
        [sys.executable, "-m", "modelcast.infra.local.servers.s3_server", str(port), _ready_file(directory), *kept],
        name="s3",
        log=directory / "s3.log",
        grace_seconds=2,
    )
