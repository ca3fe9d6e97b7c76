"""Run by test_pull_places.py with 40 MiB of disk mounted at /mnt."""

import os
import signal
from pathlib import Path

from modelcast.consumers.fetch import DiskFull, pull
from modelcast.infra.stores import MemoryStore
from tests.consumers.fetch.publishing import MIB, Wrapped, noise, publish, tree

MOUNTED = Path("/mnt")
FILES = {"model.onnx": noise(12 * MIB, 1), "twin.onnx": noise(12 * MIB, 1), "sub/labels.txt": b"cat\n"}


class Deadly(Wrapped):
    def on_read(self, count: int) -> None:
        super().on_read(count)
        if self.blob_bytes_read > 8 * MIB:
            os.kill(os.getpid(), signal.SIGKILL)


(MOUNTED / "lost+found").mkdir()
(MOUNTED / "lost+found").chmod(0)
child = os.fork()
if not child:
    dying = Deadly(MemoryStore())
    pull(dying, publish(dying, FILES).digest, MOUNTED)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
assert {p.name for p in MOUNTED.iterdir()} == {"lost+found", ".modelcast.pulling"}
print("killed")

origin = Wrapped(MemoryStore())
manifest = publish(origin, FILES)
pull(origin, manifest.digest, MOUNTED)
assert origin.blob_bytes_read < 10 * MIB, origin.blob_bytes_read
print("goes-on")

assert tree(MOUNTED) == FILES
assert {p.name for p in MOUNTED.iterdir()} == {"lost+found", "model.onnx", "twin.onnx", "sub"}
print("whole")

large = publish(origin, {"w": noise(10 * MIB, 2), "twin": noise(10 * MIB, 2)})  # 16 MiB are left: not for both
try:
    pull(origin, large.digest, MOUNTED / "more")
except DiskFull as error:
    assert "no room" in error.message, error
    assert error.subject == "/mnt/more", error
    print("full")
assert not (MOUNTED / "more").exists()
(MOUNTED / "twin.onnx").unlink()
pull(origin, large.digest, MOUNTED / "more")
assert tree(MOUNTED / "more") == {"w": noise(10 * MIB, 2), "twin": noise(10 * MIB, 2)}
print("whole")
