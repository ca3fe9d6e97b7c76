"""What a path asks for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelcast.consumers.pod.paths import Target, read_path


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/livez", Target("live")),
        ("/v2/", Target("about")),
        ("/v2/health/ready?x=1", Target("ready")),
        ("/v2/models/m", Target("metadata", "m")),
        ("/v2/models/m/ready", Target("model_ready", "m")),
        ("/v2/models/m/infer", Target("infer", "m")),
        ("/v2/models/m/versions/3/infer", Target("infer", "m", version="3")),
        ("/v2/models/m/versions/3", Target("metadata", "m", version="3")),
        ("/v2/models/m/encoder/infer", Target("infer", "m", "encoder")),
        ("/v2/models/m%2Fencoder/versions/3/infer", Target("infer", "m", "encoder", "3")),
        ("/v2/models/m/encoder", Target("metadata", "m", "encoder")),
        ("/v2/repository/models/m/load", Target("load", "m")),
        ("http://pod:80/v2/models/m/infer", Target("infer", "m")),
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
def test_a_path_asks_for(path: str, target: Target | None) -> None:
    assert read_path(path) == target


@given(st.text(max_size=40))
def test_no_text_at_all_is_an_error(text: str) -> None:
    for path in (text, f"/v2/models/{text}", f"/v2/models/{text}/infer"):
        read_path(path)
