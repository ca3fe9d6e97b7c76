"""Requests with gaps: filled safely, and refused before anything starts where they can't be."""

import pytest

from modelcast.consumers.companion.templates import AnswerPaths, RequestTemplate
from modelcast.schemas.errors import UsageError

URL = "http://127.0.0.1:9000/load"
VALUES = {"model": "fraud", "version": "7", "digest": "sha256:ab", "generation": "12", "folder": "/models/fraud/7"}


def test_gaps_are_filled_in_url_headers_and_body() -> None:
    template = RequestTemplate(
        "POST", f"{URL}/${{model}}?v=${{version}}", {"x-digest": "${digest}"}, '{"at": "${folder}", "v": ${version}}'
    )
    template.check("load")
    filled = template.fill(VALUES)
    assert filled.url == f"{URL}/fraud?v=7"
    assert filled.headers == {"x-digest": "sha256:ab"}
    assert filled.body == b'{"at": "/models/fraud/7", "v": 7}'


def test_a_value_stays_inside_its_gap() -> None:
    template = RequestTemplate("POST", f"{URL}?at=${{folder}}", body='{"at": "${folder}"}')
    filled = template.fill({**VALUES, "folder": '/a b/"&x=1#'})
    assert filled.url == f"{URL}?at=%2Fa%20b%2F%22%26x%3D1%23"
    assert filled.body == rb'{"at": "/a b/\"&x=1#"}'


def test_a_body_of_another_type_is_filled_as_it_stands() -> None:
    template = RequestTemplate("POST", URL, {"Content-Type": "text/plain"}, "load ${model} from ${folder}, $$5")
    template.check("load")
    assert template.fill(VALUES).body == b"load fraud from /models/fraud/7, $5"


@pytest.mark.parametrize(
    ("template", "told"),
    [
        (RequestTemplate("POST", f"{URL}/${{mdel}}"), r"load.url: no such gap here: \$\{mdel\}"),
        (RequestTemplate("POST", URL, body='{"a": "${"}'), "load.body: a gap is not closed"),
        (RequestTemplate("POST", URL, body='{"a": ${folder}x}'), "load.body: is no JSON once its gaps are filled"),
        (RequestTemplate("POST", URL, {"x": "${nothing}"}), "load.headers.x: no such gap"),
        (RequestTemplate("POST", URL, {"x": "a\r\nHost: b"}), "load.headers: holds a line break"),
        (RequestTemplate("BREW", URL), "load.method: 'BREW'"),
        (RequestTemplate("POST", "file:///etc/passwd"), "is no URL of a server"),
        (RequestTemplate("POST", "http://${model}/"), "is no URL of a server"),
        (RequestTemplate("POST", ""), "is no URL of a server"),
    ],
)
def test_a_bad_template_is_refused_with_its_place(template: RequestTemplate, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        template.check("load")


def test_what_is_asked_without_an_order_has_no_version_to_fill_in() -> None:
    with pytest.raises(UsageError, match=r"no such gap here: \$\{version\}"):
        RequestTemplate("GET", f"{URL}/${{version}}").check("check", ("model",))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"models": [{"version": 7, "digest": "sha256:ab"}]}, (7, "sha256:ab")),
        ({"models": [{"version": "7"}]}, (7, "")),
        ({"models": [{"version": 7, "digest": 9}]}, (7, "")),
        ({"models": [{"version": -7}]}, None),
        ({"models": [{"version": True}]}, None),
        ({"models": [{"version": 7.5}]}, None),
        ({"models": [{"version": "9" * 19}]}, None),
        ({"models": []}, None),
        ([], None),
        (None, None),
    ],
)
def test_version_and_digest_are_found_in_an_answer(body: object, expected: tuple[int, str] | None) -> None:
    assert AnswerPaths("models[0].version", "models[0].digest").of(body) == expected


def test_a_function_that_does_not_take_what_stands_there_finds_nothing() -> None:
    assert AnswerPaths("max(versions)").of({"versions": "none"}) is None


def test_an_expression_that_does_not_parse_is_refused_with_its_place() -> None:
    with pytest.raises(UsageError, match=r"check.digest: 'a\['"):
        AnswerPaths("version", "a[").check("check")
