"""The kinds of server that a companion drives. Apart from what drives them, so that a help text loads no library."""

from enum import StrEnum


class ServerKind(StrEnum):
    """What stands in ``--kind``; ``kinds.make_engine`` has an engine for each."""

    TRITON = "triton"
    MLSERVER = "mlserver"
    KSERVE = "kserve"
    TENSORFLOW = "tensorflow"
    TORCHSERVE = "torchserve"
    SGLANG = "sglang"
    VLLM = "vllm"
    WEBHOOK = "webhook"
    FOLDER = "folder"


SERVER_KINDS = ", ".join(ServerKind)
"""All of them, for people."""
