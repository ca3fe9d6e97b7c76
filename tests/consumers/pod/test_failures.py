"""Which failures of a load count against the version."""

import errno

import pytest

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.failures import failure_code
from modelcast.consumers.pod_clients.port import BLAMES_THE_BYTES, BLAMES_THE_VERSION
from modelcast.schemas.errors import ContentError, NotFound, StoreUnavailable, UsageError, VerificationFailed


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VerificationFailed("other bytes"), BLAMES_THE_BYTES),
        (NotLoadable("no such operator"), BLAMES_THE_VERSION),
        (ArtifactMissing("evicted"), "artifact_missing"),
        (StoreUnavailable("refused"), "unreachable"),
        (Unsupported("no ONNX"), "unsupported"),
        (MemoryError(), "out_of_resources"),
        (OSError(errno.ENOSPC, "No space left on device"), "out_of_resources"),
        (OSError(errno.EIO, "Input/output error"), "io_error"),
        (PermissionError(errno.EACCES, "Permission denied"), "io_error"),
        (UsageError("no such store"), "internal_error"),
        (NotFound("no such alias"), "internal_error"),
        (ContentError("who knows"), "internal_error"),
        (KeyError("x"), "internal_error"),
    ],
)
def test_only_whole_bytes_that_the_runtime_refuses_and_damaged_ones_blame_the_version(
    error: Exception, code: str
) -> None:
    assert failure_code(error) == code
