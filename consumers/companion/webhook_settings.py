"""What kind ``webhook`` is told of its server: a TOML file, checked whole before the companion starts."""

import os
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modelcast.consumers.companion.templates import GAPS, AnswerPaths, RequestTemplate
from modelcast.schemas.errors import UsageError

CHECK_SECONDS = 5.0
_ASKED_WITH = ("model",)  # there is no order when the server is asked what it serves
_REQUEST = {"method", "url", "headers", "header_variables", "body", "seconds"}
_FIELDS = {
    "load": _REQUEST | {"refused", "unsupported"},
    "check": _REQUEST | {"version", "digest", "proof"},
    "unload": _REQUEST,
}


@dataclass(frozen=True, slots=True)
class Webhook:
    """How a server is told and asked.

    Attributes:
        load: has it serve a version. 202 means that it loads on: the check is asked until it names the version.
        check: asks what its memory holds; None: nothing can, and nothing confirms what is served.
        reading: where that stands in the answer.
        proof: what the check rests on: ``disk`` if the server answers from its configuration or its disk.
        unload: has it let go of a model; None: it can't be told.
    """

    load: RequestTemplate
    check: RequestTemplate | None = None
    reading: AnswerPaths = field(default_factory=lambda: AnswerPaths("version"))
    proof: Literal["memory", "disk"] = "memory"
    unload: RequestTemplate | None = None


def read_webhook(file: Path, load_seconds_max: float) -> Webhook:
    """The file's tables ``[load]``, ``[check]`` and ``[unload]``.

    Raises:
        UsageError: it can't be read, or something in it can't be used; the place is named.
    """
    try:
        tables = tomllib.loads(file.read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"can't be read: {error}", subject=str(file)) from None
    for name, table in tables.items():
        if name not in _FIELDS:
            raise UsageError(f"no table [{name}] is known", subject=str(file), hint="[load], [check] and [unload] are")
        if not isinstance(table, dict):
            raise UsageError(f"[{name}] must be a table", subject=str(file))
        if strange := sorted(set(table) - _FIELDS[name]):
            known = ", ".join(sorted(_FIELDS[name]))
            raise UsageError(f"[{name}] knows no {strange[0]!r}", subject=str(file), hint=f"it knows {known}")
    if "load" not in tables:
        raise UsageError("a webhook needs a table [load]", subject=str(file))
    check = tables.get("check", {})
    proof = check.get("proof", "memory")
    if proof not in {"memory", "disk"}:
        raise UsageError(f"{proof!r}: memory or disk", subject=f"{file}: check.proof")
    reading = AnswerPaths(
        _text(check, "version", f"{file}: check", "version"), _text(check, "digest", f"{file}: check", "")
    )
    reading.check(f"{file}: check")
    return Webhook(
        _request(tables["load"], f"{file}: load", "POST", load_seconds_max, GAPS),
        _request(check, f"{file}: check", "GET", CHECK_SECONDS, _ASKED_WITH) if check else None,
        reading,
        proof,
        _request(tables["unload"], f"{file}: unload", "POST", load_seconds_max, _ASKED_WITH)
        if "unload" in tables
        else None,
    )


def _request(
    table: Mapping[str, Any], where: str, method: str, seconds: float, gaps: Collection[str]
) -> RequestTemplate:
    headers = table.get("headers", {})
    from_variables = table.get("header_variables", {})
    for name, value in (("headers", headers), ("header_variables", from_variables)):
        if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
            raise UsageError("must be a table of texts", subject=f"{where}.{name}")
    limit = table.get("seconds", seconds)
    if isinstance(limit, bool) or not isinstance(limit, int | float) or not 0 < limit <= 86_400:
        raise UsageError(f"{limit!r} is no number of seconds", subject=f"{where}.seconds")
    template = RequestTemplate(
        method=_text(table, "method", where, method).upper(),
        url=_text(table, "url", where, ""),
        headers={**headers, **_from_environment(from_variables, where)},
        body=_text(table, "body", where, ""),
        seconds=float(limit),
        refused=_statuses(table, "refused", where),
        unsupported=_statuses(table, "unsupported", where),
    )
    template.check(where, gaps)
    return template


def _from_environment(variables: Mapping[str, str], where: str) -> dict[str, str]:
    """Headers whose values are secrets: the file names the variable that holds each."""
    if missing := sorted(name for name in variables.values() if name not in os.environ):
        raise UsageError(f"the environment has no {missing[0]}", subject=f"{where}.header_variables")
    return {header: os.environ[name].replace("$", "$$") for header, name in variables.items()}


def _text(table: Mapping[str, Any], name: str, where: str, default: str) -> str:
    value = table.get(name, default)
    if not isinstance(value, str):
        raise UsageError(f"{value!r} is no text", subject=f"{where}.{name}")
    return value


def _statuses(table: Mapping[str, Any], name: str, where: str) -> frozenset[int]:
    value = table.get(name, [])
    if not isinstance(value, list) or not all(isinstance(s, int) and 400 <= s < 600 for s in value):
        raise UsageError(f"{value!r}: a list of HTTP statuses from 400 to 599", subject=f"{where}.{name}")
    return frozenset(value)
