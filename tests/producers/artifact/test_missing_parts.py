"""A model of which a part is missing is refused before anything is uploaded, with what is missing."""

import json
import struct
from pathlib import Path

import pytest

from modelcast.producers.artifact import scan
from modelcast.schemas.errors import ExitCode, Refused


def write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def refused(path: Path, match: str, hint: str) -> None:
    with pytest.raises(Refused, match=match) as caught:
        scan(path)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert hint in caught.value.hint


def index(*shards: str) -> bytes:
    return json.dumps({"metadata": {}, "weight_map": {f"w{n}": shard for n, shard in enumerate(shards)}}).encode()


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors.index.json", "pytorch_model.bin.index.json", "model.safetensors.index.fp16.json",
        "unet/diffusion_pytorch_model.safetensors.index.json", "MODEL.SAFETENSORS.INDEX.JSON",
    ],
)  # fmt: skip
def test_an_index_whose_shards_are_missing_is_refused(tmp_path: Path, name: str) -> None:
    folder = (tmp_path / name).parent
    folder.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(index("one.bin", "two.bin", "two.bin"))
    (folder / "one.bin").write_bytes(b"1")
    refused(tmp_path, r"(?i)index.*\.json: lists shards that are not there: .*two\.bin", "save the model again")
    (folder / "two.bin").write_bytes(b"2")
    assert len(scan(tmp_path).files) == 3
    (tmp_path / ".modelcastignore").write_text("one.bin")
    refused(tmp_path, r"one\.bin", "save the model again")


def test_an_index_of_something_else_is_carried(tmp_path: Path) -> None:
    for number, text in enumerate([b"[]", b"{}", b'{"weight_map": []}', b'{"weight_map": {"a": 1}}', b"no json"]):
        (tmp_path / f"{number}.index.json").write_bytes(text)
    assert len(scan(tmp_path).files) == 5


@pytest.mark.parametrize(
    ("there", "missing"),
    [
        (["model-00001-of-00003.gguf", "model-00003-of-00003.gguf"], "model-00002-of-00003.gguf"),
        (["v/variables.index", "v/variables.data-00000-of-00002"], "v/variables.data-00001-of-00002"),
        (["m-00002-of-00002.safetensors"], "m-00001-of-00002.safetensors"),
    ],
)
def test_a_set_of_numbered_shards_with_a_gap_is_refused(tmp_path: Path, there: list[str], missing: str) -> None:
    for name in there:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    refused(tmp_path, missing, "save the model again")
    (tmp_path / missing).write_bytes(b"x")
    assert len(scan(tmp_path).files) == len(there) + 1


SAFETENSORS = struct.pack("<Q", 2) + b"{}"
LEFTOVER = "pytorch_model.bin.index.json"


@pytest.mark.parametrize(
    "whole",
    [
        {"model.safetensors": SAFETENSORS},
        {
            "model.safetensors.index.json": index("a.safetensors", "b.safetensors"),
            "a.safetensors": SAFETENSORS,
            "b.safetensors": SAFETENSORS,
        },
    ],
    ids=["one file", "shards"],
)
def test_a_list_of_shards_that_was_left_over_beside_the_same_model_is_carried(
    tmp_path: Path, whole: dict[str, bytes]
) -> None:
    write(tmp_path, {LEFTOVER: index("one.bin", "two.bin"), **whole})
    (note,) = scan(tmp_path).notes
    assert note.startswith(f"{LEFTOVER} lists shards that are not there; model.safetensors")
    write(tmp_path, {"one.bin": b"1"})  # half of it is there: somebody wanted it
    refused(tmp_path, r"lists shards that are not there: two\.bin", "save the model again")


@pytest.mark.parametrize(
    "other",
    [
        {"adapter_model.safetensors": SAFETENSORS},
        {"sub/model.safetensors": SAFETENSORS},
        {"model.safetensors.index.json": index("gone.safetensors")},
    ],
    ids=["another model", "elsewhere", "not whole either"],
)
def test_a_list_of_shards_is_not_left_over_because_of(tmp_path: Path, other: dict[str, bytes]) -> None:
    write(tmp_path, {LEFTOVER: index("one.bin"), **other})
    refused(tmp_path, "lists shards that are not there", "save the model again")


TABLE = bytes(40) + bytes.fromhex("57fb808b247547db")


@pytest.mark.parametrize("stem", ["model.ckpt-7", "variables/variables"])
def test_a_checkpoint_of_tensorflow_has_an_index_and_data(tmp_path: Path, stem: str) -> None:
    data = f"{stem}.data-00000-of-00001"
    write(tmp_path, {f"{stem}.index": TABLE})
    refused(tmp_path, rf"{stem}\.index: the index of a TensorFlow checkpoint, whose data is not there", "holds both")
    write(tmp_path, {data: b"x"})
    assert len(scan(tmp_path).files) == 2
    (tmp_path / f"{stem}.index").unlink()
    refused(tmp_path, rf"{data}: the data of a TensorFlow checkpoint, whose index is not there", "holds both")


def test_an_index_of_another_format_stands_alone(tmp_path: Path) -> None:
    write(tmp_path, {"faiss.index": b"IxF2" + bytes(100), "empty.index": b""})
    assert len(scan(tmp_path).files) == 2


NET = b"""<?xml version="1.0"?>
<net name="main" version="11"><layers>
<layer id="1" type="Const"><data element_type="f32" shape="2" offset="8" size="32"/></layer>
</layers></net>"""


def test_an_openvino_model_needs_its_weights(tmp_path: Path) -> None:
    write(tmp_path, {"ir/model.xml": NET})
    refused(tmp_path, r"model\.xml: an OpenVINO model, whose weights are not there: ir/model\.bin", "holds both")
    refused(tmp_path / "ir" / "model.xml", r"not there: model\.bin", "holds both")
    write(tmp_path, {"ir/model.bin": bytes(39)})
    refused(tmp_path, r"its weights in ir/model\.bin are cut off: 39 bytes of at least 40", "again")
    write(tmp_path, {"ir/model.bin": bytes(40)})
    assert len(scan(tmp_path).files) == 2


def test_other_xml_needs_none(tmp_path: Path) -> None:
    write(tmp_path, {"a.xml": b"<config><net/></config>", "b.xml": b"no xml", "c.xml": b'<net version="1"></net>'})
    assert len(scan(tmp_path).files) == 3


def tfjs(*paths: str) -> bytes:
    return json.dumps({"modelTopology": {}, "weightsManifest": [{"paths": paths, "weights": []}]}).encode()


def test_a_model_for_tensorflow_js_needs_its_shards(tmp_path: Path) -> None:
    shards = [f"group1-shard{n}of2.bin" for n in (1, 2)]
    write(tmp_path, {"web/model.json": tfjs(*shards)})
    refused(tmp_path, rf"model\.json: lists shards that are not there: web/{shards[0]}", "save the model again")
    write(tmp_path, {f"web/{shards[0]}": b"1"})
    refused(tmp_path, rf"not there: web/{shards[1]}", "save the model again")
    write(tmp_path, {f"web/{shards[1]}": b"2"})
    assert len(scan(tmp_path).files) == 3
    (tmp_path / "web" / "model.json").unlink()
    (tmp_path / "web" / shards[0]).unlink()
    refused(tmp_path, rf"{shards[1]}: is one of shards that are not there: web/{shards[0]}", "save the model again")


def test_json_that_only_mentions_weights_is_carried(tmp_path: Path) -> None:
    texts = [b'{"weightsManifest": 1}', b'{"weightsManifest": [{"paths": 1}, 2]}', b'"weightsManifest"{', b"[]"]
    texts.append(tfjs("https://elsewhere/1.bin"))
    write(tmp_path, {f"{n}.json": text for n, text in enumerate(texts)})
    assert len(scan(tmp_path).files) == len(texts)


def dvc(path: str) -> bytes:
    return f"outs:\n- md5: 4f2c1a\n  size: 12\n  path: {path}\n".encode()


def test_a_pointer_of_dvc_is_no_model(tmp_path: Path) -> None:
    write(tmp_path, {"model.onnx.dvc": dvc("model.onnx"), "README.md": b"x"})
    refused(tmp_path, r"model\.onnx\.dvc: a DVC pointer to what is not there: model\.onnx", "dvc pull")
    refused(tmp_path / "model.onnx.dvc", "a DVC pointer", "dvc pull")
    write(tmp_path, {"model.onnx": b"graph"})
    assert len(scan(tmp_path).files) == 3


def test_a_pointer_of_dvc_to_a_folder_is_met_by_what_lies_in_it(tmp_path: Path) -> None:
    write(tmp_path, {"saved.dvc": dvc("saved")})
    refused(tmp_path, "a DVC pointer to what is not there: saved", "dvc pull")
    write(tmp_path, {"saved/weights": b"x"})
    assert len(scan(tmp_path).files) == 2


def test_a_pointer_of_dvc_to_training_data_may_lie_beside_the_model(tmp_path: Path) -> None:
    write(tmp_path, {"data.dvc": dvc("data"), "model.onnx": b"graph"})
    assert len(scan(tmp_path).files) == 2
    write(tmp_path, {"other.onnx.dvc": dvc("other.onnx")})
    refused(tmp_path, r"other\.onnx", "dvc pull")


def test_a_file_that_is_only_called_like_a_pointer_is_carried(tmp_path: Path) -> None:
    texts = [b"", b"- a", b"outs: 1", b"outs:\n- 1\n- path: [x]\n", b"\xff\xfe{", b"a: [", b"[" * 5000]
    write(tmp_path, {f"{n}.dvc": text for n, text in enumerate(texts)})
    assert len(scan(tmp_path).files) == len(texts)
