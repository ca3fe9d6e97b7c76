"""Load and unload requests as they come over HTTP: V2's body with our parameters, checked field by field."""

import hmac
from typing import Any

import orjson

from modelcast.consumers.pod.worker.tensors import BadRequest
from modelcast.consumers.pod_clients.port import LANES, LoadOrder
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.names import MODEL_PATTERN, VERSION_MAX

_NUMBER_MAX = 2**63 - 1


def authorized(header: str | None, token: str) -> bool:
    """Whether an ``authorization`` header carries the token, or one of two; takes equally long for every wrong one."""
    given = (header or "").encode("utf-8", "surrogateescape")
    return sum(hmac.compare_digest(given, f"Bearer {each}".encode()) for each in token.split()) > 0


def read_load(model: str, body: bytes) -> LoadOrder:
    """The order in a load request. Raises ``BadRequest``, which names the field."""
    parameters = _parameters(model, body)
    digest = parameters.get("modelcast_digest")
    registry_id = parameters.get("modelcast_registry")
    reload = parameters.get("modelcast_reload", False)
    if not isinstance(digest, str) or not DIGEST_PATTERN.fullmatch(digest):
        raise BadRequest("parameter 'modelcast_digest' must be sha256:<64 hex digits>")
    if not isinstance(registry_id, str) or not 1 <= len(registry_id) <= 200:
        raise BadRequest("parameter 'modelcast_registry' must be the registry's id")
    if not isinstance(reload, bool):
        raise BadRequest("parameter 'modelcast_reload' must be true or false")
    return LoadOrder(
        model=model,
        version=_number(parameters, "modelcast_version", 1, VERSION_MAX),
        manifest_digest=digest,
        generation=_number(parameters, "modelcast_generation", 0, _NUMBER_MAX),
        epoch=_number(parameters, "modelcast_epoch", 0, _NUMBER_MAX),
        registry_id=registry_id,
        reload=reload,
        lane=_lane(parameters),
    )


def read_unload(model: str, body: bytes) -> tuple[int, int, str]:
    """(epoch, generation, lane) of an unload request. Raises ``BadRequest``."""
    parameters = _parameters(model, body)
    return (
        _number(parameters, "modelcast_epoch", 0, _NUMBER_MAX),
        _number(parameters, "modelcast_generation", 0, _NUMBER_MAX),
        _lane(parameters),
    )


def _lane(parameters: dict[str, Any]) -> str:
    lane = parameters.get("modelcast_lane", "")
    if not isinstance(lane, str) or lane not in LANES:
        raise BadRequest(f"parameter 'modelcast_lane' must be one of {sorted(LANES)}")
    return lane


def _parameters(model: str, body: bytes) -> dict[str, Any]:
    if not MODEL_PATTERN.fullmatch(model):
        raise BadRequest(f"bad model name {model[:80]!r}")
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"not JSON: {error}") from None
    parameters = request.get("parameters") if isinstance(request, dict) else None
    if not isinstance(parameters, dict):
        raise BadRequest("'parameters' must name what to load, and by whose authority")
    return parameters


def _number(parameters: dict[str, Any], name: str, least: int, most: int) -> int:
    value = parameters.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise BadRequest(f"parameter {name!r} must be a whole number from {least}")
    return value
