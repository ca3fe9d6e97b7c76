"""What kind webhook is told of its server is checked whole, each fault with its place."""

from pathlib import Path

import pytest

from modelcast.consumers.companion.templates import AnswerPaths, RequestTemplate
from modelcast.consumers.companion.webhook_settings import Webhook, read_webhook
from modelcast.schemas.errors import UsageError

LOAD = '[load]\nurl = "http://127.0.0.1:9/load"\n'
URL = "http://127.0.0.1:9/load"


def read(folder: Path, text: str) -> Webhook:
    file = folder / "webhook.toml"
    file.write_text(text)
    return read_webhook(file, 300.0)


def test_a_load_is_enough_and_confirms_nothing(tmp_path: Path) -> None:
    webhook = read(tmp_path, LOAD)
    assert webhook == Webhook(RequestTemplate("POST", URL, seconds=300.0))


def test_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "se$cret")
    webhook = read(
        tmp_path,
        '[load]\nmethod = "put"\nurl = "http://127.0.0.1:9/load"\nheader_variables = { key = "A_KEY" }\n'
        "refused = [422]\nunsupported = [415]\nseconds = 9\n"
        '[check]\nurl = "http://127.0.0.1:9/${model}"\nversion = "v"\ndigest = "d"\nproof = "disk"\n'
        '[unload]\nurl = "http://127.0.0.1:9/${model}"\n',
    )
    assert (webhook.load.method, webhook.load.seconds) == ("PUT", 9.0)
    assert (webhook.load.refused, webhook.load.unsupported) == (frozenset({422}), frozenset({415}))
    assert webhook.load.fill(dict.fromkeys(("model", "version", "digest", "generation", "folder"), "")).headers == {
        "key": "se$cret"
    }
    assert (webhook.check, webhook.reading, webhook.proof) == (
        RequestTemplate("GET", "http://127.0.0.1:9/${model}", seconds=5.0),
        AnswerPaths("v", "d"),
        "disk",
    )
    assert webhook.unload is not None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", r"a webhook needs a table \[load\]"),
        ("load = 7", r"\[load\] must be a table"),
        ("[lod]\n", r"no table \[lod\] is known"),
        ("[load]\nurl = 7\n", "load.url: 7 is no text"),
        (LOAD + "urls = 7\n", r"\[load\] knows no 'urls'"),
        (LOAD + 'body = "${verson}"\n', r"load.body: no such gap here: \$\{verson\}"),
        (LOAD + "seconds = 0\n", "load.seconds: 0 is no number of seconds"),
        (LOAD + "seconds = true\n", "load.seconds: True is no number of seconds"),
        (LOAD + "refused = [200]\n", "load.refused"),
        (LOAD + "headers = { a = 1 }\n", "load.headers: must be a table of texts"),
        (LOAD + 'header_variables = { a = "NOT_SET_ANYWHERE" }\n', "the environment has no NOT_SET_ANYWHERE"),
        (LOAD + '[check]\nurl = "http://h/${version}"\n', "check.url: no such gap here"),
        (LOAD + '[check]\nurl = "http://h/"\nversion = "a["\n', "check.version: 'a\\['"),
        (LOAD + '[check]\nurl = "http://h/"\nproof = "hope"\n', "check.proof: 'hope'|'hope': memory or disk"),
        ("[load\n", "can't be read"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        read(tmp_path, text)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"webhook.toml: can't be read"):
        read_webhook(tmp_path / "webhook.toml", 300.0)
