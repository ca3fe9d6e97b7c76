"""The policy as readers see it: by python-tuf's updater, from a root that they have pinned by its digest."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC
from pathlib import Path
from urllib.parse import urlsplit

from securesystemslib.exceptions import UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Signature as TufSignature
from tuf.api.exceptions import DownloadHTTPError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, Targets
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from modelcast.infra.telemetry import metrics
from modelcast.infra.trust.policy_files import EXPIRY_DAYS, FILE_SIZE_MAX, policy_of
from modelcast.schemas import keys
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import NotFound, TransportError, VerificationFailed
from modelcast.schemas.log.statements import Trust
from modelcast.schemas.ports import ObjectStore
from modelcast.schemas.trust.policy import faults

REFRESH_SECONDS = 300.0
"""How old a policy may be that is gone by without asking."""
AGAIN_SECONDS = 5.0
"""An unknown key has the policy read again, but not more often."""
_BASE = "store:///"


class PolicyReader:
    """Today's policy of one store, verified from a pinned root. Thread-safe; reads nothing before it is asked.

    Args:
        store: the origin.
        root_digest: SHA-256 (``sha256:…``) of ``trust/1.root.json``.
        folder: where what was verified is kept between starts, so that no older policy is obeyed; None: nowhere.
    """

    def __init__(self, store: ObjectStore, root_digest: str, folder: Path | None = None) -> None:
        self._store, self._root_digest = store, root_digest
        self._scratch = tempfile.TemporaryDirectory(prefix="modelcast-trust-") if folder is None else None
        self._folder = folder or Path(self._scratch.name if self._scratch else "")
        self._lock = threading.Lock()
        self._trust: Trust | None = None
        self._read_at = 0.0

    def current(self) -> Trust:
        """Today's policy, at most ``REFRESH_SECONDS`` old.

        Raises:
            NotFound: the store holds no root.
            VerificationFailed: the store's files are not signed as the pinned root says, or the root is another one.
            StoreUnavailable: the store can't be asked, and no policy was read before.
        """
        with self._lock:
            if self._trust is None:
                self._trust = self._refreshed()
            elif time.monotonic() - self._read_at > REFRESH_SECONDS:
                with suppress(TransportError):  # what was read a while ago still binds, until the store answers
                    self._trust = self._refreshed()
            return self._trust

    def renewed(self, than: Trust) -> Trust | None:
        """A newer policy than this one; None: there is none, or it was looked for a moment ago."""
        with self._lock:
            if self._trust is not than and self._trust is not None:
                return self._trust
            if time.monotonic() - self._read_at < AGAIN_SECONDS:
                return None
            found = self._refreshed()
            newer = found.policy != than.policy
            self._trust = found if newer else than
            return found if newer else None

    def close(self) -> None:
        """Remove what is kept nowhere else."""
        if self._scratch is not None:
            self._scratch.cleanup()

    def _refreshed(self) -> Trust:
        self._read_at = time.monotonic()
        key = keys.trust_file("1.root.json")
        root = self._store.get(key, size_max=FILE_SIZE_MAX)
        if root is None:
            raise NotFound(
                "the store holds no root of trust", subject=f"{self._store.name}/{key}", hint="modelcast keys init"
            )
        if sha256_of(root.body) != self._root_digest:
            raise VerificationFailed(
                f"it is {sha256_of(root.body)}, pinned is {self._root_digest}",
                subject=f"{self._store.name}/{key}",
                hint="the store was swapped, or trust.root is wrong: compare it with who keeps the keys",
            )
        self._folder.mkdir(parents=True, exist_ok=True)
        sizes = UpdaterConfig(
            root_max_length=FILE_SIZE_MAX, timestamp_max_length=FILE_SIZE_MAX, snapshot_max_length=FILE_SIZE_MAX,
            targets_max_length=FILE_SIZE_MAX,
        )  # fmt: skip
        fetcher = _StoreFetcher(self._store)
        try:
            Updater(str(self._folder), _BASE, fetcher=fetcher, config=sizes, bootstrap=root.body).refresh()
        except ExpiredMetadataError as error:
            raise VerificationFailed(
                f"the policy has expired: {error}", subject=self._store.name, hint="modelcast keys renew"
            ) from None
        except (RepositoryError, DownloadHTTPError, ValueError, RecursionError) as error:
            raise VerificationFailed(f"the policy can't be believed: {error}"[:400], subject=self._store.name) from None
        targets = Metadata[Targets].from_bytes((self._folder / "targets.json").read_bytes()).signed
        policy = replace(policy_of(targets), expires_us=self._expires_us())
        if wrong := faults(policy):
            raise VerificationFailed(
                f"the policy may not be used: {'; '.join(wrong)}", subject=f"{self._store.name} policy {policy.version}"
            )
        metrics.TRUST_EXPIRES.set(policy.expires_us / 1_000_000)
        return Trust(policy, _Verifier(targets))

    def _expires_us(self) -> int:
        """When the first of the four files expires."""
        files = (Metadata.from_bytes((self._folder / f"{name}.json").read_bytes()).signed for name in EXPIRY_DAYS)
        return min(int(file.expires.replace(tzinfo=UTC).timestamp() * 1_000_000) for file in files)


class _StoreFetcher(FetcherInterface):
    """TUF's files out of an object store."""

    def __init__(self, store: ObjectStore) -> None:
        super().__init__()
        self._store = store

    def _fetch(self, url: str) -> Iterator[bytes]:
        name = urlsplit(url).path.lstrip("/")
        found = self._store.get(keys.trust_file(name), size_max=FILE_SIZE_MAX)
        if found is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        return iter((found.body,))


class _Verifier:
    """Verifies signatures by the public keys of one policy."""

    def __init__(self, targets: Targets) -> None:
        delegations = targets.delegations
        found = policy_of(targets).keys
        self._keys = {found[keyid]: key for keyid, key in (delegations.keys if delegations else {}).items()}

    def __call__(self, public: str, sig: bytes, data: bytes) -> bool:
        key = self._keys[public]
        try:
            key.verify_signature(TufSignature(key.keyid, sig.hex()), data)
        except (UnverifiedSignatureError, VerificationError):
            return False
        return True
