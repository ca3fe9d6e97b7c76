"""What is published: a file or a folder on disk, found, looked into and hashed, as a manifest."""

from modelcast.producers.artifact.formats import check_known
from modelcast.producers.artifact.reading import LocalFile, changed
from modelcast.producers.artifact.scan import Artifact, located, scan

__all__ = ["Artifact", "LocalFile", "changed", "check_known", "located", "scan"]
