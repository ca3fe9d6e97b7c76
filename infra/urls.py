"""Base URLs of servers: what a client can use, and how a server is called by its URL."""

from urllib.parse import urlsplit


def check_url(url: str, schemes: tuple[str, ...]) -> None:
    """Refuse what no client could use.

    Raises:
        ValueError: without the URL in the message: it may hold a password.
    """
    try:
        parts = urlsplit(url)
        readable = parts.port is None or parts.port > 0
    except ValueError:
        readable = False
    if not readable or parts.scheme not in schemes or not (parts.hostname or parts.scheme == "unix"):
        raise ValueError(f"write {schemes[0]}://host:port (or {', '.join(schemes[1:])})")


def host_and_path(url: str) -> str:
    """Host, port and path: how a pod is called that has no name but its URL."""
    parts = urlsplit(url)
    return (parts.netloc + parts.path.rstrip("/")) or url
