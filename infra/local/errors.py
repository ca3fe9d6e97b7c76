"""What can go wrong with servers that run on this machine."""

from modelcast.schemas.errors import TransportError, VerificationFailed


class ServerFailed(TransportError):
    """A local server did not start, or ended by itself."""


class DownloadFailed(TransportError):
    """A file that the local stack needs could not be fetched."""


class JarRefused(VerificationFailed):
    """A jar's SHA-256 is not the locked one."""
