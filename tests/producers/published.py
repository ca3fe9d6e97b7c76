"""What the publisher's tests publish, and what they look at afterwards."""

from pathlib import Path

import pytest

from modelcast.infra.registry.reader import RegistryReader
from modelcast.infra.stores import MemoryStore
from modelcast.schemas.errors import ExitCode, ModelcastError
from modelcast.schemas.log.fold import ModelLog


def model(folder: Path, content: str) -> Path:
    """A model's file of that content."""
    path = folder / "model.onnx"
    path.write_text(content)
    return path


def log_of(store: MemoryStore, name: str = "fraud") -> ModelLog:
    """What stands in a model's log."""
    return RegistryReader(store).tail(name).log


def exit_code(caught: pytest.ExceptionInfo[ModelcastError]) -> ExitCode:
    """What the command line would end with."""
    return caught.value.exit_code
