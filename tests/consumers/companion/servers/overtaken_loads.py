"""Two loads of one model overlap in KServe's own environment, the later one quicker: prints what serves. ``FOLDER``."""

import asyncio
import json
import sys
import time
from pathlib import Path

from modelcast.consumers.kserve import ModelcastModel, ModelcastRepository

file = Path(sys.argv[1]) / "adder/modelcast.json"


class SlowSecond(ModelcastModel):
    def load(self) -> bool:
        time.sleep(1.0 if self.version == 2 else 0.0)
        return True


def place(version: int) -> None:
    file.write_text(json.dumps({"version": version, "digest": "sha256:" + "a" * 64, "folder": str(version)}))


async def main() -> None:
    file.parent.mkdir()
    repository = ModelcastRepository(SlowSecond, sys.argv[1])
    place(2)
    overtaken = asyncio.create_task(repository.load("adder"))
    await asyncio.sleep(0.3)
    place(3)
    await asyncio.gather(overtaken, repository.load("adder"))
    sys.stdout.write(str(repository.in_memory("adder")["version"]))


asyncio.run(main())
