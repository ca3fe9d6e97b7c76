"""What servers say when their machine, and not the version, is to blame."""

import pytest

from modelcast.consumers.companion.blame import environment_code


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ("RuntimeError: CUDA out of memory. Tried to allocate 2 GiB", "out_of_resources"),
        ("[Errno 24] Too many open files: '/models/a'", "out_of_resources"),
        ("[Errno 13] Permission denied: '/models/a/7/model.bin'", "not_delivered"),
        ("[Errno 5] Input/output error", "io_error"),
        ("CUDA driver version is insufficient for CUDA runtime version", "unsupported"),
        ("HTTPSConnectionPool(host='hub'): Max retries exceeded", "server_failed"),
        ("ValueError: invalid literal for int() with base 10: 'no number'", ""),
        ("Protobuf parsing failed", ""),
        ("", ""),
    ],
)
def test_the_machines_and_the_networks_faults_are_told_from_those_of_the_files(message: str, code: str) -> None:
    assert environment_code(message) == code
