"""Why a load failed, as the stable code that decides whether the version is to blame."""

from modelcast.consumers.artifacts.sources import ArtifactMissing
from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.environment import os_error_code
from modelcast.consumers.pod_clients.port import BLAMES_THE_BYTES, BLAMES_THE_VERSION, LoadFailed
from modelcast.schemas.errors import ModelcastError, TransportError, VerificationFailed


def failure_code(error: Exception) -> str:
    """``LoadFailed``'s code for what went wrong with a load."""
    match error:
        case LoadFailed(code=code):
            return code
        case VerificationFailed():
            return BLAMES_THE_BYTES
        case NotLoadable():
            return BLAMES_THE_VERSION
        case ArtifactMissing():
            return "artifact_missing"
        case TransportError():
            return "unreachable"
        case Unsupported():
            return "unsupported"
        case MemoryError():
            return "out_of_resources"
        case OSError(errno=number):
            return os_error_code(number)
        case _:
            return "internal_error"


def failure_message(error: Exception) -> str:
    """The error's message, at most 2,000 characters."""
    message = str(error) if isinstance(error, ModelcastError | MemoryError) else f"{type(error).__name__}: {error}"
    return message[:2000] or type(error).__name__
