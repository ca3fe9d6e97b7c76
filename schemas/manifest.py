"""The manifest: the list of an artifact's files. Its digest names the whole.

The encoding is canonical JSON (sorted keys, no spaces, UTF-8), so equal artifacts have equal digests wherever
they were made. It holds no times, owners or modes.
"""

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from modelcast.schemas.digests import DIGEST_PATTERN, sha256_of
from modelcast.schemas.errors import ContentError

FORMAT = 1
BLOCK_SIZE_BYTES = 1024 * 1024
MANIFEST_SIZE_MAX = 64 * 1024 * 1024
FILES_MAX = 100_000
PATH_BYTES_MAX = 1024
COMPONENT_BYTES_MAX = 255


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file: POSIX path relative to the artifact, size, SHA-256 of the whole and of each aligned 1 MiB block."""

    path: str
    size_bytes: int
    digest: str
    blocks: tuple[str, ...]  # hex digests, one per started MiB; empty for an empty file


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one version, sorted by path."""

    files: tuple[FileEntry, ...]
    framework: str = ""

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(f.size_bytes for f in self.files)

    def encode(self) -> bytes:
        """The canonical bytes."""
        body = {
            "format": FORMAT,
            "framework": self.framework,
            "files": [
                {"path": f.path, "size": f.size_bytes, "sha256": f.digest[7:], "blocks": list(f.blocks)}
                for f in sorted(self.files, key=lambda f: f.path.encode())
            ],
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @property
    def digest(self) -> str:
        """The manifest digest."""
        return sha256_of(self.encode())

    @classmethod
    def decode(cls, data: bytes, *, expected_digest: str) -> "Manifest":
        """Read a manifest and prove that it is the one meant.

        Raises:
            ContentError: other bytes than ``expected_digest`` names, not canonical, or a path that leaves the folder.
        """
        if len(data) > MANIFEST_SIZE_MAX:
            raise ContentError(f"manifest of {len(data)} bytes", hint=f"at most {MANIFEST_SIZE_MAX}")
        if sha256_of(data) != expected_digest:
            raise ContentError("manifest has another digest than announced", subject=expected_digest)
        try:
            body = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ContentError(f"manifest is not JSON: {error}", subject=expected_digest) from None
        manifest = _parse(body)
        if manifest.encode() != data:
            raise ContentError("manifest is not in canonical form", subject=expected_digest)
        return manifest


def _parse(body: object) -> Manifest:
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise ContentError("manifest has an unknown format", hint="a newer modelcast may have written it")
    files, framework = body.get("files"), body.get("framework")
    if not isinstance(files, list) or not isinstance(framework, str) or not 1 <= len(files) <= FILES_MAX:
        raise ContentError(f"manifest lists no files or more than {FILES_MAX}")
    if any(unicodedata.category(c) == "Cs" for c in framework):  # JSON can spell what UTF-8 cannot
        raise ContentError("manifest names a framework that is no text")
    entries = tuple(_entry(item) for item in files)
    check_paths([e.path for e in entries])
    return Manifest(entries, framework)


def _entry(item: object) -> FileEntry:
    if not isinstance(item, Mapping):
        raise ContentError("manifest entry is not an object")
    path, size, digest, blocks = item.get("path"), item.get("size"), item.get("sha256"), item.get("blocks")
    if (
        not isinstance(path, str)
        or not isinstance(size, int)
        or isinstance(size, bool)
        or size < 0
        or not isinstance(digest, str)
        or not DIGEST_PATTERN.fullmatch("sha256:" + digest)
        or not isinstance(blocks, list)
        or len(blocks) != -(-size // BLOCK_SIZE_BYTES)
        or not all(isinstance(b, str) and DIGEST_PATTERN.fullmatch("sha256:" + b) for b in blocks)
    ):
        raise ContentError(f"bad manifest entry {str(item)[:120]}")
    return FileEntry(path, size, "sha256:" + digest, tuple(blocks))


def check_paths(paths: list[str]) -> None:
    """Every path stays inside the artifact, is named once, and is no folder of another.

    Raises:
        ContentError: one does not; it is named.
    """
    seen: set[str] = set()
    for path in paths:
        parts = path.split("/")
        if (
            not path
            or path.startswith("/")
            or "\\" in path
            or any(part in {"", ".", ".."} for part in parts)
            or any(unicodedata.category(c) in {"Cc", "Cs"} for c in path)
            or len(path.encode("utf-8", "surrogatepass")) > PATH_BYTES_MAX
            or any(len(part.encode("utf-8", "surrogatepass")) > COMPONENT_BYTES_MAX for part in parts)
        ):
            raise ContentError(
                f"bad path {path[:120]!r} in manifest", hint="paths are relative, POSIX, without . and .."
            )
        if path in seen:
            raise ContentError(f"path {path!r} stands twice in the manifest")
        seen.add(path)
    for path in paths:
        for parent in PurePosixPath(path).parents:
            if str(parent) in seen:
                raise ContentError(f"path {str(parent)!r} is both a file and a folder in the manifest")
