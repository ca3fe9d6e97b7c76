"""Keeps the embedded S3 server's objects in a folder, so that they outlive its process."""

import hashlib
import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_CHANGES = frozenset({"PUT", "POST", "DELETE"})


@dataclass(frozen=True, slots=True)
class Touched:
    """What a request may have changed: one object, or (``key`` is "") anything in the bucket."""

    bucket: str
    key: str


def touched(method: str, path: str, query: str) -> Touched | None:
    """What a request may have changed; None: nothing that is kept (reads, parts of uploads that are not complete)."""
    asked = parse_qs(query, keep_blank_values=True)
    if method not in _CHANGES or "uploads" in asked or "partNumber" in asked:
        return None
    bucket, _, key = path.lstrip("/").partition("/")
    return Touched(bucket, key) if bucket else None


class KeptObjects:
    """moto's objects, written into ``folder`` after each request that changes them and before it is answered.

    One file a bucket and one an object: a line of JSON with what is known of it, then its bytes. Each is replaced as a
    whole, so an object that was acknowledged is never half there.
    """

    def __init__(self, folder: Path, backend: Any) -> None:
        self._folder, self._backend = folder, backend
        self._lock = threading.Lock()
        self._buckets: dict[str, set[str]] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def load(self) -> None:
        """Give the backend what the folder holds."""
        for path in self._folder.glob("*.partial"):
            path.unlink()
        for path in self._folder.glob("bucket-*"):
            self._backend.create_bucket(json.loads(path.read_text())["bucket"], "us-east-1")
        for path in self._folder.glob("object-*"):
            with path.open("rb") as file:
                facts, body = json.loads(file.readline()), file.read()
            key = self._backend.put_object(facts["bucket"], facts["key"], body, etag=facts["etag"])
            key.set_metadata(facts["metadata"])
            key.last_modified = datetime.fromisoformat(facts["last_modified"])
            self._buckets.setdefault(facts["bucket"], set()).add(facts["key"])

    def save(self, changed: Touched) -> None:
        """Write what a request changed."""
        with self._lock:
            bucket = self._backend.buckets.get(changed.bucket)
            known = self._buckets.setdefault(changed.bucket, set())
            if bucket is None:
                for key in set(known):
                    self._remove(changed.bucket, key)
                _path(self._folder, "bucket", changed.bucket).unlink(missing_ok=True)
                return
            if not changed.key:
                _write(_path(self._folder, "bucket", changed.bucket), {"bucket": changed.bucket}, b"")
                for key in known - set(bucket.keys):
                    self._remove(changed.bucket, key)
                return
            stored = bucket.keys.get(changed.key)
            if stored is None:
                self._remove(changed.bucket, changed.key)
                return
            facts = {
                "bucket": changed.bucket,
                "key": changed.key,
                "etag": stored.etag.strip('"'),
                "metadata": dict(stored.metadata),
                "last_modified": stored.last_modified.isoformat(),
            }
            _write(_path(self._folder, "object", f"{changed.bucket}/{changed.key}"), facts, stored.value)
            known.add(changed.key)

    def _remove(self, bucket: str, key: str) -> None:
        _path(self._folder, "object", f"{bucket}/{key}").unlink(missing_ok=True)
        self._buckets[bucket].discard(key)

    def wrap(self, app: "WSGIApplication") -> "WSGIApplication":
        """``app``, whose changes are written before they are answered."""

        def serve(environ: "WSGIEnvironment", start_response: "StartResponse") -> "Iterable[bytes]":
            path = environ["PATH_INFO"].encode("latin-1").decode("utf-8", "replace")
            changed = touched(environ["REQUEST_METHOD"], path, environ.get("QUERY_STRING", ""))
            answer = app(environ, start_response)
            if changed is not None:
                self.save(changed)
            return answer

        return serve


def _path(folder: Path, kind: str, name: str) -> Path:
    return folder / f"{kind}-{hashlib.sha256(name.encode()).hexdigest()}"


def _write(path: Path, facts: dict[str, Any], body: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        file.write(json.dumps(facts).encode() + b"\n")
        file.write(body)
    partial.replace(path)
