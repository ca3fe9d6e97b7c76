"""EndpointSlices listed and watched, against an API server built from the documented protocol."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from modelcast.consumers.discovery.decider.endpoint_slices import PodPort
from modelcast.consumers.discovery.decider.merging import FleetView
from modelcast.consumers.discovery.kubernetes import source as watched
from modelcast.consumers.discovery.kubernetes.api import ApiAccess, in_cluster
from modelcast.consumers.discovery.kubernetes.source import EndpointSliceSource
from modelcast.consumers.discovery.port import DiscoveryFailed
from modelcast.consumers.discovery.watching import FleetWatch
from tests.consumers.discovery.api_server import NAMESPACE, SERVICE, KubernetesApi, a_slice, endpoint
from tests.support.network.tls import make_authority
from tests.support.waiting import until_async


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watched, "REOPEN_SECONDS", 0.02)
    monkeypatch.setattr("modelcast.consumers.discovery.watching.PAUSE_SECONDS_FIRST", 0.02)
    for module in ("watching", "decider.merging"):
        monkeypatch.setattr(f"modelcast.consumers.discovery.{module}.CONFIRM_SECONDS", 0.05)


def source(access: ApiAccess) -> EndpointSliceSource:
    return EndpointSliceSource(SERVICE, NAMESPACE, PodPort(), access)


class Followed:
    """A source that is followed."""

    def __init__(self, api: KubernetesApi, token_file: Path = Path("/absent")) -> None:
        self.views: list[FleetView] = []
        self.watch = FleetWatch("k", source(ApiAccess(api.url, token_file)), lambda view, _: self.views.append(view))

    async def names(self, *expected: str) -> None:
        await until_async(lambda: set(self.watch.view.pods) == set(expected), lambda: f"{expected}: {self.watch.view}")


@contextlib.asynccontextmanager
async def followed(api: KubernetesApi, token_file: Path = Path("/absent")) -> AsyncIterator[Followed]:
    made = Followed(api, token_file)
    task = asyncio.create_task(made.watch.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_changes_is_followed_without_another_list() -> None:
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api) as ours:
            await ours.names("a")
            await api.put(a_slice("s", endpoint("a", "10.0.0.1"), endpoint("b", "10.0.0.2", ready=False)))
            await ours.names("a", "b")
            await api.put(a_slice("t", endpoint("c", "10.0.0.3")))
            await ours.names("a", "b", "c")
            await api.delete("s")
            await ours.names("c")
            assert len(api.lists) == 1


async def test_a_pod_that_was_made_anew_under_its_name_is_another_pod() -> None:
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1", uid="1")))
        async with followed(api) as ours:
            await ours.names("a")
            await api.put(a_slice("s", endpoint("a", "10.0.0.1", uid="2")))
            await until_async(lambda: ours.watch.view.pods["a"].identity == "2", "it is told apart")


async def test_a_watch_that_ends_without_a_word_goes_on_from_where_it_was() -> None:
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api) as ours:
            await ours.names("a")
            await until_async(lambda: api.watches, "it watches")
            await api.bookmark()
            await api.end_watches()
            await until_async(lambda: len(api.watches) > 1, "it watches again")
            assert api.watches[0]["allowWatchBookmarks"] == "true"
            assert int(api.watches[-1]["resourceVersion"]) == api.version  # the bookmark's
            await api.put(a_slice("s", endpoint("b", "10.0.0.2")))
            await ours.names("b")
            assert len(api.lists) == 1


@pytest.mark.parametrize("as_event", [True, False])
async def test_a_version_that_is_gone_makes_it_list_again(as_event: bool) -> None:
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api) as ours:
            await ours.names("a")
            await until_async(lambda: api.watches, "it watches")
            await api.put(a_slice("s", endpoint("b", "10.0.0.2")), silently=True)
            if as_event:
                await api.fail(410, "The resourceVersion for the provided watch is too old.")
            else:
                api.oldest = api.version
                await api.end_watches()
            await ours.names("b")
            assert not any(view.error for view in ours.views)


async def test_another_error_in_a_watch_is_told_and_then_it_lists_again() -> None:
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api) as ours:
            await ours.names("a")
            await until_async(lambda: api.watches, "it watches")
            await api.put(a_slice("s", endpoint("b", "10.0.0.2")), silently=True)
            await api.fail(500, "etcd is away")
            await ours.names("b")
            failed = next(view for view in ours.views if view.error)
            assert (set(failed.pods), failed.error) == ({"a"}, "the watch failed: etcd is away")


async def test_a_list_in_pages_is_whole_and_begins_anew_if_a_page_has_expired() -> None:
    async with KubernetesApi() as api:
        api.page, api.expired_pages = 2, 1
        for n in range(5):
            await api.put(a_slice(f"s{n}", endpoint(f"pod-{n}", f"10.0.0.{n}")))
        ours = source(ApiAccess(api.url, Path("/absent")))
        assert len(await ours.look()) == 5
        assert len(api.lists) == 5  # a page, an expired one, and three
        await ours.aclose()


async def test_an_event_larger_than_a_line_of_a_text_protocol_comes_whole() -> None:
    async with KubernetesApi() as api, followed(api) as ours:
        await until_async(lambda: api.watches, "it watches")
        large = a_slice("s", endpoint("a", "10.0.0.1"))
        large["metadata"]["annotations"] = {"padding": "x" * 2_000_000}
        await api.put(large)
        await ours.names("a")
        assert len(api.lists) == 1


async def test_a_service_that_falls_to_none_is_listed_once_more_before_it_is_believed() -> None:
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api) as ours:
            await ours.names("a")
            await until_async(lambda: api.watches, "it watches")
            await api.put(a_slice("s"))
            await ours.names()
            assert len(api.lists) == 2


async def test_the_token_is_read_anew_when_it_is_replaced(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("first\n")
    async with KubernetesApi(token="first") as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api, token) as ours:
            await ours.names("a")
            await until_async(lambda: api.watches, "it watches")
            api.token = "second"
            await api.end_watches()
            await until_async(lambda: ours.watch.view.error, "it is refused")
            assert "HTTP 401: Unauthorized" in ours.watch.view.error
            assert "endpointslices" in ours.watch.view.error  # what its account needs
            assert set(ours.watch.view.pods) == {"a"}
            token.write_text("second\n")
            await until_async(lambda: not ours.watch.view.error, "it is let in")


async def test_the_clusters_own_ca_is_trusted_and_no_other(tmp_path: Path) -> None:
    ca, chain = make_authority(tmp_path / "ours")
    other, _ = make_authority(tmp_path / "other")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(chain)
    async with KubernetesApi(tls=tls) as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        trusting, wary = (source(ApiAccess(api.url, Path("/absent"), each)) for each in (ca, other))
        assert [pod.name for pod in await trusting.look()] == ["a"]
        with pytest.raises(DiscoveryFailed, match="certificate"):
            await wary.look()
        await trusting.aclose()
        await wary.aclose()


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_without_end_is_a_failed_look_and_fills_no_memory(
    compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelcast.consumers.discovery.kubernetes.api.PAGE_BYTES_MAX", 1_000_000)
    async with KubernetesApi() as api:
        large = a_slice("s", endpoint("a", "10.0.0.1"))
        large["metadata"]["annotations"] = {"padding": "x" * 4_000_000}
        await api.put(large)
        api.compressed = compressed
        ours = source(ApiAccess(api.url, Path("/absent")))
        with pytest.raises(DiscoveryFailed, match="no API server" if compressed else "larger than 64 MiB"):
            await ours.look()
        await ours.aclose()


async def test_what_answers_but_is_no_api_server_is_a_failed_look() -> None:
    async with KubernetesApi() as api:
        ours = EndpointSliceSource(SERVICE, "elsewhere", PodPort(), ApiAccess(api.url, Path("/absent")))
        with pytest.raises(DiscoveryFailed, match="HTTP 404"):
            await ours.look()
        api.refusing = 503
        with pytest.raises(DiscoveryFailed, match="HTTP 503: as the test wants it"):
            await source(ApiAccess(api.url)).look()
        await ours.aclose()


def test_outside_a_cluster_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(DiscoveryFailed, match="does not run in a Kubernetes cluster"):
        in_cluster()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    assert in_cluster().url == "https://[fd00::1]:6443"


async def test_a_watch_that_falls_silent_for_longer_than_the_server_keeps_one_is_given_up_and_listed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, seconds in (("WATCH_SECONDS", 0), ("ANSWER_SECONDS", 0.3)):
        monkeypatch.setattr(f"modelcast.consumers.discovery.kubernetes.api.{name}", seconds)
    async with KubernetesApi() as api:
        await api.put(a_slice("s", endpoint("a", "10.0.0.1")))
        async with followed(api) as ours:
            await ours.names("a")
            await api.put(a_slice("s", endpoint("b", "10.0.0.2")), silently=True)
            await ours.names("b")
            assert {"a"} in [set(view.pods) for view in ours.views if view.error]
