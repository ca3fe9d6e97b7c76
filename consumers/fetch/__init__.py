"""Bringing an artifact into a region and onto a machine: plan, download, verify, cache. Plain synchronous code."""

from modelcast.consumers.fetch.cache import ArtifactCache
from modelcast.consumers.fetch.choosing import Deltas
from modelcast.consumers.fetch.course import Kin
from modelcast.consumers.fetch.errors import BlobMissing, DamagedBytes, DiskFull, FetchCancelled
from modelcast.consumers.fetch.fetcher import Fetcher, FetchReport
from modelcast.consumers.fetch.manifests import read_manifest
from modelcast.consumers.fetch.pull import pull
from modelcast.consumers.fetch.source import RegionalArtifacts
from modelcast.consumers.fetch.status import FetchStatus

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
