"""The settings, read when a command runs: ``--help`` and completion don't pay for the libraries that they take."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modelcast.infra.registry import RegistryReader
    from modelcast.infra.settings import Settings


def load() -> "Settings":
    """See ``modelcast.infra.settings.load``."""
    from modelcast.infra import settings

    return settings.load()


def origin_registry(settings: "Settings") -> "RegistryReader":
    """The registry in the origin store of the settings."""
    from modelcast.infra.registry import RegistryReader
    from modelcast.infra.stores.configured import origin_store

    return RegistryReader(origin_store(settings))
