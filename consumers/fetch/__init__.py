"""Bringing an artifact into a region and onto a machine: plan, download, verify, cache. Plain synchronous code."""

from modelcast.consumers.fetch.cache.artifact_cache import ArtifactCache
from modelcast.consumers.fetch.choosing import Deltas
from modelcast.consumers.fetch.course import Kin
from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes, DiskFull, FetchCancelled
from modelcast.consumers.fetch.job.fetcher import Fetcher, FetchReport
from modelcast.consumers.fetch.job.pull import pull
from modelcast.consumers.fetch.job.regional_artifacts import RegionalArtifacts
from modelcast.consumers.fetch.job.status import FetchStatus
from modelcast.consumers.fetch.region.manifests import read_manifest

__all__ = [
    "ArtifactCache",
    "BlobMissing",
    "DamagedBytes",
    "Deltas",
    "DiskFull",
    "FetchCancelled",
    "FetchReport",
    "FetchStatus",
    "Fetcher",
    "Kin",
    "RegionalArtifacts",
    "pull",
    "read_manifest",
]
