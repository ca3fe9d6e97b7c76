"""The settings, read when a command runs: ``--help`` and completion don't pay for the libraries that they take."""

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelcast.cli.console import say
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_region

if TYPE_CHECKING:
    from modelcast.infra.registry.reader import RegistryReader
    from modelcast.infra.settings import Settings


def load() -> "Settings":
    """See ``modelcast.infra.settings.load_settings``."""
    from modelcast.infra import settings

    return settings.load_settings()


def warnings_only() -> None:
    """Have what is logged go to stderr, and only if it is a warning: stdout is for answers."""
    from modelcast.infra.settings import LogSettings
    from modelcast.infra.telemetry import logs

    logs.set_up(LogSettings(level="warning", format="console"))


def origin_registry(settings: "Settings") -> "RegistryReader":
    """The registry in the origin store of the settings."""
    from modelcast.infra.registry import configured

    return configured.registry_of(settings)


def regions_of(settings: "Settings", named: Sequence[str] | None, *, unknown_ok: bool) -> tuple[str, ...]:
    """The regions that a command names, each once.

    Where the settings list regions, any other name is most likely misspelt, and a command for it would have no effect.
    Settings that list none (a training job's, say) accept every name.

    Args:
        settings: what is known here.
        named: the ``--region`` options.
        unknown_ok: the caller says that others know them.

    Raises:
        UsageError: a name is malformed, or is not among those in the settings.
    """
    chosen = tuple(dict.fromkeys(check_region(name) for name in named or ()))
    known = sorted(settings.regions)
    for name in chosen:
        if not known or name in settings.regions:
            continue
        message = f"the settings list no region {name!r} (known: {', '.join(known)})"
        if unknown_ok:
            say(f"note: {message}")
            continue
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}? " if close else ""
        raise UsageError(message, hint=f"{meant}if it is known elsewhere, add --unknown-region-ok")
    return chosen
