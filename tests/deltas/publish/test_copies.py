"""Deltas are made of copies: a training job may do with its files what it likes, and no base goes for them."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.publish.bases import cache as base_cache
from modelcast.deltas.publish.bases.copies import Copies
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from modelcast.schemas.digests import sha256_of
from tests.deltas.publish.training import VALUES, settings
from tests.producers.fakes import Heard


@pytest.mark.parametrize("bases", [{}, {"base_cache_size_max_bytes": 0}], ids=["bases are kept", "none are kept"])
def test_a_file_that_is_shortened_while_deltas_are_made_of_it_ends_no_training_job(
    tmp_path: Path,
    store: MemoryStore,
    heard: Heard,
    train: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    bases: dict[str, int],
) -> None:
    """Whoever reads a mapped file that becomes shorter dies of SIGBUS: deltas are made of copies."""
    publisher = Publisher(settings(tmp_path, **bases), store=store, announcer=heard)
    publisher.publish("fraud", train(0))
    make, folder = delta.make, train(1)

    def shortened(*args: Any, **more: Any) -> Any:
        if not str(args[2]).endswith("sample.delta"):
            os.truncate(folder / "model.safetensors", 10)
            assert args[1] != folder / "model.safetensors"
        return make(*args, **more)

    monkeypatch.setattr(delta, "make", shortened)
    done = publisher.publish("fraud", folder)
    assert [d.base_version for d in done.additions] == [1, 0]


def test_where_the_disk_has_no_room_for_a_copy_no_delta_is_made_and_the_version_is_published(
    publisher: Publisher, train: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(base_cache.shutil, "disk_usage", lambda _: full)
    done = publisher.publish("fraud", train(0))
    assert (done.announced, done.additions) == (True, ())
    assert any("no room" in note for note in done.notes)


def test_no_base_goes_for_the_copy_that_its_delta_is_made_of(
    tmp_path: Path, store: MemoryStore, heard: Heard, train: Callable[..., Path]
) -> None:
    """There is room for one version of the two."""
    room = settings(tmp_path, base_cache_size_max_bytes=VALUES * 2 + 500_000, base_fetch_size_max_bytes=0)
    with Publisher(room, store=store, announcer=heard) as publisher:
        made = [[d.base_version for d in publisher.publish("fraud", train(n)).additions] for n in range(4)]
    assert made == [[0], [1, 0], [2, 0], [3, 0]]
    assert list((tmp_path / "bases" / "scratch").iterdir()) == []


def test_as_many_copies_are_held_as_could_become_bases_and_the_others_one_at_a_time(tmp_path: Path) -> None:
    cache = base_cache.BaseCache(settings(tmp_path, base_cache_size_max_bytes=250).publish)
    copies = Copies(cache)
    files = []
    for number in range(4):
        path = tmp_path / f"file{number}"
        path.write_bytes(bytes([number]) * 100)
        files.append((path, sha256_of(path.read_bytes())))
    held = [copies.of(*file) for file in files]
    assert [path.exists() for path in held] == [False, False, True, True]
    assert copies.of(*files[1]).read_bytes() == files[1][0].read_bytes()
    assert [path.exists() for path in held] == [False, True, False, True]
    large = tmp_path / "large"
    large.write_bytes(bytes(1000))
    alone = copies.of(large, sha256_of(large.read_bytes()))
    assert alone.read_bytes() == large.read_bytes()
    assert list(alone.parent.iterdir()) == [alone]
    copies.close()
    assert not alone.parent.exists()


def test_a_copy_that_is_kept_outlives_bases_that_were_used_before(tmp_path: Path) -> None:
    cache = base_cache.BaseCache(settings(tmp_path, base_cache_size_max_bytes=250).publish)
    copies = Copies(cache)
    bodies = [bytes([number]) * 100 for number in range(3)]
    old, new, third = ((tmp_path / f"file{n}", sha256_of(body)) for n, body in enumerate(bodies))
    for (path, _), body in zip((old, new, third), bodies, strict=True):
        path.write_bytes(body)
    cache.keep(*old, 100)
    copies.of(*new)
    os.utime(copies.of(*new), (1, 1))
    assert cache.find(old[1], 100) is not None
    assert copies.keep(new[1], 100)
    assert cache.keep(*third, 100)
    assert [cache.find(digest, 100) is not None for _, digest in (old, new, third)] == [False, True, True]
    copies.of(*new)
    assert copies.keep(new[1], 100)  # a base already: nothing has to go for it
    assert [cache.find(digest, 100) is not None for _, digest in (old, new, third)] == [False, True, True]
