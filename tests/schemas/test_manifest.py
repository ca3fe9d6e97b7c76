"""The manifest: one digest for one set of files, and nothing in it that leaves the folder."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError
from modelcast.schemas.manifest import BLOCK_SIZE_BYTES, FileEntry, Manifest, check_paths

parts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc"], exclude_characters="/\\"), min_size=1, max_size=8
)
paths = st.lists(parts.filter(lambda p: p not in {".", ".."}), min_size=1, max_size=3).map("/".join)


def entry_of(path: str, data: bytes) -> FileEntry:
    """A file's entry, from its bytes."""
    blocks = [data[i : i + BLOCK_SIZE_BYTES] for i in range(0, len(data), BLOCK_SIZE_BYTES)]
    return FileEntry(path, len(data), sha256_of(data), tuple(sha256_of(b)[7:] for b in blocks))


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """A manifest whose files can lie beside each other."""
    chosen: list[str] = []
    for path in draw(st.lists(paths, min_size=1, max_size=5)):
        try:
            check_paths([*chosen, path])
        except ContentError:
            continue
        chosen.append(path)
    files = [entry_of(path, draw(st.binary(max_size=5))) for path in chosen]
    return Manifest(tuple(sorted(files, key=lambda f: f.path.encode())), draw(parts))


@given(manifests())
@settings(deadline=None)
def test_a_manifest_reads_back_as_it_was(manifest: Manifest) -> None:
    assert Manifest.decode(manifest.encode(), expected_digest=manifest.digest) == manifest
    assert manifest.size_bytes == sum(f.size_bytes for f in manifest.files)


@given(manifests(), st.randoms())
@settings(deadline=None)
def test_the_order_in_which_files_were_found_changes_nothing(manifest: Manifest, rng: Any) -> None:
    files = list(manifest.files)
    rng.shuffle(files)
    assert Manifest(tuple(files), manifest.framework).digest == manifest.digest


@given(manifests(), st.data())
@settings(deadline=None)
def test_one_changed_byte_is_another_manifest(manifest: Manifest, data: st.DataObject) -> None:
    damaged = bytearray(manifest.encode())
    at = data.draw(st.integers(0, len(damaged) - 1))
    damaged[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ContentError, match="another digest"):
        Manifest.decode(bytes(damaged), expected_digest=manifest.digest)


def _refusal(data: bytes) -> str:
    with pytest.raises(ContentError) as refused:
        Manifest.decode(data, expected_digest=sha256_of(data))
    return str(refused.value)


ONE = entry_of("weights.bin", b"x")


def _body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(Manifest((ONE,), "onnx").encode())
    body.update(changes)
    return body


def _file(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = _body()["files"][0]
    body.update(changes)
    return body


def _canonical(body: Any) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        _body(format=2),
        _body(format="1"),
        _body(files=[]),
        _body(files={}),
        _body(framework=None),
        _body(framework=7),
        _body(files=["weights.bin"]),
        _body(files=[_file(path=7)]),
        _body(files=[_file(size=-1)]),
        _body(files=[_file(size=True)]),
        _body(files=[_file(size=1.0)]),
        _body(files=[_file(size="1")]),
        _body(files=[_file(sha256="A" * 64)]),
        _body(files=[_file(sha256=None)]),
        _body(files=[_file(blocks=None)]),
        _body(files=[_file(blocks=[])]),
        _body(files=[_file(blocks=["0" * 64] * 2)]),
        _body(files=[_file(blocks=["0" * 63])]),
        _body(files=[_file(), _file()]),
        _body(files=[_file(), _file(path="weights.bin/inner")]),
    ],
    ids=range(23),
)
def test_what_is_no_manifest_is_refused(body: Any) -> None:
    assert _refusal(_canonical(body))


def test_the_canonical_form_is_the_only_one() -> None:
    assert "canonical" in _refusal(json.dumps(_body(), sort_keys=True).encode())
    assert "canonical" in _refusal(_canonical(_body(extra=1)))
    assert "canonical" in _refusal(_canonical(_body(files=[_file(mode=0o644)])))
    backwards = [_file(path="b"), _file(path="a")]
    assert "canonical" in _refusal(_canonical(_body(files=backwards)))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000, b"9" * 5000], ids=range(5))
def test_what_is_no_json_is_refused(data: bytes) -> None:
    assert _refusal(data)


def test_a_framework_that_is_no_text_is_refused() -> None:
    assert _refusal(_canonical(_body()).replace(b'"onnx"', b'"\\ud800"'))


BAD_PATHS = [
    "",
    "/etc/passwd",
    "..",
    "../x",
    "a/../../x",
    "a/..",
    "./a",
    "a/./b",
    "a//b",
    "a/",
    "a\\b",
    "a\0b",
    "a\nb",
    "\x7f",
    "\x85",
    "\ud800",
    "x" * 256,
    "ü" * 128,
    "/".join(["x" * 100] * 11),
]


@pytest.mark.parametrize("path", BAD_PATHS, ids=range(len(BAD_PATHS)))
def test_a_path_that_leaves_the_folder_or_cannot_lie_on_a_disk_is_refused(path: str) -> None:
    with pytest.raises(ContentError):
        check_paths(["fine.bin", path])
    assert _refusal(_canonical(_body(files=[_file(path=path)])))


@pytest.mark.parametrize("pair", [["a", "a"], ["a", "a/b"], ["a/b/c", "a"], ["a/b", "a/b/c/d"]], ids=str)
def test_a_file_is_named_once_and_is_no_folder_of_another(pair: list[str]) -> None:
    with pytest.raises(ContentError):
        check_paths(pair)
    with pytest.raises(ContentError):
        check_paths(pair[::-1])


@pytest.mark.parametrize("pair", [["a", "b"], ["a/b", "a/c"], ["a", "ab"], ["a.b", "a/b"]], ids=str)
def test_neighbours_are_no_conflict(pair: list[str]) -> None:
    check_paths(pair)


def test_blocks_are_counted_per_started_mebibyte() -> None:
    for size, blocks in ((0, 0), (1, 1), (BLOCK_SIZE_BYTES, 1), (BLOCK_SIZE_BYTES + 1, 2)):
        entry = entry_of("weights.bin", bytes(size))
        assert len(entry.blocks) == blocks
        manifest = Manifest((entry,))
        assert Manifest.decode(manifest.encode(), expected_digest=manifest.digest).files == (entry,)
