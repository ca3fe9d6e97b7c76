"""Where a version's files go in Triton's model repository, and what its configuration says."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from modelcast.consumers.companion.layouts.triton import triton_layout
from modelcast.consumers.companion.layouts.version_layout import HINT_SIZE_MAX, Place, VersionLayout
from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.errors import ContentError

DIGEST = "sha256:" + "a" * 64


def no_text_config(_text: bytes) -> Mapping[str, Any]:
    raise ValueError("unknown field")


def laid_out(files: dict[str, bytes], parse: Any = no_text_config) -> VersionLayout:
    order = LoadOrder("fraud", 7, DIGEST, 12, 3, "registry")
    return triton_layout({p: len(b) for p, b in files.items()}, order, files.__getitem__, parse)


def test_an_onnx_model_needs_no_hint() -> None:
    layout = laid_out({"model.onnx": b"graph", "weights.bin": b"w", "modelcast/note.json": b"{}"})
    assert layout.folder == "7"
    assert layout.places == (Place("model.onnx", "model.onnx"), Place("weights.bin", "weights.bin"))
    assert layout.settings == {
        "name": "fraud",
        "backend": "onnxruntime",
        "version_policy": {"specific": {"versions": [7]}},
        "parameters": {"modelcast_digest": {"string_value": DIGEST}},
    }


def test_a_hint_says_all_but_what_is_ours_to_say() -> None:
    config = {
        "backend": "python",
        "name": "other",
        "version_policy": {"all": {}},
        "parameters": {"threads": {"string_value": "2"}, "modelcast_digest": {"string_value": "lie"}},
    }
    layout = laid_out({"model.py": b"", "modelcast/triton.json": json.dumps({"config": config}).encode()})
    assert layout.settings["name"] == "fraud"
    assert layout.settings["version_policy"] == {"specific": {"versions": [7]}}
    assert layout.settings["parameters"] == {
        "threads": {"string_value": "2"},
        "modelcast_digest": {"string_value": DIGEST},
    }


def test_an_artifact_laid_out_as_triton_wants_it_keeps_its_configuration_and_changes_its_number() -> None:
    files = {"config.pbtxt": b'backend: "python"', "1/model.py": b"", "1/deep/weights": b"w"}
    layout = laid_out(files, lambda text: {"backend": "python", "seen": text.decode()})
    assert layout.places == (Place("deep/weights", "1/deep/weights"), Place("model.py", "1/model.py"))
    assert layout.settings["seen"] == 'backend: "python"'


@pytest.mark.parametrize("more", ["labels.txt", "warmup/x", "2/model.onnx"])
def test_what_triton_wants_beside_the_versions_folder_is_unsupported_with_what_to_do(more: str) -> None:
    """Placed flat, Triton would not find its model, and the version would be blamed."""
    with pytest.raises(Unsupported, match=f"it holds {more.split('/', maxsplit=1)[0]}") as caught:
        laid_out({"config.pbtxt": b"", "1/model.onnx": b"", more: b""}, lambda _text: {"backend": "onnxruntime"})
    assert "move what the model needs into folder 1" in caught.value.hint


def test_a_configuration_beside_files_of_no_version_folder_counts_too() -> None:
    layout = laid_out({"config.pbtxt": b"", "model.py": b""}, lambda _text: {"backend": "python"})
    assert layout.places == (Place("model.py", "model.py"),)


def test_a_python_model_without_model_py_never_reaches_triton() -> None:
    """Triton would never answer the load, nor take another of that model until it restarts."""
    hint = json.dumps({"config": {"backend": "python"}}).encode()
    with pytest.raises(Unsupported, match=r"model\.py"):
        laid_out({"weights": b"", "modelcast/triton.json": hint})


def test_the_program_of_a_python_model_may_have_another_name() -> None:
    hint = json.dumps({"config": {"backend": "python", "default_model_filename": "./fraud.py"}}).encode()
    assert laid_out({"fraud.py": b"", "modelcast/triton.json": hint}).settings["backend"] == "python"
    with pytest.raises(Unsupported, match=r"fraud\.py"):
        laid_out({"model.py": b"", "modelcast/triton.json": hint})


def test_what_nothing_says_how_to_load_is_unsupported_with_what_to_do() -> None:
    with pytest.raises(Unsupported, match=r"modelcast/triton\.json"):
        laid_out({"weights.gguf": b""})


@pytest.mark.parametrize("hint", [b"{", b"[]", b"{}", b'{"config": []}'])
def test_a_damaged_hint_is_the_versions_fault(hint: bytes) -> None:
    with pytest.raises(NotLoadable, match=r"modelcast/triton\.json"):
        laid_out({"model.onnx": b"", "modelcast/triton.json": hint})


def test_a_hint_that_is_larger_than_a_companion_reads_is_its_own_limit() -> None:
    with pytest.raises(Unsupported, match=f"a companion reads at most {HINT_SIZE_MAX}"):
        laid_out({"model.onnx": b"", "modelcast/triton.json": b" " * (HINT_SIZE_MAX + 1)})


def test_a_damaged_text_configuration_is_the_versions_fault() -> None:
    with pytest.raises(NotLoadable, match="unknown field"):
        laid_out({"model.onnx": b"", "config.pbtxt": b"?"})


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (b'backend: "python"\nof_a_newer_triton: 1', Unsupported),
        (b"input { data_type: TYPE_FP4 }", Unsupported),
        (b"backend: {", NotLoadable),
        (b"\xff", NotLoadable),
    ],
)
def test_a_text_configuration_of_a_newer_triton_is_unsupported_with_what_to_do_and_a_damaged_one_is_not(
    text: bytes, error: type[ContentError]
) -> None:
    pytest.importorskip("tritonclient.grpc")
    from modelcast.consumers.companion.engines.triton import parse_config

    with pytest.raises(error) as caught:
        laid_out({"model.py": b"", "config.pbtxt": text}, parse_config)
    assert ("modelcast/triton.json" in caught.value.hint) is (error is Unsupported)
