"""Where the files of kinds that know them by name go."""

from collections.abc import Callable

import pytest

from modelcast.consumers.companion.layouts.known_files import (
    adapter_layout,
    archive_layout,
    saved_model_layout,
    weights_layout,
)
from modelcast.consumers.companion.layouts.kserve import kserve_layout
from modelcast.consumers.companion.layouts.version_layout import Files, Place, VersionLayout
from modelcast.consumers.pod.engine import Unsupported
from modelcast.consumers.pod_clients.port import LoadOrder

DIGEST = "sha256:" + "a" * 64
ORDER = LoadOrder("fraud", 7, DIGEST, 12, 3, "registry")


def laid_out(layout: Callable[[Files, LoadOrder], VersionLayout], *files: str) -> VersionLayout:
    return layout(dict.fromkeys(files, 1), ORDER)


def test_kserve_is_told_the_version_by_a_file_beside_its_folder() -> None:
    layout = laid_out(kserve_layout, "model.onnx", "modelcast/triton.json")
    assert (layout.folder, layout.places) == ("7", (Place("model.onnx", "model.onnx"),))
    assert layout.settings == {"version": 7, "digest": DIGEST, "folder": "7"}


@pytest.mark.parametrize("prefix", ["", "3/"])
def test_a_saved_model_lies_below_its_versions_number_whatever_number_it_was_exported_under(prefix: str) -> None:
    files = [f"{prefix}saved_model.pb", f"{prefix}variables/variables.index"]
    layout = laid_out(saved_model_layout, *files)
    assert layout.folder == "7"
    assert [(place.path, place.source) for place in layout.places] == [
        ("saved_model.pb", files[0]),
        ("variables/variables.index", files[1]),
    ]


def test_an_archive_gets_a_name_of_its_own() -> None:
    assert laid_out(archive_layout, "out/x.mar", "notes.txt").places == (Place("fraud-7.mar", "out/x.mar"),)


@pytest.mark.parametrize(
    ("layout", "files"),
    [
        (saved_model_layout, ("model.onnx",)),
        (saved_model_layout, ("1/saved_model.pb", "2/saved_model.pb")),
        (archive_layout, ("model.pt",)),
        (archive_layout, ("a.mar", "b.mar")),
        (weights_layout, ("model.safetensors",)),
        (weights_layout, ("config.json", "model.gguf")),
        (adapter_layout, ("config.json", "model.safetensors")),
    ],
)
def test_other_files_are_unsupported(
    layout: Callable[[Files, LoadOrder], VersionLayout], files: tuple[str, ...]
) -> None:
    with pytest.raises(Unsupported, match="the artifact holds"):
        laid_out(layout, *files)
