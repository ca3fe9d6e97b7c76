"""Whatever answers where a companion's server should be: a load fails with a reason, and no version is blamed."""

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.pod.engine import Engine
from modelcast.consumers.pod_clients.port import BLAMES_THE_BYTES, BLAMES_THE_VERSION, LoadFailed, PodUnreachable
from tests.consumers.companion.engines.test_described_servers import archive
from tests.consumers.companion.engines.test_webhook import WEBHOOK
from tests.consumers.pod.models import Artifact, order
from tests.consumers.pod_clients.hostile_urls import hostile_urls

pytestmark = [pytest.mark.integration, pytest.mark.soak, pytest.mark.timeout(180)]
SAMPLE = {"modelcast/sample.json": b'{"request": {"inputs": []}}'}
ARTIFACTS = {
    "triton": {"model.onnx": b"graph", **SAMPLE},
    "mlserver": {"model.joblib": b"model", **SAMPLE},
    "kserve": {"number.txt": b"1", **SAMPLE},
    "tensorflow": {"saved_model.pb": b"1"},
    "torchserve": {"a.mar": archive("1", "1.1")},
    "sglang": {"config.json": b"{}", "model.safetensors": b"weights"},
    "vllm": {"adapter_config.json": b"{}"},
    "webhook": {"number.txt": b"1"},
}


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with hostile_urls() as found:
        yield found


def engine_of(kind: str, url: str, home: Path, cache: Path) -> Engine:
    home.mkdir()
    webhook = home / "webhook.toml"
    webhook.write_text(WEBHOOK.replace("URL", url).replace("seconds = 10", "seconds = 2"))
    server = f"grpc://{urlsplit(url).netloc}" if kind == "triton" else url
    told = {"webhook": webhook} if kind == "webhook" else {"server": server}
    settings = ServerSettings(kind, repository=home / "models", load_seconds_max=2.0, **told)  # type: ignore[arg-type]
    return make_engine(settings, partial(FolderArtifacts, cache))


async def judged(kind: str, name: str, engine: Engine) -> str:
    """What is wrong with how it ended; "": nothing."""
    wanted = order(Artifact(ARTIFACTS[kind]), 1)
    try:
        try:
            await engine.start(lambda _model, _why: None)
            await engine.prepare(wanted)
            served = await engine.swap(wanted)
        except LoadFailed as failed:
            if failed.code in {BLAMES_THE_BYTES, BLAMES_THE_VERSION, ""} or not failed.message:
                return f"{name}: a load ended in {failed.code!r}: {failed.message[:100]!r}"
            failed.message.encode()
        else:
            return f"{name}: is taken to serve {served}"
        try:
            now = await engine.serving("adder")
        except PodUnreachable as error:
            return "" if error.message else f"{name}: no reason"
        return f"{name}: serves {now}" if now is not None else ""
    finally:
        await engine.aclose()


@pytest.mark.parametrize("kind", ARTIFACTS)
async def test_a_load_fails_with_a_reason_and_blames_no_version(
    kind: str, urls: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KEY_OF_THE_SERVER", "key")
    Artifact(ARTIFACTS[kind]).put(tmp_path / "cache")
    engines = {
        name: engine_of(kind, url, tmp_path / str(number), tmp_path / "cache")
        for number, (name, url) in enumerate(urls.items())
        if kind != "triton" or not url.startswith("https")
    }
    found = await asyncio.gather(*(judged(kind, name, engine) for name, engine in engines.items()))
    assert [said for said in found if said] == []
