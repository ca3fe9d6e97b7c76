"""Bringing an artifact into a region and onto a machine: plan, download, verify, cache. Plain synchronous code.

From outside only these names are imported; pure modules, which may import no I/O, take theirs from ``planning``.
"""

from modelcast.consumers.fetch.accelerator import (
    Accelerator,
    Destination,
    HeldFiles,
    Request,
)
from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.context import Context
from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes, DiskFull, FetchCancelled
from modelcast.consumers.fetch.job.fetcher import Fetcher
from modelcast.consumers.fetch.job.job import LEASE_FROM_BYTES
from modelcast.consumers.fetch.job.planned import planned_steps
from modelcast.consumers.fetch.job.pull import pull
from modelcast.consumers.fetch.job.regional_artifacts import RegionalArtifacts
from modelcast.consumers.fetch.job.status import FetchStatus
from modelcast.consumers.fetch.planning.bandwidth import LinkSpeeds, Sample, sampled, typical
from modelcast.consumers.fetch.planning.blocks import BlockHashes
from modelcast.consumers.fetch.planning.candidates import BaseCandidates
from modelcast.consumers.fetch.planning.steps import (
    Source,
    Step,
    Way,
    in_words,
    origin_bytes_of,
)
from modelcast.consumers.fetch.region.bucket import RegionalBucket
from modelcast.consumers.fetch.region.lease import RegionLeases
from modelcast.consumers.fetch.region.manifests import find_manifest, read_manifest
from modelcast.consumers.fetch.report import FetchReport
from modelcast.consumers.fetch.transfer.early import started
from modelcast.consumers.fetch.transfer.link import Link
from modelcast.consumers.fetch.transfer.objects import here_bytes
from modelcast.consumers.fetch.transfer.rate_limit import RateLimit
from modelcast.consumers.fetch.transfer.retry import retried
from modelcast.consumers.fetch.transfer.throughput import Throughput
from modelcast.consumers.fetch.verified_prefix import VerifiedPrefix

__all__ = [
    "LEASE_FROM_BYTES",
    "Accelerator",
    "ArtifactCache",
    "BaseCandidates",
    "BlobMissing",
    "BlockHashes",
    "Context",
    "DamagedBytes",
    "Destination",
    "DiskFull",
    "FetchCancelled",
    "FetchReport",
    "FetchStatus",
    "Fetcher",
    "HeldFiles",
    "Link",
    "LinkSpeeds",
    "RateLimit",
    "RegionLeases",
    "RegionalArtifacts",
    "RegionalBucket",
    "Request",
    "Sample",
    "Source",
    "Step",
    "Throughput",
    "VerifiedPrefix",
    "Way",
    "find_manifest",
    "here_bytes",
    "in_words",
    "origin_bytes_of",
    "planned_steps",
    "planning",
    "pull",
    "read_manifest",
    "retried",
    "sampled",
    "started",
    "typical",
]
