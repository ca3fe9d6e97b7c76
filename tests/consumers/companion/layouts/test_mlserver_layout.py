"""Where a version's files go in MLServer's model repository, and what model-settings.json says."""

import json

import pytest

from modelcast.consumers.companion.layouts.mlserver import mlserver_layout, served_in, settings_elsewhere
from modelcast.consumers.companion.layouts.version_layout import Place, VersionLayout
from modelcast.consumers.pod.engine import NotLoadable, Unsupported
from modelcast.consumers.pod_clients.port import LoadOrder

DIGEST = "sha256:" + "a" * 64


def laid_out(files: dict[str, bytes]) -> VersionLayout:
    order = LoadOrder("fraud", 7, DIGEST, 12, 3, "registry")
    return mlserver_layout({p: len(b) for p, b in files.items()}, order, files.__getitem__)


def hinted(file: str = "modelcast/mlserver.json", /, **hint: object) -> VersionLayout:
    return laid_out({"number.txt": b"1", file: json.dumps(hint).encode()})


def test_a_scikit_learn_model_needs_no_hint() -> None:
    layout = laid_out({"model.joblib": b"pickle"})
    assert (layout.folder, layout.places) == ("7", (Place("model.joblib", "model.joblib"),))
    assert layout.settings == {
        "name": "fraud",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "platform": f"modelcast {DIGEST} 7",
        "parameters": {"uri": "./7/model.joblib"},
    }


def test_the_settings_name_no_version_for_mlserver_would_answer_400_until_it_is_loaded() -> None:
    layout = hinted(implementation="a.B", parameters={"version": "v3", "extra": {"k": 1}})
    assert layout.settings["parameters"] == {"uri": "./7", "extra": {"k": 1}}


def test_what_serves_is_named_by_what_mlserver_repeats_from_the_settings_that_it_has_loaded() -> None:
    assert served_in(hinted(implementation="a.B").settings["platform"]) == (7, DIGEST)


@pytest.mark.parametrize(
    "platform", [None, 7, "", "sklearn", f"modelcast {DIGEST}", "modelcast sha256:x 7", f"modelcast {DIGEST} seven"]
)
def test_any_other_platform_names_nothing(platform: object) -> None:
    assert served_in(platform) is None


@pytest.mark.parametrize(
    ("uri", "placed"), [("./model.bin", "./7/model.bin"), ("deep/er", "./7/deep/er"), (".", "./7"), ("/etc", "./7")]
)
def test_the_uri_leads_into_the_versions_own_folder(uri: str, placed: str) -> None:
    assert hinted(implementation="a.B", parameters={"uri": uri}).settings["parameters"]["uri"] == placed


def test_a_uri_that_leaves_the_artifact_is_refused() -> None:
    with pytest.raises(NotLoadable, match="leaves the artifact"):
        hinted(implementation="a.B", parameters={"uri": "../../etc"})


def test_an_artifacts_own_settings_count_and_are_not_placed_where_mlserver_would_find_them() -> None:
    layout = hinted("model-settings.json", implementation="a.B", name="other")
    assert layout.places == (Place("number.txt", "number.txt"),)
    assert (layout.settings["name"], layout.settings["implementation"]) == ("fraud", "a.B")


def test_settings_deeper_in_an_artifact_are_not_placed_for_mlserver_would_load_another_model_by_them() -> None:
    files = {"model.joblib": b"pickle", "x/model-settings.json": b'{"name": "other"}', "x/weights": b"w"}
    assert laid_out(files).places == (Place("model.joblib", "model.joblib"), Place("x/weights", "x/weights"))


@pytest.mark.parametrize("hint", [{}, {"implementation": 7}, {"implementation": "a.B", "parameters": []}])
def test_a_damaged_hint_is_the_versions_fault(hint: dict[str, object]) -> None:
    with pytest.raises(NotLoadable):
        hinted(**hint)


def test_what_nothing_says_how_to_load_is_unsupported_with_what_to_do() -> None:
    with pytest.raises(Unsupported, match=r"modelcast/mlserver\.json"):
        laid_out({"weights.gguf": b""})


def test_the_same_files_are_loaded_under_another_name_from_beside_their_folder() -> None:
    layout = laid_out({"model.joblib": b"pickle"})
    elsewhere = settings_elsewhere(layout, "fraud.trial", "../fraud")
    assert (elsewhere["name"], elsewhere["parameters"]["uri"]) == ("fraud.trial", "../fraud/7/model.joblib")
    assert layout.settings["parameters"]["uri"] == "./7/model.joblib"
