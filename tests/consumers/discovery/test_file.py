"""Pods in a file that others replace."""

import asyncio
from pathlib import Path

import pytest

from modelcast.consumers.discovery.decider.merging import FleetView
from modelcast.consumers.discovery.file import FileSource, pods_in
from modelcast.consumers.discovery.port import PodAddress
from modelcast.consumers.discovery.watching import FleetWatch
from tests.support.waiting import until_async

A = PodAddress("a:1", "http://a:1")


@pytest.mark.parametrize(
    ("text", "toml"),
    [
        ('["http://a:1/", {"name": "b", "url": "https://b:2"}]', False),
        ('{"pods": ["http://a:1", {"name": "b", "url": "https://b:2"}]}', False),
        ('pods = ["http://a:1", { name = "b", url = "https://b:2" }]', True),
        ('[[pods]]\nurl = "http://a:1"\n[[pods]]\nname = "b"\nurl = "https://b:2"', True),
    ],
)
def test_a_file_lists_pods_as_json_or_toml(text: str, toml: bool) -> None:
    assert pods_in(text, toml=toml) == (A, PodAddress("b", "https://b:2"))


def test_a_listed_pod_may_name_its_zone() -> None:
    listed = pods_in('["http://a:1", {"url": "http://b:2", "zone": "eu-1a"}]', toml=False)
    assert [pod.zone for pod in listed] == ["", "eu-1a"]


@pytest.mark.parametrize("text", ["[]", '{"pods": []}'])
def test_a_list_may_be_empty(text: str) -> None:
    assert pods_in(text, toml=False) == ()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "Expecting value"),
        ("{}", "no list `pods`"),
        ('"http://a:1"', "no list `pods`"),
        ('["a:1"]', "write http://host:port"),
        ("[7]", "neither a URL nor a table"),
        ('["http://a:1", "http://a:1/"]', "the same name twice: a:1"),
        ('["http://a:1", {"name": "b", "url": "http://a:1"}]', "the same url twice: http://a:1"),
        ('[{"name": "x", "url": "http://a:1"}, {"name": "x", "url": "http://b:1"}]', "the same name twice: x"),
        ('[{"url": "http://a:1", "weight": 2}]', "unknown: weight"),
        ('[{"url": "http://a:1", "name": ""}]', "is no name"),
        ('[{"url": "http://a:1", "zone": 7}]', "'7' is no zone"),
        ('[{"url": "http://a:1", "zone": "a\\nb"}]', "is no zone"),
        ('{"pods": [], "pod": []}', "unknown: pod"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_what_is_no_list_of_pods_is_refused_by_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises((ValueError, RecursionError), match=f"(?i){said}"):
        pods_in(text, toml=False)


async def test_a_file_that_is_replaced_is_read_and_a_broken_one_keeps_the_last_good_list(tmp_path: Path) -> None:
    path = tmp_path / "pods.json"
    views: list[FleetView] = []
    watch = FleetWatch("file", FileSource(path, every_seconds=0.01), lambda view, _: views.append(view))
    task = asyncio.create_task(watch.run())
    try:
        await until_async(lambda: watch.view.error, "the file is missed")
        assert watch.view.seen_at is None
        assert str(path) in watch.view.error
        _replace(path, '["http://a:1"]')
        await until_async(lambda: set(watch.view.pods) == {"a:1"}, "it is read")
        _replace(path, '["http://a:1", "http://b:1"')
        await until_async(lambda: watch.view.error, "it is found to be broken")
        assert set(watch.view.pods) == {"a:1"}
        assert "is no list of pods" in watch.view.error
        _replace(path, '["http://b:1"]')
        await until_async(lambda: set(watch.view.pods) == {"b:1"}, "it is read again")
        assert watch.view.error == ""
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _replace(path: Path, text: str) -> None:
    aside = path.with_suffix(".new")
    aside.write_text(text)
    aside.rename(path)
