"""Real servers for tests, each in a folder of its own and gone when the test process is."""

import os
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelcast.infra.local.ports import LOOPBACK, free_ports
from modelcast.infra.local.process import Child
from modelcast.infra.local.servers.s3 import CREDENTIALS, client_for


@dataclass(slots=True)
class S3ForTests:
    """A store server and a source of fresh buckets on it."""

    endpoint_url: str
    access_key_id: str = CREDENTIALS["AWS_ACCESS_KEY_ID"]
    secret_access_key: str = CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
    region: str = CREDENTIALS["AWS_DEFAULT_REGION"]

    def bucket(self, prefix: str = "test") -> str:
        """Make a bucket that nobody else uses; return its name."""
        name = f"{prefix}-{uuid.uuid4().hex[:12]}"
        client_for(self.endpoint_url).create_bucket(Bucket=name)
        return name

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to use it."""
        return dict(CREDENTIALS)


def required_binary(name: str, variable: str) -> Path:
    """Find a server's program: the one that ``variable`` names, else on the PATH.

    Where there is none, the test is skipped; in CI it fails.
    """
    found = os.environ.get(variable) or shutil.which(name)
    if found and os.access(found, os.X_OK):
        return Path(found)
    message = f"{name} is not here: put it on the PATH or name it in {variable}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


def start_versitygw(program: Path, directory: Path) -> tuple[Child, S3ForTests]:
    """Start a versitygw on real files under ``directory``."""
    files = directory / "files"
    files.mkdir(parents=True)
    (directory / "iam").mkdir()
    credentials = {
        "ROOT_ACCESS_KEY": CREDENTIALS["AWS_ACCESS_KEY_ID"],
        "ROOT_SECRET_KEY": CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    }
    for attempt in range(3):
        address = f"{LOOPBACK}:{free_ports(1)[0]}"
        child = Child.start(
            [program, "--port", address, "--iam-dir", directory / "iam", "--keep-alive", "--quiet", "posix", files],
            name="versitygw",
            log=directory / "versitygw.log",
            env={**os.environ, **credentials},
        )
        server = S3ForTests(f"http://{address}")
        try:
            child.wait_until(lambda at=server: _lists(at), what="ready", seconds_max=30)
        except Exception:
            child.stop()
            if attempt == 2:
                raise
        else:
            return child, server
    raise AssertionError("unreachable")


def _lists(server: S3ForTests) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        client_for(server.endpoint_url).list_buckets()
    except (BotoCoreError, ClientError):
        return False
    return True
