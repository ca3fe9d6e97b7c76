"""``python -m modelcast.consumers.companion``: a companion on a plain folder of artifacts, without settings."""

import argparse
import asyncio
import functools
import os
from pathlib import Path

from modelcast.consumers.artifacts.sources import FolderArtifacts
from modelcast.consumers.companion.kinds import ServerSettings, make_engine
from modelcast.consumers.companion.server_kinds import ServerKind
from modelcast.consumers.pod.config import PodConfig
from modelcast.consumers.pod.server import serve


def main() -> None:
    """Parse the arguments and serve. The token comes from MODELCAST_POD_TOKEN."""
    parser = argparse.ArgumentParser(prog="python -m modelcast.consumers.companion")
    parser.add_argument("--kind", choices=[str(kind) for kind in ServerKind], required=True)
    parser.add_argument("--server", default="")
    parser.add_argument("--repository", type=Path)
    parser.add_argument("--command", default="")
    parser.add_argument("--check", default="")
    parser.add_argument("--webhook", type=Path)
    parser.add_argument("--name", default="companion")
    parser.add_argument("--region", default="eu")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", type=Path)
    parser.add_argument("--cache-dir", type=Path, required=True, help="artifacts, in folders named by manifest digest")
    parser.add_argument("--state-dir", type=Path, required=True, help="a folder of its own for what it has accepted")
    parser.add_argument("--grace-seconds", type=float, default=1.0)
    parser.add_argument("--load-seconds-max", type=float, default=300.0)
    parser.add_argument("--gap", action="store_true", help="it fails requests while it loads")
    parser.add_argument("--no-memory-check", action="store_true", help="load whether or not there is room")
    parser.add_argument("--memory-max-bytes", type=int, help="of the server's processes together")
    arguments = parser.parse_args()
    artifacts = functools.partial(FolderArtifacts, arguments.cache_dir)
    settings = ServerSettings(
        kind=arguments.kind,
        server=arguments.server,
        repository=arguments.repository,
        command=arguments.command,
        check=arguments.check,
        webhook=arguments.webhook,
        token=os.environ.get("MODELCAST_SERVER_TOKEN", ""),
        load_seconds_max=arguments.load_seconds_max,
        gap=arguments.gap,
        memory_check=not arguments.no_memory_check,
        memory_max_bytes=arguments.memory_max_bytes,
    )
    config = PodConfig(
        name=arguments.name,
        region=arguments.region,
        token=os.environ["MODELCAST_POD_TOKEN"],
        artifacts=artifacts,
        state_dir=arguments.state_dir,
        port=arguments.port,
        port_file=arguments.port_file,
        grace_seconds=arguments.grace_seconds,
        load_seconds_max=arguments.load_seconds_max,
    )
    asyncio.run(serve(config, make_engine(settings, artifacts)))


if __name__ == "__main__":
    main()
