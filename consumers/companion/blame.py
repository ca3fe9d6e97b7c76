"""What a server's words about a load that failed name: its machine and its network, or the files that it was given.

Servers report whatever their loader raised. Where that names what people must mend on the machine, no version is to
blame, whatever status comes with it.
"""

_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "out_of_resources",
        (
            *("out of memory", "cannot allocate memory", "memoryerror", "unable to allocate", "bad_alloc"),
            *("failed to allocate", "no space left", "disk quota exceeded", "too many open files"),
            *("can't start new thread", "resource temporarily unavailable"),
        ),
    ),
    ("io_error", ("input/output error", "read-only file system", "stale file handle")),
    ("not_delivered", ("permission denied",)),
    ("unsupported", ("cuda driver", "no cuda", "cuda error", "libcuda", "no kernel image", "illegal instruction")),
    (
        "server_failed",  # its loader asks something over the network
        (
            *("connection refused", "connection reset", "name resolution", "name or service not known"),
            *("network is unreachable", "timed out", "max retries exceeded", "certificate verify failed"),
        ),
    ),
)


def environment_code(message: str) -> str:
    """``LoadFailed``'s code for words that name the server's machine or network; "": they do not."""
    said = message.lower()
    return next((code for code, words in _WORDS if any(each in said for each in words)), "")
