"""What a path asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.pod.api.paths import PathTarget, read_path


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/livez", PathTarget("live")),
        ("/v2/", PathTarget("about")),
        ("/v2/health/ready?x=1", PathTarget("ready")),
        ("/v2/models/m", PathTarget("metadata", "m")),
        ("/v2/models/m/ready", PathTarget("model_ready", "m")),
        ("/v2/models/m/infer", PathTarget("infer", "m")),
        ("/v2/models/m/versions/3/infer", PathTarget("infer", "m", version="3")),
        ("/v2/models/m/versions/3", PathTarget("metadata", "m", version="3")),
        ("/v2/models/m/encoder/infer", PathTarget("infer", "m", "encoder")),
        ("/v2/models/m%2Fencoder/versions/3/infer", PathTarget("infer", "m", "encoder", "3")),
        ("/v2/models/m/encoder", PathTarget("metadata", "m", "encoder")),
        ("/v2/models/m/traffic", PathTarget("traffic", "m")),
        ("/v2/models/m/traffic/infer", PathTarget("infer", "m", "traffic")),
        ("/v2/models/m/lanes/candidate", PathTarget("metadata", "m", lane="candidate")),
        ("/v2/models/m/lanes/infer", PathTarget("infer", "m", "lanes")),
        ("/v2/models/m/lanes/other", None),
        ("/v2/models/m@candidate/infer", None),
        ("/v2/repository/models/m/load", PathTarget("load", "m")),
        ("http://pod:80/v2/models/m/infer", PathTarget("infer", "m")),
        ("http://pod", None),
        ("/v2/models/", None),
        ("/v2/models//infer", None),
        ("/v2/models/m/versions", None),
        ("/v2/models/m/a/b/infer", None),
        ("/v2/models/m/versions/3/infer/more", None),
        ("/v2/repository/models/m/delete", None),
        ("/" + "x" * 5000, None),
        ("*", None),
    ],
)
def test_a_path_asks_for(path: str, target: PathTarget | None) -> None:
    assert read_path(path) == target


@given(st.text(max_size=40))
def test_no_text_at_all_is_an_error(text: str) -> None:
    for path in (text, f"/v2/models/{text}", f"/v2/models/{text}/infer"):
        read_path(path)
