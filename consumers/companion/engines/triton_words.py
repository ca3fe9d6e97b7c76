"""What Triton's answer to a load is taken for. Pure."""

import re

from modelcast.consumers.companion.identity import ONE_EACH
from modelcast.consumers.pod.environment import environment_code
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION

# Words of Triton's answers to a load that name the server or its machine and not the model.
_EXPLICIT = "explicit model load / unload is not allowed"
_NO_GPU = ("no gpus are available", "unsupported gpu id")
_UNSUPPORTED = (_EXPLICIT, "unable to find backend library", "backend not found", *_NO_GPU)
_PARTS = "contains models that are not available"  # of an ensemble
_RESTRICTED = "protocol is restricted"
_TRIED = "load failed for model"  # so it begins what a backend has said of the files
_NOT_READ = "failed to poll from model repository"  # a field of the configuration that it does not know, say
_UNDELIVERED = ("no version is available", "at least one version must be")
_STATE = re.compile(r"version (\d+) is at \w+ state: ([^;\n]*)")
_OTHERS = re.compile(r"unloaded|$")  # why a version is not there that something else has let go
_CONFIG_HINT = "mend the artifact's modelcast/triton.json or config.pbtxt; Triton's log says more"
_EXPLICIT_HINT = "start it with --model-control-mode explicit"
SEES_HINT = "start Triton with --model-repository on the folder that the companion has as --repository"
UNREACHABLE_HINT = (
    "is --server the address of Triton's gRPC service, port 8001? if Triton has just ended, its log says why"
)
_RESTRICTED_HINT = (
    "MODELCAST_SERVER_TOKEN holds what --grpc-restricted-protocol=model-repository:modelcast-token=… names"
)


def load_verdict(status: str, message: str, version: int) -> tuple[str, str]:
    """``LoadFailed``'s code and hint for Triton's answer to a load of files that were verified and placed whole.

    Args:
        status: gRPC's.
        message: what Triton says.
        version: the one that it was told to load.
    """
    said = message.lower()
    if any(words in said for words in _UNSUPPORTED):
        return "unsupported", _EXPLICIT_HINT if _EXPLICIT in said else ""
    if _PARTS in said:
        return "unsupported", "publish the models that it is made of first, under the names that its configuration has"
    if _RESTRICTED in said:
        return "request_refused", _RESTRICTED_HINT
    if code := environment_code(message):
        return code, ""
    if any(words in said for words in _UNDELIVERED):
        return "not_delivered", f"{SEES_HINT}; Triton's log says more"
    if _NOT_READ in said:
        return "unsupported", _CONFIG_HINT
    if status.endswith("DEADLINE_EXCEEDED"):
        return "load_timeout", ""
    if _TRIED in said:
        states = _STATE.findall(message)
        if not states:  # it was not tried: Triton refuses what stands in its configuration
            return "unsupported", _CONFIG_HINT
        if all(_OTHERS.match(reason) for number, reason in states if int(number) == version):
            return "unconfirmed", ONE_EACH  # it names other versions alone, or this one was let go meanwhile
        return BLAMES_THE_VERSION, ""
    # gRPC itself says INTERNAL, too, of connections and proxies that fail.
    return ("request_refused", "") if status.endswith("INVALID_ARGUMENT") else ("unreachable", UNREACHABLE_HINT)
