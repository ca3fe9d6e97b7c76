"""Once fetched, the stack needs no network."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

START = """
import fcntl, socket, struct, sys
from pathlib import Path
from modelcast.infra.local.servers.kafka import cluster_at
from modelcast.infra.local.stack import LocalStack

UP, SIOCSIFFLAGS = 1, 0x8914
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh", b"lo", UP))
try:
    socket.create_connection(("192.0.2.1", 443), 1)
except OSError as error:
    print("no network:", error.strerror)
with LocalStack.start(Path(sys.argv[1]), regions=("eu",), pods_per_region=1, daemons=()) as stack:
    print("kafka:", cluster_at(stack.env["MODELCAST_KAFKA__BOOTSTRAP_SERVERS"]))
"""


@pytest.mark.soak
def test_a_second_start_takes_no_network(kafka: str, tmp_path: Path) -> None:
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("this kernel gives no network namespaces to ordinary users")
    command = [*namespace, sys.executable, "-c", START, str(tmp_path / "stack")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "no network: Network is unreachable" in done.stdout
    assert "kafka: m" in done.stdout
