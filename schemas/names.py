"""Names and references: what people type and records carry."""

import operator
import re
from dataclasses import dataclass

from modelcast.schemas.errors import UsageError

MODEL_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
REGION_PATTERN = MODEL_PATTERN
ALIAS_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,62}")
POD_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
VERSION_MAX = 2**31 - 1


def check_model(name: str) -> str:
    """Return ``name`` if it is a model's name.

    Raises:
        UsageError: it is not; the message says what is allowed.
    """
    return _check(name, MODEL_PATTERN, "model name", "lower-case letters, digits and '-', 1 to 63 characters")


def check_region(name: str) -> str:
    """Return ``name`` if it is a region's name, else raise ``UsageError``."""
    return _check(name, REGION_PATTERN, "region name", "lower-case letters, digits and '-', 1 to 63 characters")


def check_alias(name: str) -> str:
    """Return ``name`` if it is an alias, else raise ``UsageError``."""
    return _check(name, ALIAS_PATTERN, "alias", "a lower-case letter, then letters, digits, '_' or '-'")


def check_pod(name: str) -> str:
    """Return ``name`` if it can be a pod's, as hosts' names can, else raise ``UsageError``."""
    return _check(name, POD_PATTERN, "pod name", "letters, digits, '.', '_' and '-', the first a letter or digit")


def check_version(version: int) -> int:
    """Return ``version`` as an int if it is a version number, else raise ``UsageError``."""
    try:
        number = 0 if isinstance(version, bool) else operator.index(version)  # numpy has whole numbers, too
    except TypeError:
        number = 0
    if not 1 <= number <= VERSION_MAX:
        raise UsageError(f"bad version {brief(version)}", hint=f"versions are whole numbers from 1 to {VERSION_MAX}")
    return number


def brief(value: object) -> str:
    """A value as Python writes it, in at most 80 characters, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # a number of too many digits, or an object whose own repr fails
        text = "a value that can't be shown"
    return text if len(text) <= 80 else text[:77] + "..."


def _check(name: str, pattern: re.Pattern[str], what: str, rule: str) -> str:
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise UsageError(f"bad {what} {brief(name)}", hint=f"use {rule}")
    return str(name)


@dataclass(frozen=True, slots=True)
class Reference:
    """``fraud`` (what is aspired), ``fraud/7`` (a version) or ``fraud@champion`` (an alias)."""

    model: str
    version: int | None = None
    alias: str | None = None

    def __str__(self) -> str:
        if self.version is not None:
            return f"{self.model}/{self.version}"
        return f"{self.model}@{self.alias}" if self.alias is not None else self.model

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read a reference as people write it; MLflow's ``models:/fraud/7`` is accepted too.

        Raises:
            UsageError: the text is none of these.
        """
        rest = text.removeprefix("models:/")
        if "@" in rest:
            model, _, alias = rest.partition("@")
            return cls(check_model(model), alias=check_alias(alias))
        model, slash, version = rest.partition("/")
        if slash and not MODEL_PATTERN.fullmatch(model):
            raise UsageError(f"bad model name {model!r} in {text!r}", hint="write MODEL/NUMBER, as in fraud/7")
        check_model(model)
        if not slash:
            return cls(model)
        if not re.fullmatch(r"[0-9]{1,10}", version):
            raise UsageError(f"bad version {version!r} in {text!r}", hint="write MODEL/NUMBER, as in fraud/7")
        return cls(model, version=check_version(int(version)))
