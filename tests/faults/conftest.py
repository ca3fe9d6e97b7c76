"""A cluster on real servers: versitygw, the machine's Redis, and a Kafka of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelcast.infra.local.servers.kafka import KafkaServer
from tests.support.network.slow_link import Network
from tests.support.servers.cluster import Cluster
from tests.support.servers.stores import S3ForTests


@pytest.fixture
def network() -> Iterator[Network]:
    with Network() as network:
        yield network


@pytest.fixture
def make_cluster(
    kafka_of_its_own: KafkaServer, versitygw: S3ForTests, debian_redis: str, network: Network, tmp_path: Path
) -> Iterator[Callable[[dict[str, tuple[int, int]]], Cluster]]:
    """Makes a cluster of regions (pods, workers) and starts it; everything of it is gone after the test."""
    made: list[Cluster] = []

    def make(regions: dict[str, tuple[int, int]]) -> Cluster:
        cluster = Cluster(
            tmp_path,
            kafka=kafka_of_its_own.bootstrap_servers,
            s3=versitygw,
            redis_url=debian_redis,
            network=network,
            regions=regions,
        )
        made.append(cluster)
        cluster.start()
        return cluster

    yield make
    for cluster in made:
        cluster.stop()
