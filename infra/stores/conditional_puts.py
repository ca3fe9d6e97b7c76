"""Does a store honour conditional puts? The registry log is only safe on one that does."""

import uuid

from modelcast.schemas.errors import Refused
from modelcast.schemas.ports import ObjectStore, PreconditionFailed

CHECKS_PREFIX = "checks/"
_HINT = "use a store with S3 conditional writes (AWS S3, MinIO, Ceph, R2, versitygw, …); its version may be too old"


def prove_conditional_puts(store: ObjectStore) -> None:
    """Prove on a throw-away object that ``If-None-Match: *`` and ``If-Match`` are obeyed.

    Raises:
        Refused: the store ignores one of them, or refuses one that should have passed.
        StoreUnavailable: the store could not be reached.
    """
    key = f"{CHECKS_PREFIX}{uuid.uuid4().hex}"
    try:
        first = _passes(store, key, b"1", if_absent=True)
        _loses(store, key, b"2", "If-None-Match", if_absent=True)
        second = _passes(store, key, b"3", if_match=first)
        _loses(store, key, b"4", "If-Match", if_match=first)
        found = store.get(key, size_max=1)
        if found is None or found.body != b"3" or found.info.etag != second:
            raise Refused("the store did not keep what a conditional put wrote", subject=store.name, hint=_HINT)
    finally:
        store.delete(key)


def _passes(store: ObjectStore, key: str, body: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str:
    try:
        return store.put(key, body, if_absent=if_absent, if_match=if_match).etag
    except PreconditionFailed:
        header = "If-None-Match" if if_absent else "If-Match"
        raise Refused(f"the store refused a put whose {header} held", subject=store.name, hint=_HINT) from None


def _loses(
    store: ObjectStore, key: str, body: bytes, header: str, *, if_absent: bool = False, if_match: str | None = None
) -> None:
    try:
        store.put(key, body, if_absent=if_absent, if_match=if_match)
    except PreconditionFailed:
        return
    raise Refused(f"the store ignores {header} on puts", subject=store.name, hint=_HINT)
