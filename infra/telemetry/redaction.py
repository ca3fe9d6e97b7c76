"""What no log line shows: e-mail addresses, tokens, keys, and the credentials in URLs.

Errors of other libraries quote what they were given, so that values are looked through wherever they stand: in fields,
in texts, in tracebacks. A field whose name says that it is a secret is masked whole.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

MASK = "***"
_WORDS = r"pass(?:word|wd|phrase)|secret|token|api[-_]?key|access[-_]?key|private[-_]?key|credential|signature"
_NAMED = re.compile(rf"(?i)(?:^|[._-])(?:{_WORDS}|authorization|cookie)s?$")
"""Names of fields, as ``sasl_password`` or ``token``; ``token_seconds`` is none."""
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN ([A-Z ]{0,40})PRIVATE KEY-----.*?(?:-----END \1PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    # scheme://user:password@host; a user without a password may be a token
    (re.compile(r"(?<![\w+.-])([A-Za-z][A-Za-z0-9+.-]{0,20}://)[^\s/@?#\"'<>]{0,500}@"), rf"\g<1>{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{6,}"), rf"\g<1> {MASK}"),
    # name=value and "name": "value", also in a URL's query: password=…, X-Amz-Signature=…, 'secret_access_key': '…'
    (
        re.compile(
            rf"(?i)([\w.-]{{0,60}}(?:{_WORDS}|\bsig)[\"']?\s{{0,3}}(?:=|(?<=[\"']):|(?<=[\"'] ):)\s{{0,3}})"
            r"(\"[^\"]*\"?|'[^']*'?|[^\s\"'&,;)}\]]+)"
        ),
        rf"\g<1>{MASK}",
    ),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*"), MASK),  # JSON web tokens
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),  # ids of AWS keys
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|hf_|xox[abprs]-|sk-)[A-Za-z0-9_-]{16,}"), MASK),
    (re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})*\.[A-Za-z]{2,24}\b"), MASK),
)


def redacted(text: str) -> str:
    """The text with what must not be shown masked."""
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    return text


def redact_event(_logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
    """A processor of structlog: masks secrets in all fields of a line but ``exc_info``, which has no text yet."""
    return {name: value if name == "exc_info" else _value(name, value) for name, value in event.items()}


def _value(name: object, value: Any) -> Any:
    if isinstance(value, str):
        return MASK if isinstance(name, str) and value and _NAMED.search(name) else redacted(value)
    if isinstance(value, Mapping):
        return {key: _value(key, item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_value(name, item) for item in value]
    if value is None or isinstance(value, bool | int | float | datetime.date | datetime.time):
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return _value(name, asdict(value))
    if isinstance(value, bytes | bytearray):
        return _value(name, bytes(value).decode("utf-8", "replace"))
    return _value(name, str(value))
