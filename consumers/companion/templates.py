"""Requests with gaps for what is ordered, filled in safely: ``${version}`` in a URL, a header or a body. Pure.

A gap is filled with a value and nothing else: nothing is evaluated, and each value is quoted for the place where it
stands. So no artifact can change where a request goes or what it says beside its gaps.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from string import Template
from typing import Any
from urllib.parse import quote, urlsplit

import jmespath
import orjson

from modelcast.schemas.errors import UsageError

GAPS = ("model", "version", "digest", "generation", "folder")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
JSON_TYPE = "application/json"
_SAMPLE = dict.fromkeys(GAPS, "7")


@dataclass(frozen=True, slots=True)
class FilledRequest:
    """A request as it is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class RequestTemplate:
    """A request with gaps; see ``GAPS``.

    Attributes:
        seconds: how long the server may take.
        refused: statuses by which it says that it can't load these files: the version is to blame.
        unsupported: statuses by which it says that it is not made for such files.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    seconds: float = 5.0
    refused: frozenset[int] = frozenset()
    unsupported: frozenset[int] = frozenset()

    def fill(self, values: Mapping[str, str]) -> FilledRequest:
        """The request with each of ``GAPS`` filled in from ``values``."""
        quoted = {name: quote(value, safe="") for name, value in values.items()}
        headers = {name: Template(text).substitute(values) for name, text in self.headers.items()}
        inside = {name: _inside_json(value) for name, value in values.items()} if self._json else values
        body = Template(self.body).substitute(inside).encode()
        return FilledRequest(self.method, Template(self.url).substitute(quoted), headers, body)

    @property
    def _json(self) -> bool:
        kind = next((value for name, value in self.headers.items() if name.lower() == "content-type"), JSON_TYPE)
        return "json" in kind.lower()

    def check(self, where: str, gaps: Collection[str] = GAPS) -> None:
        """Raise ``UsageError``, naming ``where`` it stands, unless it can be filled and sent with these gaps alone."""
        headers = ((f"headers.{name}", text) for name, text in self.headers.items())
        for part, text in (("url", self.url), ("body", self.body), *headers):
            _check_gaps(f"{where}.{part}", text, gaps)
        if self.method not in METHODS:
            raise UsageError(f"{self.method!r}: one of {', '.join(METHODS)}", subject=f"{where}.method")
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname or "$" in parts.netloc:
            raise UsageError(
                f"{self.url!r} is no URL of a server", subject=f"{where}.url", hint="http://127.0.0.1:9000/load"
            )
        if any(c in name + text for name, text in self.headers.items() for c in "\r\n\0"):
            raise UsageError("holds a line break", subject=f"{where}.headers")
        if self.body and self._json:
            try:
                orjson.loads(self.fill(_SAMPLE).body)
            except orjson.JSONDecodeError as error:
                raise UsageError(
                    f"is no JSON once its gaps are filled: {error}",
                    subject=f"{where}.body",
                    hint='a text needs quotes around its gap: {"folder": "${folder}"}; or set headers.content-type',
                ) from None


@dataclass(frozen=True, slots=True)
class AnswerPaths:
    """Where in a JSON answer the version (and the manifest digest, if it says) stands: JMESPath expressions."""

    version: str
    digest: str = ""

    def check(self, where: str) -> None:
        """Raise ``UsageError`` if an expression does not parse."""
        for name, expression in (("version", self.version), ("digest", self.digest)):
            try:
                jmespath.compile(expression or "version")
            except jmespath.exceptions.JMESPathError as error:
                first = str(error).splitlines()[0]
                raise UsageError(f"{expression!r} is no JMESPath: {first}", subject=f"{where}.{name}") from None

    def of(self, body: Any) -> tuple[int, str] | None:
        """The version, and the digest or ""; None: the answer names none."""
        try:
            version = jmespath.search(self.version, body)
            digest = jmespath.search(self.digest, body) if self.digest else ""
        except jmespath.exceptions.JMESPathError:  # a function that does not take what stands there
            return None
        number = str(version) if isinstance(version, int | str) and not isinstance(version, bool) else ""
        if not number.isdecimal() or not number.isascii() or len(number) > 18:
            return None
        return int(number), digest if isinstance(digest, str) else ""


def _check_gaps(where: str, text: str, gaps: Collection[str]) -> None:
    template = Template(text)
    if not template.is_valid():
        raise UsageError(
            f"a gap is not closed in {text!r}", subject=where, hint="write ${version}, and $$ for a dollar"
        )
    if strange := [name for name in template.get_identifiers() if name not in gaps]:
        raise UsageError(f"no such gap here: ${{{strange[0]}}}", subject=where, hint=f"there is {', '.join(gaps)}")


def _inside_json(value: str) -> str:
    return orjson.dumps(value).decode()[1:-1]
