"""What every object store must do. Each adapter's test module inherits it and provides the fixture ``store``."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelcast.infra.stores import prove_conditional_puts
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError, NotFound, StoreUnavailable, VerificationFailed
from modelcast.schemas.ports import ObjectStore, PreconditionFailed

RACERS = 8


def read_range(
    store: ObjectStore, key: str, start: int = 0, length: int | None = None, etag: str | None = None
) -> bytes:
    """All bytes that a ranged read gives, through a small buffer."""
    read, buffer = bytearray(), memoryview(bytearray(7))
    with store.open(key, start=start, length=length, etag=etag) as stream:
        while count := stream.readinto(buffer):
            read += buffer[:count]
    return bytes(read)


def race(actors: int, act: Callable[[int], object]) -> list[object]:
    """What ``act(i)`` returned or raised, all started at once."""
    results: list[object] = [None] * actors
    barrier = threading.Barrier(actors)

    def run(i: int) -> None:
        barrier.wait()
        try:
            results[i] = act(i)
        except Exception as error:
            results[i] = error

    threads = [threading.Thread(target=run, args=(i,)) for i in range(actors)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


class ObjectStoreConformance:
    """The suite."""

    rounds = 25

    # --- plain reads and writes

    def test_gives_back_the_bytes_that_were_put(self, store: ObjectStore) -> None:
        put = store.put("a/key", b"some bytes")
        found = store.get("a/key", size_max=100)
        assert found is not None
        assert found.body == b"some bytes"
        assert found.info.key == "a/key"
        assert found.info.size_bytes == 10
        assert found.info.etag == put.etag
        assert abs(found.info.last_modified_us - put.last_modified_us) <= 5_000_000
        assert found.info.last_modified_us > 1_600_000_000_000_000

    def test_keeps_an_empty_object(self, store: ObjectStore) -> None:
        store.put("empty", b"")
        found = store.get("empty", size_max=0)
        assert found is not None
        assert found.body == b""
        assert read_range(store, "empty") == b""

    def test_overwrites_without_conditions(self, store: ObjectStore) -> None:
        first = store.put("k", b"one")
        second = store.put("k", b"two")
        assert first.etag != second.etag
        assert store.get("k", size_max=3).body == b"two"  # type: ignore[union-attr]

    def test_says_none_of_what_is_absent(self, store: ObjectStore) -> None:
        assert store.get("absent", size_max=10) is None
        assert store.head("absent") is None

    def test_refuses_to_read_more_than_asked_for(self, store: ObjectStore) -> None:
        store.put("large", b"x" * 1000)
        with pytest.raises(ContentError, match="1000 bytes"):
            store.get("large", size_max=999)
        assert store.get("large", size_max=1000) is not None

    def test_head_equals_what_get_says(self, store: ObjectStore) -> None:
        store.put("k", b"abc")
        found = store.get("k", size_max=3)
        assert found is not None
        assert store.head("k") == found.info

    def test_delete_removes_and_forgives(self, store: ObjectStore) -> None:
        store.put("k", b"1")
        store.delete("k")
        store.delete("k")
        assert store.get("k", size_max=1) is None

    @pytest.mark.parametrize("key", ["spaces and +plus", "ünï/cödé", "percent%20", "a/b/c/d/e", "state/fraud"])
    def test_keys_with_odd_characters_keep_their_names(self, store: ObjectStore, key: str) -> None:
        store.put(key, key.encode())
        assert store.get(key, size_max=100).body == key.encode()  # type: ignore[union-attr]
        assert [info.key for info in store.list("")] == [key]

    # --- ranged reads

    def test_reads_ranges(self, store: ObjectStore) -> None:
        body = bytes(range(256))
        store.put("k", body)
        assert read_range(store, "k") == body
        assert read_range(store, "k", start=200) == body[200:]
        assert read_range(store, "k", start=3, length=40) == body[3:43]
        assert read_range(store, "k", length=1) == body[:1]
        assert read_range(store, "k", start=250, length=100) == body[250:]
        assert read_range(store, "k", start=5, length=0) == b""

    def test_a_ranged_read_knows_the_whole_size(self, store: ObjectStore) -> None:
        put = store.put("k", b"x" * 100)
        with store.open("k", start=10, length=5) as stream:
            assert stream.info.size_bytes == 100
            assert stream.info.etag == put.etag

    def test_a_range_beyond_the_end_is_an_error(self, store: ObjectStore) -> None:
        store.put("k", b"x" * 10)
        with pytest.raises(ContentError):
            read_range(store, "k", start=11, length=5)

    def test_opening_what_is_absent_says_not_found(self, store: ObjectStore) -> None:
        with pytest.raises(NotFound), store.open("absent"):
            pass
        with pytest.raises(NotFound), store.open("absent", length=0):
            pass

    def test_a_read_notices_that_the_object_changed(self, store: ObjectStore) -> None:
        old = store.put("k", b"old bytes")
        assert read_range(store, "k", etag=old.etag) == b"old bytes"
        store.put("k", b"new bytes")
        with pytest.raises(PreconditionFailed):
            read_range(store, "k", start=3, etag=old.etag)

    def test_a_read_that_is_left_early_harms_no_later_one(self, store: ObjectStore) -> None:
        store.put("k", b"x" * 3_000_000)
        for _ in range(5):
            with store.open("k") as stream:
                assert stream.readinto(memoryview(bytearray(10))) > 0
        assert len(read_range(store, "k", start=2_999_000)) == 1000

    def test_the_readers_own_errors_reach_it(self, store: ObjectStore) -> None:
        store.put("k", b"x" * 100)
        with pytest.raises(OSError, match="disk full"), store.open("k"):
            raise OSError("disk full")

    # --- conditional puts

    def test_if_absent_keeps_what_is_there(self, store: ObjectStore) -> None:
        store.put("k", b"first", if_absent=True)
        with pytest.raises(PreconditionFailed):
            store.put("k", b"second", if_absent=True)
        assert store.get("k", size_max=10).body == b"first"  # type: ignore[union-attr]

    def test_if_match_follows_the_etag(self, store: ObjectStore) -> None:
        first = store.put("k", b"1")
        second = store.put("k", b"2", if_match=first.etag)
        with pytest.raises(PreconditionFailed):
            store.put("k", b"3", if_match=first.etag)
        assert store.get("k", size_max=1).body == b"2"  # type: ignore[union-attr]
        store.put("k", b"4", if_match=second.etag)

    def test_if_match_of_what_is_gone_fails(self, store: ObjectStore) -> None:
        first = store.put("k", b"1")
        store.delete("k")
        with pytest.raises(PreconditionFailed):
            store.put("k", b"2", if_match=first.etag)
        assert store.head("k") is None

    def test_one_of_eight_racing_claims_wins(self, store: ObjectStore) -> None:
        for round_number in range(self.rounds):
            key = f"registry/fraud/log/{round_number:020d}"

            def claim(i: int, key: str = key) -> bytes:
                body = f"claim {i}".encode()
                store.put(key, body, if_absent=True)
                return body

            results = race(RACERS, claim)
            winners = [r for r in results if isinstance(r, bytes)]
            assert len(winners) == 1, results
            assert all(isinstance(r, bytes | PreconditionFailed) for r in results), results
            assert store.get(key, size_max=100).body == winners[0]  # type: ignore[union-attr]

    def test_one_of_eight_racing_updates_wins(self, store: ObjectStore) -> None:
        for round_number in range(self.rounds):
            key = f"state/model-{round_number}"
            etag = store.put(key, b"start").etag

            def update(i: int, key: str = key, etag: str = etag) -> bytes:
                body = f"update {i}".encode()
                store.put(key, body, if_match=etag)
                return body

            results = race(RACERS, update)
            winners = [r for r in results if isinstance(r, bytes)]
            assert len(winners) == 1, results
            assert store.get(key, size_max=100).body == winners[0]  # type: ignore[union-attr]

    def test_it_proves_conditional_puts_and_nothing_is_left(self, store: ObjectStore) -> None:
        prove_conditional_puts(store)
        assert list(store.list("")) == []

    # --- listing

    def test_lists_in_key_order_below_a_prefix(self, store: ObjectStore) -> None:
        for key in ["log/3", "log/1", "other/1", "log/2", "log"]:
            store.put(key, key.encode()) if key != "log" else None
        listed = list(store.list("log/"))
        assert [info.key for info in listed] == ["log/1", "log/2", "log/3"]
        assert [info.size_bytes for info in listed] == [5, 5, 5]
        assert [info.key for info in store.list("log/", start_after="log/1")] == ["log/2", "log/3"]
        assert list(store.list("log/", start_after="log/3")) == []
        assert list(store.list("nothing/")) == []
        assert listed[0].etag == store.head("log/1").etag  # type: ignore[union-attr]

    def test_lists_names_that_share_a_beginning_in_key_order(self, store: ObjectStore) -> None:
        keys = sorted(
            ["registry/a/log/1", "registry/a-b/log/1", "registry/a0/log/1", "registry/a/log/2", "registry/id.json"]
        )
        for key in keys:
            store.put(key, b"")
        assert [info.key for info in store.list("registry/")] == keys
        after = keys[1]
        assert [info.key for info in store.list("registry/", start_after=after)] == keys[2:]

    def test_lists_more_than_a_page(self, store: ObjectStore) -> None:
        keys = [f"p/{i:05d}" for i in range(1050)]
        for key in keys:
            store.put(key, b"")
        assert [info.key for info in store.list("p/")] == keys
        assert [info.key for info in store.list("p/", start_after=keys[9])] == keys[10:]

    def test_folders_are_the_names_below(self, store: ObjectStore) -> None:
        for key in ["registry/fraud/log/1", "registry/fraud/log/2", "registry/a-b/log/1", "registry/id.json", "x/y"]:
            store.put(key, b"")
        assert list(store.folders("registry/")) == ["a-b", "fraud"]
        assert list(store.folders("registry")) == ["a-b", "fraud"]
        assert list(store.folders("nothing/")) == []

    # --- uploads

    @pytest.mark.parametrize("size", [0, 1, 1024, 3_000_001])
    def test_uploads_a_file(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        body = (bytes(range(251)) * (size // 251 + 1))[:size]
        (tmp_path / "f").write_bytes(body)
        moved: list[int] = []
        store.upload("blobs/x", tmp_path / "f", size_bytes=size, digest=sha256_of(body), progress=moved.append)
        assert store.get("blobs/x", size_max=size).body == body  # type: ignore[union-attr]
        assert sum(moved) == size

    @pytest.mark.parametrize("size", [100, 34 * 1024 * 1024])
    @pytest.mark.parametrize("change", ["other bytes", "shorter", "longer", "gone"])
    def test_a_file_that_changed_leaves_nothing(
        self, store: ObjectStore, tmp_path: Path, size: int, change: str
    ) -> None:
        promised = b"x" * size
        found = {
            "gone": b"",
            "other bytes": b"x" * (size - 1) + b"y",
            "shorter": promised[:-1],
            "longer": promised + b"x",
        }[change]
        if change != "gone":
            (tmp_path / "f").write_bytes(found)
        with pytest.raises(VerificationFailed, match="changed"):
            store.upload("blobs/x", tmp_path / "f", size_bytes=size, digest=sha256_of(promised))
        assert store.head("blobs/x") is None
        assert list(store.list("")) == []

    def test_uploads_a_large_file_in_parts(self, store: ObjectStore, tmp_path: Path) -> None:
        body = bytes(range(256)) * (40 * 4096)
        (tmp_path / "f").write_bytes(body)
        moved: list[int] = []
        store.upload("blobs/x", tmp_path / "f", size_bytes=len(body), digest=sha256_of(body), progress=moved.append)
        found = store.get("blobs/x", size_max=len(body))
        assert found is not None
        assert sha256_of(found.body) == sha256_of(body)
        assert sum(moved) == len(body)

    @pytest.mark.parametrize("size", [100, 3_000_001, 40 * 1024 * 1024])
    def test_a_file_that_is_still_being_written_is_read_only_as_far_as_it_is_there(
        self, store: ObjectStore, tmp_path: Path, size: int
    ) -> None:
        body = (bytes(range(251)) * (size // 251 + 1))[:size]
        path, there = tmp_path / "f", 0
        path.write_bytes(bytes(size))

        def grow_to(end: int) -> None:
            nonlocal there
            if end > there:
                assert store.head("blobs/x") is None
                with path.open("r+b") as file:
                    file.seek(there)
                    file.write(body[there:end])
                there = end

        store.upload("blobs/x", path, size_bytes=size, digest=sha256_of(body), ready=grow_to)
        found = store.get("blobs/x", size_max=size)
        assert found is not None
        assert sha256_of(found.body) == sha256_of(body)
        assert there == size

    @pytest.mark.parametrize("size", [100, 40 * 1024 * 1024])
    def test_a_file_whose_end_never_comes_leaves_nothing(self, store: ObjectStore, tmp_path: Path, size: int) -> None:
        body = b"x" * size
        (tmp_path / "f").write_bytes(body)

        def never(end: int) -> None:
            if end == size:
                raise StoreUnavailable("it will not come")

        with pytest.raises(StoreUnavailable, match="it will not come"):
            store.upload("blobs/x", tmp_path / "f", size_bytes=size, digest=sha256_of(body), ready=never)
        assert store.head("blobs/x") is None
        store.upload("blobs/x", tmp_path / "f", size_bytes=size, digest=sha256_of(body))
        assert store.head("blobs/x") is not None

    @pytest.mark.parametrize("change", ["other bytes", "shorter", "longer", "gone"])
    def test_a_file_that_is_not_what_it_was_to_become_leaves_nothing(
        self, store: ObjectStore, tmp_path: Path, change: str
    ) -> None:
        promised = b"x" * (20 * 1024 * 1024)
        found = {"other bytes": promised[:-1] + b"y", "shorter": promised[:-1], "longer": promised + b"x"}.get(change)
        if found:
            (tmp_path / "f").write_bytes(found)
        with pytest.raises(VerificationFailed, match="changed"):
            store.upload(
                "blobs/x",
                tmp_path / "f",
                size_bytes=len(promised),
                digest=sha256_of(promised),
                ready=lambda _: None,
            )
        assert store.head("blobs/x") is None
        assert list(store.list("")) == []

    def test_many_threads_share_it(self, store: ObjectStore) -> None:
        store.put("k", b"z" * 100_000)

        def use(i: int) -> bytes:
            store.put(f"t/{i}", str(i).encode())
            return read_range(store, "k", start=i, length=1000) + store.get(f"t/{i}", size_max=9).body  # type: ignore[union-attr]

        assert race(24, use) == [b"z" * 1000 + str(i).encode() for i in range(24)]
