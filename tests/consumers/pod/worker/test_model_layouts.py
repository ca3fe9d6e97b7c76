"""Which files of an artifact a pod serves, by their paths alone."""

import json
from collections.abc import Mapping

import pytest

from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod.worker.models.layout import CustomModel, OnnxFiles, find_models
from modelcast.schemas.errors import ContentError

TRITON = 'name: "digits"\nbackend: "onnxruntime"\n'


def found(*paths: str, **texts: object) -> OnnxFiles | CustomModel:
    """``texts``: what is read of ``pod`` (the index, as JSON) and ``config`` (every config.pbtxt)."""
    files = dict.fromkeys(paths, 10)
    if "pod" in texts:
        files["modelcast/pod.json"] = 10

    def read(path: str) -> bytes:
        return json.dumps(texts["pod"]).encode() if path.endswith("json") else str(texts["config"]).encode()

    return find_models(files, read)


def parts(*paths: str, **texts: object) -> Mapping[str, str]:
    models = found(*paths, **texts)
    assert isinstance(models, OnnxFiles)
    return models.files


@pytest.mark.parametrize(
    ("paths", "served"),
    [
        (["model.onnx", "b.onnx", "weights.bin"], "model.onnx"),
        (["nested/only.onnx"], "nested/only.onnx"),
        (["onnx/model.onnx", "onnx/model_quantized.onnx", "model.safetensors", "config.json"], "onnx/model.onnx"),
        (["1/model.onnx", "2/model.onnx", "10/model.onnx", "10/model.onnx.data"], "10/model.onnx"),
        (["net.onnx", "._net.onnx", ".DS_Store", "__MACOSX/net.onnx", ".git/x.onnx"], "net.onnx"),
        (["net.onnx", "net_int8.onnx", "net_fp16.onnx"], "net.onnx"),
    ],
)
def test_one_model_is_found_where_people_put_it(paths: list[str], served: str) -> None:
    assert parts(*paths) == {"": served}


@pytest.mark.parametrize(
    ("paths", "served"),
    [
        (["digits/config.pbtxt", "digits/1/model.onnx", "digits/3/model.onnx"], "digits/3/model.onnx"),
        (["config.pbtxt", "1/model.onnx"], "1/model.onnx"),
        (["config.pbtxt", "model.onnx"], "model.onnx"),
    ],
)
def test_tritons_layout_serves_its_newest_version(paths: list[str], served: str) -> None:
    assert parts(*paths, config=TRITON) == {"": served}


def test_a_triton_configuration_may_name_the_file() -> None:
    config = TRITON + 'default_model_filename: "net.onnx"'
    assert parts("config.pbtxt", "1/net.onnx", "1/model.onnx", config=config) == {"": "1/net.onnx"}


def test_a_triton_repository_of_several_models_is_served_by_their_folders() -> None:
    paths = ["encoder/config.pbtxt", "encoder/1/model.onnx", "decoder/config.pbtxt", "decoder/1/model.onnx"]
    assert parts(*paths, config=TRITON) == {"encoder": "encoder/1/model.onnx", "decoder": "decoder/1/model.onnx"}


def test_a_triton_model_for_another_backend_is_unsupported_and_named() -> None:
    with pytest.raises(Unsupported, match=r"config\.pbtxt: it is for 'python'"):
        found("config.pbtxt", "1/model.py", config='backend: "python"')


def test_a_triton_configuration_without_its_file_names_both() -> None:
    with pytest.raises(NotLoadable, match=r"config\.pbtxt: no model\.onnx in a numbered folder"):
        found("config.pbtxt", "1/other.onnx", config=TRITON)


@pytest.mark.parametrize(
    ("paths", "served"),
    [
        (
            ["encoder_model.onnx", "decoder_model.onnx", "decoder_model_quantized.onnx", "tokenizer.json"],
            {"encoder_model": "encoder_model.onnx", "decoder_model": "decoder_model.onnx"},
        ),
        (
            ["text_encoder/model.onnx", "unet/model.onnx", "unet/model.onnx_data"],
            {"text_encoder": "text_encoder/model.onnx", "unet": "unet/model.onnx"},
        ),
        (["a/x.onnx", "b/x.onnx"], {"a.x": "a/x.onnx", "b.x": "b/x.onnx"}),
    ],
)
def test_several_files_are_parts(paths: list[str], served: dict[str, str]) -> None:
    assert parts(*paths) == served


def test_an_index_says_which_files_and_which_one_the_model_itself_is() -> None:
    index = {"models": {"enc": "a.onnx", "dec": "b.onnx"}, "default": "enc"}
    assert parts("a.onnx", "b.onnx", "c.onnx", pod=index) == {"": "a.onnx", "enc": "a.onnx", "dec": "b.onnx"}
    assert parts("a.onnx", "b.onnx", pod={"model": "b.onnx"}) == {"": "b.onnx"}


def test_an_index_names_a_runtime() -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [-1, 2]}
    models = found("w.safetensors", pod={"runtime": "net", "inputs": [tensor], "outputs": [{**tensor, "name": "y"}]})
    assert isinstance(models, CustomModel)
    assert (models.runtime, models.inputs[0].shape, models.outputs[0].name) == ("net", (-1, 2), "y")


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ([], "not a JSON object"),
        ({}, 'one of "models", "model" and "runtime"'),
        ({"model": "a.onnx", "runtime": "x"}, "needs one of"),
        ({"model": "gone.onnx"}, r"names 'gone\.onnx', which the artifact does not hold"),
        ({"models": {}}, "must name 1 to 32 files"),
        ({"models": {"infer": "a.onnx"}}, "can't be the name of a part"),
        ({"models": {"a/b": "a.onnx"}}, "can't be the name of a part"),
        ({"models": {"a": "a.onnx"}, "default": "b"}, "\"default\" is 'b'"),
        ({"models": {"a": "a.onnx"}, "default": []}, '"default" is'),
        ({"runtime": "../x"}, "must be the name of an entry point"),
        ({"runtime": "x"}, '"inputs" must describe'),
        ({"runtime": "x", "inputs": [{"name": "x", "datatype": "FP33", "shape": []}]}, '"inputs" holds'),
    ],
)
def test_a_damaged_index_is_named_and_said_how(index: object, says: str) -> None:
    with pytest.raises(NotLoadable, match=says) as caught:
        found("a.onnx", pod=index)
    assert caught.value.subject == "modelcast/pod.json"


def test_an_artifact_without_a_model_says_what_it_holds_and_what_to_do() -> None:
    with pytest.raises(ContentError, match=r"found: config\.json, w\.safetensors.*modelcast/pod\.json"):
        found("w.safetensors", "config.json")
    with pytest.raises(Unsupported, match="found: none"):
        found("._only.onnx")


def test_too_many_files_are_not_all_loaded() -> None:
    with pytest.raises(Unsupported, match=r"33 \.onnx files"):
        found(*(f"{n}x.onnx" for n in range(33)))


def test_a_load_is_reckoned_without_what_it_does_not_read() -> None:
    files = {
        "onnx/model.onnx": 1, "onnx/model.onnx_data": 10, "onnx/model_fp16.onnx": 100,
        "onnx/model_fp16.onnx_data": 1000, "model.safetensors": 10_000, "README.md": 100_000,
    }  # fmt: skip
    models = find_models(files, lambda _: b"")
    assert models.size_bytes(files) == 11
