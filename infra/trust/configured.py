"""Trust as the settings have it. Nothing is read and no library imported before it is used."""

import threading
from pathlib import Path

from modelcast.infra.settings import Settings
from modelcast.infra.trust.policy_reader import PolicyReader
from modelcast.infra.trust.signing_keys import FILE, open_key, signing
from modelcast.schemas.errors import UsageError
from modelcast.schemas.log.statements import Sign
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.trust.envelope import Signature


def policy_reader(settings: Settings, store: ObjectStore) -> PolicyReader:
    """Reads the policy below the root that the settings pin; what it has verified is kept with the daemon's data.

    Raises:
        UsageError: the settings pin no root.
    """
    if not settings.trust.root:
        raise UsageError("no root of trust is pinned", hint="set trust.root to what `modelcast keys init` said")
    kept = settings.daemon.data_dir
    name = settings.trust.root.removeprefix("sha256:")[:16]
    return PolicyReader(store, settings.trust.root, kept / "trust" / name if kept is not None else None)


class ConfiguredSigner:
    """A ``Sign`` that opens its keys when it first signs. Thread-safe.

    Args:
        settings: whose ``trust.keys``.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._sign: Sign | None = None
        self._lock = threading.Lock()

    def __call__(self, data: bytes) -> tuple[Signature, ...]:
        """Signatures over ``data`` by each key; raises as ``open_key``."""
        with self._lock:
            if self._sign is None:
                trust = self._settings.trust
                secret = trust.passphrase.get_secret_value()
                self._sign = signing(open_key(_absolute(uri), {}, secret) for uri in trust.keys)
        return self._sign(data)


def _absolute(uri: str) -> str:
    scheme, _, path = uri.partition(":")
    return f"{FILE}:{Path(path).expanduser()}" if scheme == FILE else uri
