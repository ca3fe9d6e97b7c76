"""Locks another release of Kafka: ``python -m modelcast.infra.local.servers.relock 4.3.1``, then read the diff.

jgo resolves the release's dependencies; their SHA-256 are those of what it fetches today.
"""

import hashlib
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from modelcast.infra.local.servers.jars import FETCH_TIMEOUT_SECONDS, FETCHES_AT_ONCE

LOCK = Path(__file__).with_name("kafka.lock")
HEADER = "# The jars of the embedded Kafka. Written by: python -m modelcast.infra.local.servers.relock VERSION\n"


def relock(version: str) -> str:
    """The lock's text for a release of Kafka."""
    from jgo.maven import MavenContext

    with tempfile.TemporaryDirectory() as scratch:
        context = MavenContext(repo_cache=Path(scratch), timeout=FETCH_TIMEOUT_SECONDS)
        kafka = context.create_dependency(f"org.apache.kafka:kafka_2.13:{version}")
        direct, transitive = context.resolver.resolve([kafka])
        jars: list[Any] = [each for each in direct + transitive if each.scope not in ("test", "provided")]
        # Kafka's logs go nowhere without a binding, and the release's own brings more than that. Resolved by itself:
        # its parent's table of versions would otherwise replace Kafka's.
        log4j = next(each.version for each in jars if each.artifactId == "log4j-api")
        jars.append(context.create_dependency(f"org.apache.logging.log4j:log4j-slf4j-impl:{log4j}"))
        with ThreadPoolExecutor(FETCHES_AT_ONCE) as pool:
            lines = pool.map(_line, jars)
            return HEADER + "".join(sorted(lines))


def _line(jar: Any) -> str:
    content = Path(jar.artifact.resolve()).read_bytes()
    return f"{jar.groupId}:{jar.artifactId}:{jar.version} {hashlib.sha256(content).hexdigest()}\n"


if __name__ == "__main__":
    LOCK.write_text(relock(sys.argv[1]))
