"""What a server's answer to a load is taken for: only words about the files it had count against a version."""

from collections.abc import Callable

import pytest

from modelcast.consumers.companion.engines.kserve import KServeEngine
from modelcast.consumers.companion.engines.mlserver import MLServerEngine
from modelcast.consumers.companion.engines.torchserve import load_verdict as torchserve
from modelcast.consumers.companion.engines.triton_words import load_verdict
from modelcast.consumers.companion.engines.v2_engine import V2Engine
from modelcast.consumers.companion.engines.vllm import load_verdict as vllm
from modelcast.consumers.companion.http import ServerAnswer
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION

Verdict = Callable[[ServerAnswer], tuple[str, str]]
LOST = "Environment with hash 'a1b2-7' was not found for model 'adder' with version '2'"


def verdict(kind: type[V2Engine], status: int, said: str | None) -> tuple[str, str]:
    engine = kind.__new__(kind)  # the words alone count
    body = None if said is None else {"error": said}
    return engine.load_verdict(ServerAnswer(status, body, said or f"HTTP {status}"))


@pytest.mark.parametrize(
    ("status", "said", "code", "hint"),
    [
        (422, "Invalid URI specified for model adder (/models/adder/2)", "not_delivered", "as --repository"),
        (
            422,
            "mlserver.errors.InvalidModelURI: Invalid URI specified for model adder",
            "not_delivered",
            "--repository",
        ),
        (404, "Model adder not found", "not_delivered", "as --repository"),
        (500, LOST, "server_failed", "restart it"),
        (500, f"mlserver.parallel.errors.EnvironmentNotFound: {LOST}", "server_failed", "restart it"),
        (422, "1 validation error for ModelSettings", "unsupported", "have the runtime"),
        (500, None, "server_failed", ""),
        (500, "builtins.ValueError: invalid literal for int()", BLAMES_THE_VERSION, ""),
        (400, "bad", BLAMES_THE_VERSION, ""),
        (503, "later", "unreachable", ""),
    ],
)
def test_mlserver(status: int, said: str | None, code: str, hint: str) -> None:
    found = verdict(MLServerEngine, status, said)
    assert found[0] == code
    assert hint in found[1]


@pytest.mark.parametrize(
    ("status", "said", "code", "hint"),
    [
        (
            503,
            "Model adder failed: error type: FileNotFoundError: /m/adder/modelcast.json",
            "not_delivered",
            "serve_models",
        ),
        (503, "error type: UnsupportedArtifact", "unsupported", ""),
        (503, "error type: ValueError: bad", BLAMES_THE_VERSION, ""),
        (503, "starting", "unreachable", ""),
    ],
)
def test_kserve(status: int, said: str, code: str, hint: str) -> None:
    found = verdict(KServeEngine, status, said)
    assert found[0] == code
    assert hint in found[1]


@pytest.mark.parametrize(
    ("verdict_of", "status", "body", "code", "hint"),
    [
        (torchserve, 403, {}, "unsupported", "MODELCAST_SERVER_TOKEN"),
        (torchserve, 404, {}, "not_delivered", "allowed_urls"),
        (torchserve, 500, {}, "server_failed", ""),
        (
            *(
                torchserve,
                500,
                {"code": 500, "type": "t", "message": "Failed to start workers for model adder version: 1"},
            ),
            *("server_failed", "model_log.log"),
        ),
        (torchserve, 500, {"code": 500, "type": "t", "message": "bad"}, BLAMES_THE_VERSION, ""),
        (vllm, 404, {"error": {"message": "No adapter found for /m/adder/2"}}, "not_delivered", "at the same path"),
        (vllm, 404, {"detail": "Not Found"}, "unsupported", "VLLM_ALLOW_RUNTIME_LORA_UPDATING"),
        (vllm, 400, {"error": {"message": "bad"}}, BLAMES_THE_VERSION, ""),
        (vllm, 400, {"detail": "bad"}, "server_failed", ""),
    ],
)
def test_torchserve_and_vllm(verdict_of: Verdict, status: int, body: dict[str, object], code: str, hint: str) -> None:
    error = body.get("error")
    said = error["message"] if isinstance(error, dict) else str(body.get("message") or body.get("detail"))
    found = verdict_of(ServerAnswer(status, body, said))
    assert found[0] == code
    assert hint in found[1]


def states(*said: str) -> str:
    return "failed to load 'adder', load failed for model 'adder': " + "".join(f"{each};\n" for each in said)


@pytest.mark.parametrize(
    ("status", "said", "code", "hint"),
    [
        ("INTERNAL", states("version 2 is at UNAVAILABLE state: Internal: ValueError"), BLAMES_THE_VERSION, ""),
        ("INVALID_ARGUMENT", "load failed for model 'adder': must specify 'dims'", "unsupported", "triton.json"),
        (
            *(
                "INVALID_ARGUMENT",
                "load failed for model 'adder': ensemble adder contains models that are not available",
            ),
            *("unsupported", "publish the models that it is made of first"),
        ),
        (
            *(
                "INVALID_ARGUMENT",
                states("version 2 is at UNAVAILABLE state: has kind KIND_GPU but no GPUs are available"),
            ),
            *("unsupported", ""),
        ),
        ("INTERNAL", states("version 3 is at UNAVAILABLE state: Internal: ValueError"), "unconfirmed", "drive"),
        ("INTERNAL", states("version 2 is at UNAVAILABLE state: unloaded"), "unconfirmed", "one companion a server"),
        (
            *(
                "INTERNAL",
                states("version 2 is at UNAVAILABLE state: bad", "version 3 is at UNAVAILABLE state: unloaded"),
            ),
            *(BLAMES_THE_VERSION, ""),
        ),
        ("INTERNAL", "failed to load 'adder', failed to poll from model repository", "unsupported", "triton.json"),
        (
            *("INVALID_ARGUMENT", "load failed for model 'adder': at least one version must be available"),
            *("not_delivered", "as --repository"),
        ),
        ("UNAVAILABLE", "explicit model load / unload is not allowed if polling is enabled", "unsupported", "explicit"),
        ("UNAVAILABLE", "This protocol is restricted, expecting header", "request_refused", "MODELCAST_SERVER_TOKEN"),
        ("UNAVAILABLE", "failed to connect to all addresses", "unreachable", ""),
        ("DEADLINE_EXCEEDED", "Deadline Exceeded", "load_timeout", ""),
    ],
)
def test_triton(status: str, said: str, code: str, hint: str) -> None:
    found = load_verdict(f"StatusCode.{status}", said, 2)
    assert found[0] == code
    assert hint in found[1]
