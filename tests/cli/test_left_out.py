"""What a publication leaves out is said on stderr."""

from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from tests.support.servers.stores import S3ForTests


@pytest.mark.integration
def test_publish_lists_what_it_left_out(cli: Cli, s3: S3ForTests, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"graph")
    (tmp_path / ".DS_Store").write_bytes(b"x")
    (tmp_path / "train.log").write_bytes(b"x")
    (tmp_path / ".modelcastignore").write_text("*.log")
    origin = {
        "MODELCAST_STORES__ORIGIN__URL": f"s3://{s3.bucket()}",
        "MODELCAST_STORES__ORIGIN__ENDPOINT_URL": s3.endpoint_url,
    }
    ended = cli("publish", "fraud", ".", "--dry-run", **s3.env, **origin)
    assert ended.code == 0, ended.err
    assert ".DS_Store (by default), .modelcastignore (by default), train.log (.modelcastignore: *.log)" in ended.err
    assert "in 1 file(s)" in ended.out
