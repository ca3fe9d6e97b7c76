"""A pod registers itself in its region's bucket and renews that for as long as it lives."""

import asyncio
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass

import structlog

from modelcast.consumers.discovery.port import checked_zone
from modelcast.consumers.discovery.registration import (
    EXPIRY_SECONDS,
    REGISTRATION_SIZE_MAX,
    RENEW_SECONDS,
    Registration,
)
from modelcast.infra.settings import RegionSettings
from modelcast.infra.stores.configured import store_of
from modelcast.infra.urls import check_url
from modelcast.schemas import keys
from modelcast.schemas.errors import DecodeError, ModelcastError, Refused, UsageError
from modelcast.schemas.ports import ObjectStore, PreconditionFailed

log = structlog.get_logger(__name__)

NAME_CHARS_MAX = 200


class NameTaken(Refused):
    """Another pod that lives is registered by that name."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What lies under the name; ``modified_us`` by the store's clock, ``since`` by ours when that was first seen."""

    etag: str
    modified_us: int
    since: float


class Registrar:
    """One pod's registration. Blocking calls run on threads; one task runs it.

    A process that starts where the last one of that name was (same URL) replaces it at once, for it holds the port.
    Another URL means another pod: it waits until the one that is registered has been silent for ``expiry_seconds``.

    Args:
        store: the region's bucket.
        registration: what is registered.
        renew_seconds: how often.
        expiry_seconds: after which silence another pod has ended.

    Attributes:
        trouble: why this pod must take no traffic: another has its name, and its region drives that one; "": none.
    """

    def __init__(
        self,
        store: ObjectStore,
        registration: Registration,
        *,
        renew_seconds: float = RENEW_SECONDS,
        expiry_seconds: float = EXPIRY_SECONDS,
    ) -> None:
        self.trouble = ""
        self._store = store
        self._registration = registration
        self._key = keys.pod_registration(registration.name)
        self._renew_seconds = renew_seconds
        self._expiry = expiry_seconds
        self._etag: str | None = None  # None: it is not ours
        self._was_ours = False
        self._ended = False
        self._lock = threading.Lock()
        self._other: _Held | None = None

    async def run(self) -> None:
        """Register and renew until cancelled; then delete the registration, so that no other pod waits for its end."""
        reported = ""
        try:
            while True:
                try:
                    held = self._etag is not None
                    await asyncio.to_thread(self.renew, time.monotonic())
                    if not held or reported:
                        log.info("registered", pod=self._registration.name, url=self._registration.url)
                    self.trouble = reported = ""
                except ModelcastError as error:
                    if str(error) != reported:
                        log.error("this pod is not registered: its region does not know it", error=error)
                    reported = str(error)
                    self.trouble = reported if isinstance(error, NameTaken) else self.trouble
                await asyncio.sleep(self._renew_seconds)
        finally:
            with suppress(ModelcastError):
                await asyncio.to_thread(self.release)

    def renew(self, now: float) -> None:
        """Write the registration again, unless ``release`` came first.

        Args:
            now: seconds by any monotonic clock.

        Raises:
            NameTaken: another pod is registered by the name.
            ModelcastError: the store did not take it.
        """
        with self._lock:
            if not self._ended:
                self._renew(now)

    def release(self) -> None:
        """Delete this pod's registration, for good. Raises ``ModelcastError``."""
        with self._lock:
            self._ended = True
            if self._etag is None:
                return
            found = self._store.get(self._key, size_max=REGISTRATION_SIZE_MAX)
            if found is not None and found.body == self._registration.encode():
                self._store.delete(self._key)

    def _renew(self, now: float) -> None:
        body = self._registration.encode()
        if self._etag is not None:
            try:
                self._etag = self._store.put(self._key, body, if_match=self._etag).etag
                return
            except PreconditionFailed:
                self._etag = None
        found = self._store.get(self._key, size_max=REGISTRATION_SIZE_MAX)
        if found is not None and found.body != body:
            self._check_free(found.body, found.info.etag, found.info.last_modified_us, now)
        try:
            if found is None:
                put = self._store.put(self._key, body, if_absent=True)
            else:
                put = self._store.put(self._key, body, if_match=found.info.etag)
        except PreconditionFailed:
            raise NameTaken("another pod was quicker to take the name", subject=self._registration.name) from None
        self._etag, self._was_ours, self._other = put.etag, True, None

    def _check_free(self, body: bytes, etag: str, modified_us: int, now: float) -> None:
        """Raises ``NameTaken`` unless what lies there may be replaced."""
        try:
            other = Registration.decode(body, key=self._key)
        except DecodeError:
            return  # it keeps no one alive
        if other.url == self._registration.url and not self._was_ours:
            return
        seen = self._other
        if seen is None or (seen.etag, seen.modified_us) != (etag, modified_us):
            seen = self._other = _Held(etag, modified_us, now)
        if now - seen.since <= self._expiry:
            raise NameTaken(
                f"a pod at {other.url} is registered by that name",
                subject=self._registration.name,
                hint="give each pod a name of its own (--name); if that pod has ended, its entry expires in seconds",
            )


def make_registrar(region: RegionSettings, region_name: str, name: str, url: str, zone: str = "") -> Registrar:
    """What registers a pod in its region's bucket.

    Args:
        region: the region's settings.
        region_name: for messages.
        name: the pod's.
        url: where the region reaches it.
        zone: where it stands; "": as its fleet's settings say.

    Raises:
        UsageError: name, URL or zone make no sense, or the region has no bucket.
    """
    if region.store is None:
        raise UsageError(
            "a pod registers itself in its region's bucket, and the settings name none",
            hint=f"set MODELCAST_REGIONS__{region_name.upper()}__STORE__URL, or advertise nothing",
        )
    if not name.isprintable() or "/" in name or len(name) > NAME_CHARS_MAX:
        raise UsageError(f"bad pod name {name!r}", hint="a registered pod's name has up to 200 characters and no slash")
    try:
        check_url(url, ("http", "https"))
    except ValueError as error:
        raise UsageError(
            f"can't be advertised, {url!r}: {error}", hint="as the region's workers reach this pod"
        ) from None
    try:
        checked_zone(zone)
    except ValueError as error:
        raise UsageError(str(error), hint="--zone eu-1a") from None
    registration = Registration(name, url.rstrip("/"), secrets.token_hex(8), zone)
    return Registrar(store_of(region.store), registration)
