"""``python -m modelcast.consumers.pod``: a pod on a plain folder of artifacts, without settings."""

import argparse
import asyncio
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import orjson

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.pod.config import Aspired, PodConfig
from modelcast.consumers.pod.server import serve
from modelcast.consumers.pod_clients.port import LoadOrder
from modelcast.schemas.errors import ContentError


class AspiredFile:
    """Orders in a JSON file, each an object with ``LoadOrder``'s fields."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def aspired(self) -> Sequence[Aspired]:
        """See ``AspiredSource.aspired``."""
        try:
            return [Aspired(LoadOrder(**item)) for item in orjson.loads(self._path.read_bytes())]
        except (OSError, ValueError, TypeError) as error:
            raise ContentError(f"can't be read: {error}", subject=str(self._path)) from None


def main() -> None:
    """Parse the arguments and serve. The token comes from MODELCAST_POD_TOKEN or ``--token-file``."""
    parser = argparse.ArgumentParser(prog="python -m modelcast.consumers.pod")
    parser.add_argument("--name", required=True)
    parser.add_argument("--region", required=True)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="The port; 0: any free one (see --port-file)")
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--cache-dir", type=Path, required=True, help="artifacts, in folders named by manifest digest")
    parser.add_argument("--state-dir", type=Path, required=True, help="a folder of its own for what it has accepted")
    parser.add_argument("--token-file", type=Path)
    parser.add_argument("--aspired", type=Path, help="what to serve at start: a JSON list of load orders")
    parser.add_argument("--grace-seconds", type=float, default=1.0)
    parser.add_argument("--drain-seconds", type=float, default=30.0)
    parser.add_argument("--load-seconds-max", type=float, default=300.0)
    parser.add_argument("--infer-seconds-max", type=float, default=60.0)
    parser.add_argument("--body-bytes-max", type=int, default=64 * 1024 * 1024)
    parser.add_argument("--run-threads", type=int, default=2)
    parser.add_argument("--intra-op-threads", type=int, default=1)
    parser.add_argument("--load-nice", type=int, default=10)
    parser.add_argument("--memory-max-bytes", type=int, help="of all models together; without it, what the machine has")
    arguments = parser.parse_args()
    token = arguments.token_file.read_text().strip() if arguments.token_file else os.environ["MODELCAST_POD_TOKEN"]
    config = PodConfig(
        name=arguments.name,
        region=arguments.region,
        token=token,
        artifacts=functools.partial(FolderArtifacts, arguments.cache_dir),
        state_dir=arguments.state_dir,
        aspired=AspiredFile(arguments.aspired) if arguments.aspired else None,
        host=arguments.host,
        port=arguments.port,
        port_file=arguments.port_file,
        infer_seconds_max=arguments.infer_seconds_max,
        body_bytes_max=arguments.body_bytes_max,
        grace_seconds=arguments.grace_seconds,
        drain_seconds=arguments.drain_seconds,
        load_seconds_max=arguments.load_seconds_max,
        run_threads=arguments.run_threads,
        intra_op_threads=arguments.intra_op_threads,
        load_nice=arguments.load_nice,
        memory_max_bytes=arguments.memory_max_bytes,
    )
    asyncio.run(serve(config))


if __name__ == "__main__":
    main()
