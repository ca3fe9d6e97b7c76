"""The kinds of server that a companion drives, each made from the same few settings."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from modelcast.consumers.artifacts.sources import ArtifactSourceFactory
from modelcast.consumers.companion.delivery import Delivery, MakeLayout
from modelcast.consumers.companion.engines.folder import Commands, FolderEngine
from modelcast.consumers.companion.engines.http_engine import HttpEngine
from modelcast.consumers.companion.engines.kserve import KServeEngine
from modelcast.consumers.companion.engines.mlserver import MLServerEngine
from modelcast.consumers.companion.engines.sglang import SGLangEngine
from modelcast.consumers.companion.engines.tensorflow import TensorFlowServingEngine
from modelcast.consumers.companion.engines.torchserve import TorchServeEngine
from modelcast.consumers.companion.engines.v2_engine import V2Engine
from modelcast.consumers.companion.engines.vllm import VLLMEngine
from modelcast.consumers.companion.engines.webhook import WebhookEngine
from modelcast.consumers.companion.layouts.folder import folder_layout
from modelcast.consumers.companion.layouts.known_files import (
    adapter_layout,
    archive_layout,
    saved_model_layout,
    weights_layout,
)
from modelcast.consumers.companion.layouts.kserve import kserve_layout
from modelcast.consumers.companion.layouts.mlserver import mlserver_layout
from modelcast.consumers.companion.layouts.triton import triton_layout
from modelcast.consumers.companion.layouts.version_layout import Files, VersionLayout
from modelcast.consumers.companion.placing import ModelRepository
from modelcast.consumers.companion.server_kinds import SERVER_KINDS, ServerKind
from modelcast.consumers.companion.server_memory import ServerMemory
from modelcast.consumers.companion.webhook_settings import read_webhook
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.errors import ModelcastError, UsageError


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The server beside a companion."""

    kind: str
    server: str = ""  # its URL; kinds that are told by commands need none
    repository: Path | None = None  # where it looks for models
    command: str = ""  # tells the server, for kind folder
    check: str = ""  # asks it
    webhook: Path | None = None  # says how to tell and ask it, for kind webhook
    token: str = ""  # sent to it as a bearer token
    load_seconds_max: float = 300.0
    memory_check: bool = True  # whether a load must find room in its memory, for kinds whose use of it is known
    gap: bool = False  # it fails requests while it loads, for the kinds of which nothing is known
    memory_max_bytes: int | None = None  # what its processes may take together; None: what is free


MakeEngine = Callable[[ServerSettings, ArtifactSourceFactory], Engine]


def make_engine(settings: ServerSettings, artifacts: ArtifactSourceFactory) -> Engine:
    """The engine for a server.

    Raises:
        UsageError: no such kind, it needs what the settings do not say, or they say what it can't do.
        Refused: another companion places files in that repository.
        ModelcastError: the repository can't be written.
    """
    try:
        kind = ServerKind(settings.kind)
    except ValueError:
        raise UsageError(f"unknown kind of server {settings.kind!r}", hint=f"one of {SERVER_KINDS}") from None
    _check_meant_for(kind, settings)
    try:
        _ = urlsplit(settings.server).port
    except ValueError as error:
        raise UsageError(f"--server {settings.server!r}: {error}", hint="--server http://127.0.0.1:8080") from None
    if settings.memory_max_bytes is not None and _memory(settings) is None:
        known = ", ".join(sorted(_LOAD_BESIDE))
        message = f"kind {settings.kind} at {settings.server!r}: how it uses its memory is not known"
        raise UsageError(
            message, hint=f"--memory-max-bytes is for {known} at a loopback address, and without --no-memory-check"
        )
    return _MAKERS[kind](settings, artifacts)


def _check_meant_for(kind: ServerKind, settings: ServerSettings) -> None:
    """An option that is for another kind was given by mistake, or the kind was."""
    for option, given, kinds in (
        ("--command", settings.command, {ServerKind.FOLDER}),
        ("--check", settings.check, {ServerKind.FOLDER}),
        ("--webhook", settings.webhook, {ServerKind.WEBHOOK}),
        ("--server", settings.server, set(ServerKind) - _TOLD_OTHERWISE),
        ("--gap", settings.gap, _TOLD_OTHERWISE),
    ):
        if given and kind not in kinds:
            hint = f"{option} is for {', '.join(sorted(kinds))}"
            raise UsageError(f"kind {kind} takes no {option}", hint=hint)


def _triton(settings: ServerSettings, artifacts: ArtifactSourceFactory) -> Engine:
    try:
        from modelcast.consumers.companion.engines.triton import CONTENTS_SIZE_MAX_BYTES, TritonEngine, parse_config
    except ImportError as error:
        raise UsageError(f"Triton's client is missing: {error}", hint="pip install 'modelcast[triton]'") from None
    parts = urlsplit(settings.server)
    if parts.scheme != "grpc" or not parts.hostname or not parts.port:
        raise UsageError(
            f"{settings.server!r} is not the address of a gRPC service",
            hint="--server grpc://127.0.0.1:8001; by HTTP a load would stall Triton's other requests",
        )
    repository = _repository(settings) if settings.repository is not None else None
    delivery = Delivery(
        artifacts,
        repository,
        lambda files, order, read: triton_layout(files, order, read, parse_config),
        CONTENTS_SIZE_MAX_BYTES,
        compares=True,
        durable=False,  # in explicit mode it reads a folder when it is told to, right after it was placed
        memory=_memory(settings),
    )
    return TritonEngine(parts.netloc, delivery, repository, settings.load_seconds_max, settings.token)


def _webhook(settings: ServerSettings, artifacts: ArtifactSourceFactory) -> Engine:
    if settings.webhook is None:
        raise UsageError("kind webhook needs the file with the server's requests", hint="--webhook FILE.toml")
    webhook = read_webhook(settings.webhook, settings.load_seconds_max)
    repository = _repository(settings)
    delivery = Delivery(artifacts, repository, _plainly(folder_layout))
    return WebhookEngine(webhook, delivery, repository, gapless=not settings.gap)


def _folder(settings: ServerSettings, artifacts: ArtifactSourceFactory) -> Engine:
    repository = _repository(settings)
    delivery = Delivery(artifacts, repository, _plainly(folder_layout))
    commands = Commands(_words("--command", settings.command), _words("--check", settings.check))
    return FolderEngine(commands, delivery, repository, settings.load_seconds_max, gapless=not settings.gap)


def _plainly(layout: Callable[[Files, LoadOrder], VersionLayout]) -> MakeLayout:
    """A layout that reads none of the files."""
    return lambda files, order, _read: layout(files, order)


def _by_http(engine: type[HttpEngine], layout: MakeLayout) -> MakeEngine:
    def make(settings: ServerSettings, artifacts: ArtifactSourceFactory) -> Engine:
        url, repository = _http(settings), _repository(settings)
        headers = {"authorization": f"Bearer {settings.token}"} if settings.token else {}
        delivery = Delivery(
            artifacts, repository, layout, compares=issubclass(engine, V2Engine), memory=_memory(settings)
        )
        return engine(url, delivery, repository, settings.load_seconds_max, headers)

    return make


_MAKERS: dict[ServerKind, MakeEngine] = {
    ServerKind.TRITON: _triton,
    ServerKind.MLSERVER: _by_http(MLServerEngine, mlserver_layout),
    ServerKind.KSERVE: _by_http(KServeEngine, _plainly(kserve_layout)),
    ServerKind.TENSORFLOW: _by_http(TensorFlowServingEngine, _plainly(saved_model_layout)),
    ServerKind.TORCHSERVE: _by_http(TorchServeEngine, _plainly(archive_layout)),
    ServerKind.SGLANG: _by_http(SGLangEngine, _plainly(weights_layout)),
    ServerKind.VLLM: _by_http(VLLMEngine, _plainly(adapter_layout)),
    ServerKind.WEBHOOK: _webhook,
    ServerKind.FOLDER: _folder,
}
_TOLD_OTHERWISE = frozenset({ServerKind.WEBHOOK, ServerKind.FOLDER})
"""They are told by requests or commands of the user's."""
_LOAD_BESIDE = frozenset(
    {ServerKind.TRITON, ServerKind.MLSERVER, ServerKind.KSERVE, ServerKind.TENSORFLOW, ServerKind.TORCHSERVE}
)
"""They read a version into the memory of the machine while the one before still serves."""


def _memory(settings: ServerSettings) -> ServerMemory | None:
    parts = urlsplit(settings.server)
    here = parts.hostname == "localhost" or _is_loopback(parts.hostname or "")
    if settings.kind not in _LOAD_BESIDE or not settings.memory_check or not here:
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return ServerMemory(port, settings.memory_max_bytes)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _repository(settings: ServerSettings) -> ModelRepository:
    if settings.repository is None:
        raise UsageError(f"kind {settings.kind} needs the folder that the server serves from", hint="--repository DIR")
    try:
        return ModelRepository(settings.repository)
    except OSError as error:
        hint = "mend its permissions, or name another folder in --repository"
        message = f"can't be written: {error.strerror}"
        raise ModelcastError(message, subject=str(settings.repository), hint=hint) from None


def _http(settings: ServerSettings) -> str:
    parts = urlsplit(settings.server)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise UsageError(f"{settings.server!r} is not the URL of a server", hint="--server http://127.0.0.1:8080")
    return settings.server


def _words(option: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"{option} {text!r}: {error}") from None
