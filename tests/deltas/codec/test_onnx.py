"""ONNX: initialisers inside a model and in files beside it take the tensor path; nothing about a model is trusted."""

import random
from pathlib import Path

import numpy as np
import pytest

from modelcast.deltas import codec as delta
from modelcast.deltas.codec.layouts.onnx import onnx_tensors
from tests.support.records.pairs import adam_step, bf16, weights, write

onnx = pytest.importorskip("onnx")

WEIGHTS = {f"layer{i}.weight": part.reshape(-1, 256) for i, part in enumerate(np.split(weights(1 << 19), 8))}


def model(tensors: dict[str, np.ndarray], extra_nodes: tuple[object, ...] = ()) -> "onnx.ModelProto":
    initializers = [onnx.numpy_helper.from_array(v, k) for k, v in tensors.items()]
    nodes = [onnx.helper.make_node("Add", ["x", k], [f"{k}.out"]) for k in tensors]
    graph = onnx.helper.make_graph([*nodes, *extra_nodes], "g", [], [], initializer=initializers)
    return onnx.helper.make_model(graph, producer_name="tests")


def stepped(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k: adam_step(v.reshape(-1), 1e-5).reshape(v.shape) for k, v in tensors.items()}


def saved_outside(folder: Path, tensors: dict[str, np.ndarray], *, name: str = "model.onnx", **options: object) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save_model(
        model(tensors), folder / name, save_as_external_data=True, size_threshold=0, convert_attribute=True, **options
    )
    return folder


def there_and_back(old: Path, new: Path, folder: Path, **options: object) -> delta.DeltaInfo:
    info = delta.make(old, new, folder / "delta", **options)  # type: ignore[arg-type]
    delta.apply(old, folder / "delta", folder / "rebuilt", expected_digest=info.new_digest)
    if new.is_file():
        assert (folder / "rebuilt").read_bytes() == new.read_bytes()
    return info


def test_every_initialiser_lies_where_the_layout_says(tmp_path: Path) -> None:
    path = write(tmp_path / "model", model(WEIGHTS).SerializeToString())
    found = delta.layout_of(path)
    assert found is not None
    data = path.read_bytes()
    assert {t.name: data[t.start : t.end] for t in found.tensors} == {k: v.tobytes() for k, v in WEIGHTS.items()}
    assert {t.dtype.name for t in found.tensors} == {"fp32"}
    assert {t.shape for t in found.tensors} == {(256, 256)}


def test_every_type_of_number_is_known(tmp_path: Path) -> None:
    import ml_dtypes

    types = {
        "fp16": np.float16,
        "bf16": ml_dtypes.bfloat16,
        "fp32": np.float32,
        "fp64": np.float64,
        "int8": np.uint8,
        "int16": np.int16,
        "int32": np.int32,
        "int64": np.int64,
        "fp8-e4m3": ml_dtypes.float8_e4m3fn,
        "fp8-e5m2": ml_dtypes.float8_e5m2,
    }
    tensors = {k: np.arange(300).astype(t) for k, t in types.items()}
    found = delta.layout_of(write(tmp_path / "m", model(tensors).SerializeToString()))
    assert found is not None
    assert {t.name: t.dtype.name for t in found.tensors} == {k: k for k in types}


def test_tensors_in_constants_and_subgraphs_and_typed_fields_are_found(tmp_path: Path) -> None:
    values = weights(1000)
    constant = onnx.helper.make_node("Constant", [], ["c"], value=onnx.numpy_helper.from_array(values))
    inner = onnx.helper.make_graph([], "inner", [], [], initializer=[onnx.numpy_helper.from_array(values + 1, "deep")])
    branch = onnx.helper.make_node("If", ["p"], ["q"], then_branch=inner, else_branch=inner)
    typed = onnx.helper.make_tensor("typed", onnx.TensorProto.FLOAT, [1000], (values + 2).tolist())
    whole = model({}, (constant, branch))
    whole.graph.initializer.append(typed)
    path = write(tmp_path / "m", whole.SerializeToString())
    found = delta.layout_of(path)
    assert found is not None
    data = path.read_bytes()
    wanted = {"c": values, "deep": values + 1, "deep#2": values + 1, "typed": values + 2}
    assert {t.name: data[t.start : t.end] for t in found.tensors} == {k: v.tobytes() for k, v in wanted.items()}


def test_a_step_of_a_model_costs_what_its_weights_cost(tmp_path: Path) -> None:
    old = write(tmp_path / "old", model(WEIGHTS).SerializeToString())
    new = write(tmp_path / "new", model(stepped(WEIGHTS)).SerializeToString())
    info = there_and_back(old, new, tmp_path)
    # Of fp32, half remains; as a plain file it would be all.
    assert info.ratio > 1.7
    assert "grouped" in {m.method for m in info.methods}


def test_what_lies_between_unchanged_tensors_costs_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tensors = {f"{rng.bytes(40).hex()}": np.full((4, 64), i, np.float32) for i in range(400)}
    later = {k: v if i % 7 else v + 1 for i, (k, v) in enumerate(tensors.items())}
    old = write(tmp_path / "old", model(tensors).SerializeToString())
    new = write(tmp_path / "new", model(later).SerializeToString())
    assert there_and_back(old, new, tmp_path).delta_size_bytes < 400 * 16


def test_a_model_whose_graph_grew_still_finds_its_weights(tmp_path: Path) -> None:
    old = write(tmp_path / "old", model(WEIGHTS).SerializeToString())
    more = {"first": weights(256, 7).reshape(1, 256)} | stepped(WEIGHTS)
    new = write(tmp_path / "new", model(more).SerializeToString())
    assert there_and_back(old, new, tmp_path).ratio > 1.7


@pytest.mark.parametrize("one_file", [True, False])
def test_external_data_of_a_folder_takes_the_tensor_path(one_file: bool, tmp_path: Path) -> None:
    options = {"all_tensors_to_one_file": one_file, "location": "model.data" if one_file else None}
    old = saved_outside(tmp_path / "old", WEIGHTS, **options)
    new = saved_outside(tmp_path / "new", stepped(WEIGHTS), **options)
    info = there_and_back(old, new, tmp_path)
    assert info.ratio > 1.7
    assert {p.name: p.read_bytes() for p in new.iterdir()} == {
        p.name: p.read_bytes() for p in (tmp_path / "rebuilt").iterdir()
    }


def test_one_file_of_external_data_takes_the_tensor_path_by_its_layout(tmp_path: Path) -> None:
    old = saved_outside(tmp_path / "old" / "deep", WEIGHTS, location="w.bin") / "w.bin"
    new = saved_outside(tmp_path / "new" / "deep", stepped(WEIGHTS), location="w.bin") / "w.bin"
    assert delta.layout_of(new) is None
    layout = delta.layout_of(new, tmp_path / "new")
    both = there_and_back(old, new, tmp_path, new_layout=layout, old_layout=delta.layout_of(old, tmp_path / "old"))
    nameless = there_and_back(old, new, tmp_path, new_layout=layout)
    assert both.ratio > 1.7
    assert nameless.delta_size_bytes == both.delta_size_bytes


def test_external_data_that_leaves_the_folder_or_is_not_there_has_no_layout(tmp_path: Path) -> None:
    saved_outside(tmp_path / "m", {"a": weights(256)}, location="w.bin")
    whole = onnx.load_model(tmp_path / "m" / "model.onnx", load_external_data=False)
    (tmp_path / "outside").write_bytes(bytes(1024))
    for location in ("../outside", str(tmp_path / "outside"), "nowhere", "sub/../../outside"):
        entry = next(e for e in whole.graph.initializer[0].external_data if e.key == "location")
        entry.value = location
        (tmp_path / "m" / "model.onnx").write_bytes(whole.SerializeToString())
        assert delta.layouts_of(tmp_path / "m") == {}


def test_ranges_past_the_end_of_their_file_are_left_out(tmp_path: Path) -> None:
    saved_outside(tmp_path / "m", {"a": weights(256), "b": weights(256, 1)}, location="w.bin")
    data = (tmp_path / "m" / "w.bin").read_bytes()
    (tmp_path / "m" / "w.bin").write_bytes(data[: len(data) - 1])
    assert [t.name for t in delta.layouts_of(tmp_path / "m")["w.bin"].tensors] == ["a"]


def test_a_wrong_layout_costs_bytes_but_never_a_wrong_file(tmp_path: Path) -> None:
    one = write(tmp_path / "one", bf16(weights(100_000)).tobytes())
    two = write(tmp_path / "two", bf16(adam_step(weights(100_000), 1e-5)).tobytes())
    wrong = delta.layout_of(write(tmp_path / "m", model({"a": weights(50_001)}).SerializeToString()))
    there_and_back(one, two, tmp_path, new_layout=wrong)
    there_and_back(two, one, tmp_path, old_layout=wrong)
    there_and_back(two, write(tmp_path / "short", b"x"), tmp_path, old_layout=wrong, new_layout=wrong)
    there_and_back(write(tmp_path / "none", b""), one, tmp_path, old_layout=wrong, new_layout=wrong)


def test_models_that_are_flipped_or_cut_off_never_raise_and_make_right_deltas(tmp_path: Path) -> None:
    small = {"a": weights(300).reshape(3, 100), "b": bf16(weights(200)).view(np.int16)}
    sound = model(small).SerializeToString()
    old = write(tmp_path / "old", sound)
    rng = random.Random(4)
    for i in range(2000):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 4)):  # mostly where the structure is, not in the values
            at = rng.choice([rng.randrange(len(data)), rng.randrange(60), rng.randrange(len(data) - 60, len(data))])
            data[at] ^= 1 << rng.randrange(8)
        if i % 3 == 0:
            del data[rng.randrange(len(data)) :]
        onnx_tensors(memoryview(bytes(data)))
        if i % 20 == 0:
            there_and_back(old, write(tmp_path / "new", bytes(data)), tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x08",
        b"\x08\x0a" + b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a graph of 2**64 - 1 bytes
        b"\x08\x0a" + b"\x3a\x02\x2a\x7f",  # an initialiser longer than its graph
        b"\x08\x0a" + b"\x3a\x00" * 2,  # two graphs
        b"\x08" + b"\xff" * 20,  # a number without an end
        b"\x08\x0a\x3b",  # a group: not in use since proto2
    ],
)
def test_what_is_no_model_has_no_layout(data: bytes) -> None:
    assert onnx_tensors(memoryview(data)) is None


def test_graphs_inside_graphs_without_end_are_refused() -> None:
    def length(size: int) -> bytes:
        out = b""
        while size > 127:
            out, size = out + bytes([size & 127 | 128]), size >> 7
        return out + bytes([size])

    def field(number: int, body: bytes) -> bytes:
        return bytes([number << 3 | 2]) + length(len(body)) + body

    graph = field(1, bytes(0)) + field(10, b"x" * 300)
    for _ in range(2000):
        graph = field(1, field(5, field(6, graph)))
    assert onnx_tensors(memoryview(b"\x08\x0a" + field(7, graph))) is None
