"""Whatever two tensor files hold, the second comes back from the first to the bit."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelcast.deltas import codec as delta
from modelcast.schemas.digests import sha256_of
from modelcast.schemas.errors import ContentError
from tests.support.lanes import often
from tests.support.records.pairs import Tensors, adam_step, bf16, safetensors_bytes, weights, write

WIDTHS = {
    "BOOL": 1,
    "U8": 1,
    "I8": 1,
    "F8_E4M3": 1,
    "F8_E5M2": 1,
    "I16": 2,
    "U16": 2,
    "F16": 2,
    "BF16": 2,
    "I32": 4,
    "U32": 4,
    "F32": 4,
    "I64": 8,
    "U64": 8,
    "F64": 8,
    "C64": 8,
    "F4_UNHEARD_OF": 1,
}
SHAPES = ((), (0,), (1,), (7,), (3, 5), (64,), (65,), (130, 64), (0, 4), (40, 300))
CHANGES = ("same", "noise", "small", "few", "rows", "specials", "grown", "gone", "renamed", "retyped", "reshaped")


def random_values(dtype: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    width = WIDTHS[dtype]
    count = int(np.prod(shape))
    return rng.integers(0, 256, count * width, dtype=np.uint8).view(f"<u{width}").reshape(shape)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[bytes, bytes]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    old: dict[str, tuple[str, np.ndarray]] = {}
    new: dict[str, tuple[str, np.ndarray]] = {}
    for i in range(draw(st.integers(0, 6))):
        dtype = draw(st.sampled_from(sorted(WIDTHS)))
        values = random_values(dtype, draw(st.sampled_from(SHAPES)), rng)
        old[f"t{i}"] = (dtype, values)
        change = draw(st.sampled_from(CHANGES))
        later = values.copy()
        flat = later.reshape(-1)
        if change == "noise":
            flat[:] = random_values(dtype, flat.shape, rng)
        elif change == "small":
            flat += rng.integers(0, 4, len(flat)).astype(flat.dtype)
        elif change == "few":
            flat[:: 1 + len(flat) // 3] ^= flat.dtype.type(1)
        elif change == "rows" and later.ndim > 1 and len(later):
            later[0] += later.dtype.type(3)
        elif change == "specials":  # all bits set is a NaN, the top bit alone a minus zero
            flat[::2] = flat.dtype.type(-1 % 256 ** WIDTHS[dtype])
            flat[1::3] = flat.dtype.type(1 << (8 * WIDTHS[dtype] - 1))
        elif change == "grown" and later.ndim:
            later = np.concatenate([later, later[:2]])
        elif change == "reshaped":
            later = flat
        if change == "gone":
            continue
        name = f"other{i}" if change == "renamed" else f"t{i}"
        new[name] = (
            "U8" if change == "retyped" else dtype,
            later.view(np.uint8).reshape(-1) if change == "retyped" and later.ndim else later,
        )
        if change == "retyped" and not later.ndim:
            new[name] = (dtype, later)
    if draw(st.booleans()):
        new = dict(reversed(new.items()))
    if draw(st.booleans()):
        new["extra"] = ("BF16", random_values("BF16", (33,), rng))
    metadata = draw(st.none() | st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=2))
    return safetensors_bytes(old), safetensors_bytes(new, metadata, hole=draw(st.sampled_from([0, 0, 3, 8])))


def there_and_back(old: bytes, new: bytes, folder: Path, **options: object) -> delta.DeltaInfo:
    a, b = write(folder / "old", old), write(folder / "new", new)
    info = delta.make(a, b, folder / "delta", **options)  # type: ignore[arg-type]
    delta.apply(a, folder / "delta", folder / "rebuilt", expected_digest=info.new_digest)
    assert (folder / "rebuilt").read_bytes() == new
    assert info == delta.info(folder / "delta")
    return info


@settings(max_examples=often(150, 25), deadline=None)
@given(pairs())
def test_any_two_tensor_files(pair: tuple[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        there_and_back(*pair, Path(folder))


@settings(max_examples=often(60, 15), deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=300))
def test_any_two_files(old: bytes, new: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        there_and_back(old, new, Path(folder))


@settings(max_examples=often(40, 10), deadline=None)
@given(pairs())
def test_any_whole_without_a_base(pair: tuple[bytes, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new = write(folder / "new", pair[1])
        delta.make(None, new, folder / "delta")
        delta.apply(None, folder / "delta", folder / "rebuilt")
        assert (folder / "rebuilt").read_bytes() == pair[1]


def in_tensors(bits: np.ndarray, dtype: str, parts: int = 8) -> Tensors:
    return {f"layer{i}": (dtype, part) for i, part in enumerate(np.array_split(bits, parts))}


COUNT = 1 << 20


def test_a_bf16_step_takes_a_fraction(tmp_path: Path) -> None:
    old = weights(COUNT)
    new = bf16(adam_step(old, 1e-5))
    info = there_and_back(
        safetensors_bytes(in_tensors(bf16(old), "BF16")), safetensors_bytes(in_tensors(new, "BF16")), tmp_path
    )
    assert info.ratio > 15


def test_an_fp32_step_takes_half(tmp_path: Path) -> None:
    old = weights(COUNT)
    new = adam_step(old, 1e-5)
    info = there_and_back(
        safetensors_bytes(in_tensors(old, "F32")), safetensors_bytes(in_tensors(new, "F32")), tmp_path
    )
    assert info.ratio > 1.8


def test_rows_that_changed_are_all_that_is_sent(tmp_path: Path) -> None:
    table = weights(COUNT).reshape(-1, 256)
    later = table.copy()
    later[::50] += np.float32(1e-3)
    info = there_and_back(safetensors_bytes({"e": ("F32", table)}), safetensors_bytes({"e": ("F32", later)}), tmp_path)
    assert info.ratio > 45


@pytest.mark.parametrize("row", [100, 300, 1000])
def test_rows_of_any_length_are_kept_whole(row: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(row)
    table = bf16(weights(6_000_000)).reshape(-1, row)
    later = table.copy()
    changed = rng.choice(len(table), len(table) // 50, replace=False)
    later[changed] = rng.integers(0, 1 << 16, (len(changed), row), dtype=np.uint16)
    old = {"first": ("BF16", table[0]), "e": ("BF16", table), "last": ("BF16", table[1])}
    info = there_and_back(safetensors_bytes(old), safetensors_bytes(old | {"e": ("BF16", later)}), tmp_path)
    # 16 random bits for each value of those rows, and little to say which they are.
    assert info.delta_size_bytes < 1.02 * 2 * row * len(changed) + 0.04 * len(table)


def test_blocks_of_which_few_rows_change_are_joined(tmp_path: Path) -> None:
    table = bf16(weights(12 << 20)).reshape(-1, 256)
    later = table.copy()
    later[::50] += np.random.default_rng(0).integers(0, 200, (len(table[::50]), 256), dtype=np.uint16)
    info = there_and_back(
        safetensors_bytes({"e": ("BF16", table)}), safetensors_bytes({"e": ("BF16", later)}), tmp_path
    )
    assert {m.method: m.frames for m in info.methods} == {"copy": 1, "grouped": 1}


def test_fp32_that_holds_bf16_costs_what_bf16_costs(tmp_path: Path) -> None:
    old, new = (bf16(v).astype(np.uint32) << 16 for v in (weights(COUNT), adam_step(weights(COUNT), 1e-5)))
    info = there_and_back(
        safetensors_bytes(in_tensors(old, "F32")), safetensors_bytes(in_tensors(new, "F32")), tmp_path
    )
    assert info.ratio > 30


def test_tensors_in_another_order_and_under_other_names_are_found(tmp_path: Path) -> None:
    old, new = in_tensors(bf16(weights(COUNT)), "BF16"), in_tensors(bf16(adam_step(weights(COUNT), 1e-5)), "BF16")
    renamed = {f"model.{name}": tensor for name, tensor in reversed(new.items())}
    straight = there_and_back(safetensors_bytes(old), safetensors_bytes(new), tmp_path)
    info = there_and_back(safetensors_bytes(old), safetensors_bytes(renamed), tmp_path)
    assert info.ratio > 0.95 * straight.ratio


def test_a_grown_vocabulary_costs_its_new_rows(tmp_path: Path) -> None:
    old = bf16(weights(COUNT)).reshape(-1, 256)
    new = np.concatenate([old, bf16(weights(256 * 16, seed=5)).reshape(-1, 256)])
    info = there_and_back(safetensors_bytes({"e": ("BF16", old)}), safetensors_bytes({"e": ("BF16", new)}), tmp_path)
    assert info.delta_size_bytes < 16 * 256 * 2


def test_many_small_tensors_share_their_statistics(tmp_path: Path) -> None:
    old, new = bf16(weights(COUNT // 4)), bf16(adam_step(weights(COUNT // 4), 1e-5))
    few = there_and_back(
        safetensors_bytes(in_tensors(old, "BF16", 2)), safetensors_bytes(in_tensors(new, "BF16", 2)), tmp_path
    )
    mixed = []
    for values in (old, new):  # another type between any two: nothing lies next to its like
        tensors = {}
        for i, part in enumerate(np.array_split(values, 500)):
            tensors[f"a{i}"] = ("BF16", part)
            tensors[f"b{i}"] = ("I8", np.zeros(2, np.uint8))
        mixed.append(safetensors_bytes(tensors))
    many = there_and_back(mixed[0], mixed[1], tmp_path)
    assert many.delta_size_bytes < few.delta_size_bytes + 500 * 12


@pytest.mark.parametrize(("dtype", "least"), [("BF16", 1.45), ("F32", 1.17)])
def test_a_whole_is_smaller_by_its_exponents(dtype: str, least: float, tmp_path: Path) -> None:
    values = weights(COUNT)
    new = write(tmp_path / "new", safetensors_bytes(in_tensors(bf16(values) if dtype == "BF16" else values, dtype)))
    assert delta.make(None, new, tmp_path / "delta").ratio > least


@pytest.mark.parametrize("dtype", ["F4_UNHEARD_OF", "F8_E4M3", "BF16", "F32", "F64"])
def test_blocks_that_fill_and_overflow(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    count = 18 * 1024 * 1024 // WIDTHS[dtype]
    old = random_values(dtype, (count,), rng)
    new = old + rng.integers(0, 2, count).astype(old.dtype)
    there_and_back(safetensors_bytes({"t": (dtype, old)}), safetensors_bytes({"t": (dtype, new)}), tmp_path)


def test_the_same_file_costs_nothing(tmp_path: Path) -> None:
    data = safetensors_bytes(in_tensors(bf16(weights(COUNT)), "BF16"))
    info = there_and_back(data, data, tmp_path)
    assert info.delta_size_bytes < 256
    assert [m.method for m in info.methods] == ["copy"]


def test_the_number_of_threads_changes_no_byte(tmp_path: Path) -> None:
    old = write(tmp_path / "old", safetensors_bytes(in_tensors(weights(COUNT * 3), "F32")))
    new = write(tmp_path / "new", safetensors_bytes(in_tensors(adam_step(weights(COUNT * 3), 1e-5), "F32")))
    for threads in (1, 4):
        delta.make(old, new, tmp_path / f"{threads}", threads=threads)
    assert (tmp_path / "1").read_bytes() == (tmp_path / "4").read_bytes()


def test_what_the_safetensors_library_writes_comes_back(tmp_path: Path) -> None:
    from safetensors.numpy import load_file, save_file

    old = {"w": weights(5000).reshape(50, 100), "i": np.arange(7), "s": np.array(3, np.float16)}
    new = old | {"w": adam_step(weights(5000), 1e-4).reshape(50, 100)}
    save_file(old, tmp_path / "a")
    save_file(new, tmp_path / "b", metadata={"format": "np"})
    delta.make(tmp_path / "a", tmp_path / "b", tmp_path / "d")
    delta.apply(tmp_path / "a", tmp_path / "d", tmp_path / "c")
    assert all((load_file(tmp_path / "c")[k] == v).all() for k, v in new.items())
    assert (tmp_path / "c").read_bytes() == (tmp_path / "b").read_bytes()


def test_digests_that_the_caller_has_are_not_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = (write(tmp_path / n, safetensors_bytes(in_tensors(weights(5000, i), "F32"))) for i, n in enumerate("ab"))
    known = {"old_digest": sha256_of(old.read_bytes()), "new_digest": sha256_of(new.read_bytes())}
    monkeypatch.setattr("modelcast.deltas.codec.make_file.sha256_of_view", None)
    made = delta.make(old, new, tmp_path / "d", **known)
    assert (made.base_digest, made.new_digest) == tuple(known.values())
    delta.apply(old, tmp_path / "d", tmp_path / "out", expected_digest=known["new_digest"])


def test_wrong_digests_make_a_delta_that_nobody_takes(tmp_path: Path) -> None:
    old, new = (write(tmp_path / n, safetensors_bytes(in_tensors(weights(5000, i), "F32"))) for i, n in enumerate("ab"))
    delta.make(old, new, tmp_path / "d", new_digest=sha256_of(b"something else"))
    with pytest.raises(delta.WrongResult):
        delta.apply(old, tmp_path / "d", tmp_path / "out")
    delta.make(old, new, tmp_path / "d", old_digest=sha256_of(b"something else"))
    with pytest.raises(delta.WrongBase):
        delta.apply(old, tmp_path / "d", tmp_path / "out")
    with pytest.raises(ContentError):
        delta.make(old, new, tmp_path / "d", new_digest="md5:1")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "d"]
