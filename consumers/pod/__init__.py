"""The serving pod: Open Inference Protocol V2 on ONNX Runtime, swapped in another process, fenced, verified."""

__all__ = ["config", "engine", "environment", "failures", "memory_room", "sample", "server", "uninterrupted"]
