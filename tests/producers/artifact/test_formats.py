"""Formats are recognised by what a file holds; what is not is published only when it is asked for."""

import gzip
import io
import random
import struct
import zipfile
from pathlib import Path

import numpy
import onnx
import orjson
import pytest
from onnx import TensorProto, helper
from safetensors.numpy import save

from modelcast.infra.settings_publish import ArtifactRules, PublishSettings
from modelcast.infra.stores import MemoryStore
from modelcast.producers import Publisher
from modelcast.producers.artifact import check_known, scan
from modelcast.producers.artifact.formats import TextCheck, unknown_of
from modelcast.producers.artifact.reading import read_all
from modelcast.producers.artifact.walk import Walk
from modelcast.schemas.errors import ExitCode, Refused, UsageError
from tests.consumers.pod.models import adder, matmul
from tests.producers.fakes import SETTINGS, Heard


def array() -> bytes:
    out = io.BytesIO()
    numpy.save(out, numpy.zeros(3))
    return out.getvalue()


def zipped(*names: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as made:
        for name in names:
            made.writestr(name, array() if name.endswith(".npy") else b"{}")
    return out.getvalue()


def field(number: int, body: bytes) -> bytes:
    return bytes([number << 3 | 2, len(body)]) + body


PIECE = field(1, b"<unk>") + b"\x15\x00\x00\x00\x00" + b"\x18\x02"
SAVED_MODEL = b"\x08\x01" + field(2, field(1, b"tags"))
ONNX = adder(1).files["model.onnx"]
KNOWN = {
    ("model.onnx", "onnx"): ONNX,
    ("model.safetensors", "safetensors"): save({"a": numpy.zeros(3, "f4"), "b": numpy.zeros(0, "i8")}),
    ("weights", "safetensors"): save({"a": numpy.zeros(3, "f4")}),
    ("model.gguf", "gguf"): b"GGUF" + struct.pack("<IQQ", 3, 0, 0),
    ("a.npy", "npy"): array(),
    ("a.npz", "npz"): zipped("arr_0.npy"),
    ("model.keras", "keras"): zipped("config.json", "metadata.json", "model.weights.h5"),
    ("model.tflite", "tflite"): b"\x1c\0\0\0TFL3" + bytes(40),
    ("saved_model.pb", "protobuf"): SAVED_MODEL,
    ("tokenizer.model", "sentencepiece"): field(1, PIECE) * 3 + field(2, b"\x18\x01"),
    ("model.cbm", "catboost"): b"CBM1" + bytes(40),
    ("model.ubj", "xgboost"): b"{L\0\0\0\0\0\0\0\x07learner{" + bytes(20),
    ("icon.png", "image"): b"\x89PNG\r\n\x1a\n" + bytes(20),
    ("config.pbtxt", "text"): b'name: "adder"\nplatform: "onnxruntime_onnx"\n',
    ("model-settings.json", "text"): b'{"name": "adder"}',
    ("vocab.txt", "text"): "[PAD]\n##é\n日本\n".encode(),
    ("words.tiktoken", "text"): b"IQ== 0\nIg== 1\n",
    ("windows.csv", "text"): "a;b\r\n1;2\r\n".encode("utf-16"),
    ("vocab.txt.gz", "text in gzip"): gzip.compress("hello é\n".encode() * 20_000),
    ("empty", "empty"): b"",
}


def format_in(folder: Path, name: str, data: bytes) -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(data)
    (file,) = read_all(Walk(folder).files(), 1, lambda _: None)
    return file.format


@pytest.mark.parametrize(("name", "wanted"), KNOWN)
def test_it_is_known(name: str, wanted: str, tmp_path: Path) -> None:
    assert format_in(tmp_path, name, KNOWN[name, wanted]) == wanted
    assert scan(tmp_path).unknown == ()


HOLE = orjson.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}})
RANDOM = random.Random(5).randbytes(5_000)
UNKNOWN = {
    "noise": ("weights.bin", RANDOM),
    "machine code": ("custom_op.so", b"\x7fELF\x02\x01\x01" + bytes(200)),
    "an engine of TensorRT": ("model.plan", b"ftrt" + RANDOM),
    "text in an older encoding": ("words.txt", b"caf\xe9\n"),
    "text with a NUL": ("words.txt", b"a\0b\n"),
    "text that ends within a character": ("words.txt", "é".encode()[:1]),
    "noise behind text": ("words.txt", b"a line\n" * 300_000 + RANDOM),
    "no ONNX, but text": ("model.onnx", b"hello\n"),
    "ONNX with something behind it": ("model.onnx", ONNX + b"\xff" * 20),
    "ONNX without a graph": ("model.onnx", b"\x08\x08\x12\x02me"),
    "no safetensors, but JSON": ("model.safetensors", b"{}" + b" " * 20),
    "safetensors with a hole": ("weights", struct.pack("<Q", len(HOLE)) + HOLE + bytes(8)),
    "safetensors with something behind it": ("model.safetensors", save({"a": numpy.zeros(3, "f4")}) + b"x"),
    "another archive by that name": ("a.npz", zipped("arr_0.npy", "run.sh")),
    "an archive of anything": ("docs.zip", zipped("readme.json")),
    "an image by another name": ("model.h5", b"\x89PNG\r\n\x1a\n" + bytes(100)),
    "no message": ("saved_model.pb", SAVED_MODEL + b"\x0f"),
    "noise in gzip": ("vocab.txt.gz", gzip.compress(RANDOM)),
    "no list of pieces": ("tokenizer.model", b"\x08\x01\xff"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_it_is_unknown(what: str, tmp_path: Path) -> None:
    name, data = UNKNOWN[what]
    assert format_in(tmp_path, name, data) == ""
    assert scan(tmp_path).unknown == (name,)


def test_bare_weights_are_known_by_the_file_beside_them(tmp_path: Path) -> None:
    for path, data in matmul(1, 3, 2).files.items():
        (tmp_path / path).write_bytes(data)
    (tmp_path / "other.bin").write_bytes(RANDOM)
    assert scan(tmp_path).unknown == ("other.bin",)
    assert (
        format_in(tmp_path / "tf", "variables.index", bytes(40) + bytes.fromhex("57fb808b247547db"))
        == "checkpoint index"
    )
    formats = {
        "m/variables/variables.data-00000-of-00001": "", "m/variables/variables.index": "checkpoint index",
        "x/model.bin": "", "x/model.xml": "text", "y/model.bin": "", "y/model.xml": "",
        "js/group1-shard1of1.bin": "", "js/model.json": "text", "js/weights.bin": "",
        "n/variables.data-00000-of-00001": "", "n/variables.index": "text",
    }  # fmt: skip
    assert unknown_of(formats, {}) == (
        "y/model.bin", "y/model.xml", "js/weights.bin", "n/variables.data-00000-of-00001",
    )  # fmt: skip
    assert unknown_of({"d/model.onnx": "onnx", "d/w/1": "", "w/1": ""}, {"d/model.onnx": ["./w/1"]}) == ("w/1",)


def test_weights_that_a_function_or_a_list_of_tensors_names_are_looked_for(tmp_path: Path) -> None:
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="../../etc/passwd")
    node = helper.make_node("Custom", [], ["y"], values=[tensor])
    value = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    function = helper.make_function("ours", "F", [], ["y"], [node], [helper.make_opsetid("", 18)])
    for graph, functions in (
        (helper.make_graph([node], "g", [], [value]), []),
        (helper.make_graph([helper.make_node("F", [], ["y"], domain="ours")], "g", [], [value]), [function]),
    ):
        onnx.save_model(helper.make_model(graph, functions=functions), tmp_path / "model.onnx")
        with pytest.raises(Refused, match="passwd"):
            scan(tmp_path)


def test_text_is_told_block_by_block() -> None:
    whole = ("é日" * 1_000).encode()
    for size in (1, 2, 3, 7, 100):
        check = TextCheck()
        for at in range(0, len(whole), size):
            check.take(memoryview(whole[at : at + size]))
        assert check.is_text(), size
        check.take(memoryview(whole[:1]))
        assert not check.is_text(), size


def test_what_is_unknown_is_refused_by_name_with_what_to_do() -> None:
    with pytest.raises(Refused, match=r"a\.plan, b c\.bin, d\.onnx \(and not what its ending \.onnx says\)") as caught:
        check_known(["a.plan", "b c.bin", "d.onnx", "e.plan"], ["e.*"], subject="./model")
    assert caught.value.exit_code == ExitCode.REFUSED
    assert caught.value.subject == "./model"
    assert "--allow-unknown a.plan --allow-unknown 'b c.bin' --allow-unknown d.onnx" in caught.value.hint
    assert "publish.allow_unknown" in caught.value.hint
    check_known(["a.plan", "[x].bin"], ["*.plan", "[x].bin"], subject="")
    with pytest.raises(Refused, match=r"4\.bin and 5 more"):
        check_known([f"{n}.bin" for n in range(10)], [], subject="")
    with pytest.raises(UsageError, match="allow_unknown"):
        check_known(["a"], ["!"], subject="")


def publisher_of(store: MemoryStore, heard: Heard, **publish: object) -> Publisher:
    section = PublishSettings.model_validate({"allow_unknown": (), **publish})
    return Publisher(SETTINGS.model_copy(update={"publish": section}), store=store, announcer=heard)


def test_a_publisher_refuses_it_unless_the_call_or_the_settings_ask(
    store: MemoryStore, heard: Heard, tmp_path: Path
) -> None:
    (tmp_path / "model.plan").write_bytes(RANDOM)
    for strict in (
        publisher_of(store, heard),
        publisher_of(store, heard, allow_unknown=("*.engine",)),
        publisher_of(store, heard, allow_unknown=("*",), models={"fraud": ArtifactRules(allow_unknown=())}),
        publisher_of(store, heard, models={"other": ArtifactRules(allow_unknown=("*",))}),
    ):
        with pytest.raises(Refused, match=r"model\.plan"):
            strict.publish("fraud", tmp_path)
    assert list(store.list("")) == []
    with pytest.raises(UsageError, match="allow_unknown"):
        publisher_of(store, heard).publish("fraud", tmp_path, allow_unknown=3)  # type: ignore[arg-type]
    assert publisher_of(store, heard).publish("fraud", tmp_path, allow_unknown="*.plan").created
    for number, lenient in enumerate(
        (
            publisher_of(store, heard, allow_unknown=("*.plan",)),
            publisher_of(store, heard, models={"fraud": ArtifactRules(allow_unknown=("*.plan",))}),
        )
    ):
        (tmp_path / "model.plan").write_bytes(RANDOM + bytes([number]))
        assert lenient.publish("fraud", tmp_path).created


def test_pickles_may_be_allowed_for_one_model(store: MemoryStore, heard: Heard, tmp_path: Path) -> None:
    (tmp_path / "m.pkl").write_bytes(b"\x80\x04N.")
    mixed = publisher_of(store, heard, models={"fraud": ArtifactRules(allow_pickle=True)})
    assert mixed.publish("fraud", tmp_path).created
    with pytest.raises(Refused, match="pickle"):
        mixed.publish("other", tmp_path)
    strict = publisher_of(store, heard, allow_pickle=True, models={"other": ArtifactRules(allow_pickle=False)})
    with pytest.raises(Refused, match="pickle"):
        strict.publish("other", tmp_path)
