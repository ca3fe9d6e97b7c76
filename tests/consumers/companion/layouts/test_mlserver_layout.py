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
    ("uri", "placed"),
    [
        ("./number.txt", "./7/number.txt"),
        ("deep/er", "./7/deep/er"),
        ("deep", "./7/deep"),
        (".", "./7"),
        ("/etc", "./7"),
    ],
)
def test_the_uri_leads_into_the_versions_own_folder(uri: str, placed: str) -> None:
    hint = {"implementation": "a.B", "parameters": {"uri": uri}}
    files = {"number.txt": b"1", "deep/er/more.txt": b"", "modelcast/mlserver.json": json.dumps(hint).encode()}
    assert laid_out(files).settings["parameters"]["uri"] == placed


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("uri", "../../etc", "leaves the artifact"),
        ("uri", "s3://bucket/model", "leaves the artifact"),
        ("uri", "./model.bin", "names nothing that the artifact holds"),
        ("environment_tarball", "env.tar.gz", "names nothing that the artifact holds"),
    ],
)
def test_a_path_to_what_the_artifact_lacks_is_unsupported_with_what_to_do(name: str, value: str, said: str) -> None:
    with pytest.raises(Unsupported, match=f"{name} .* {said}") as caught:
        hinted(implementation="a.B", parameters={name: value})
    assert "publish it with that file" in caught.value.hint


def test_an_environment_lies_below_the_versions_folder_or_where_the_server_has_its_own() -> None:
    hint = {"implementation": "a.B", "parameters": {"environment_tarball": "./env.tar.gz"}}
    layout = laid_out({"env.tar.gz": b"", "modelcast/mlserver.json": json.dumps(hint).encode()})
    assert layout.settings["parameters"] == {"uri": "./7", "environment_tarball": "./7/env.tar.gz"}
    tried = settings_elsewhere(layout, "fraud.trial", "../fraud")["parameters"]
    assert tried == {"uri": "../fraud/7", "environment_tarball": "../fraud/7/env.tar.gz"}
    own = hinted(implementation="a.B", parameters={"environment_tarball": "/opt/env.tar.gz"})
    assert settings_elsewhere(own, "fraud.trial", "../fraud")["parameters"]["environment_tarball"] == "/opt/env.tar.gz"


def test_an_artifacts_own_settings_count_and_are_not_placed_where_mlserver_would_find_them() -> None:
    layout = hinted("model-settings.json", implementation="a.B", name="other")
    assert layout.places == (Place("number.txt", "number.txt"),)
    assert (layout.settings["name"], layout.settings["implementation"]) == ("fraud", "a.B")


def test_settings_deeper_in_an_artifact_are_not_placed_for_mlserver_would_load_another_model_by_them() -> None:
    files = {"model.joblib": b"pickle", "x/model-settings.json": b'{"name": "other"}', "x/weights": b"w"}
    assert laid_out(files).places == (Place("model.joblib", "model.joblib"), Place("x/weights", "x/weights"))


@pytest.mark.parametrize("hint", [{"implementation": 7}, {"implementation": "a.B", "parameters": []}])
def test_a_damaged_hint_is_the_versions_fault(hint: dict[str, object]) -> None:
    with pytest.raises(NotLoadable):
        hinted(**hint)


def test_settings_that_name_no_implementation_leave_it_to_the_files_name() -> None:
    """MLServer itself takes it from its environment, which a companion does not see."""
    settings = {"parameters": {"extra": {"k": 1}}}
    named = laid_out({"model.joblib": b"", "model-settings.json": json.dumps(settings).encode()})
    assert named.settings["implementation"] == "mlserver_sklearn.SKLearnModel"
    assert named.settings["parameters"] == {"uri": "./7", "extra": {"k": 1}}
    with pytest.raises(Unsupported, match=r"modelcast/mlserver\.json"):
        hinted(**settings)


def test_what_nothing_says_how_to_load_is_unsupported_with_what_to_do() -> None:
    with pytest.raises(Unsupported, match=r"modelcast/mlserver\.json"):
        laid_out({"weights.gguf": b""})


def test_the_same_files_are_loaded_under_another_name_from_beside_their_folder() -> None:
    layout = laid_out({"model.joblib": b"pickle"})
    elsewhere = settings_elsewhere(layout, "fraud.trial", "../fraud")
    assert (elsewhere["name"], elsewhere["parameters"]["uri"]) == ("fraud.trial", "../fraud/7/model.joblib")
    assert layout.settings["parameters"]["uri"] == "./7/model.joblib"
