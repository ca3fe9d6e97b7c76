"""What a load that failed says of its machine, its network and its server, rather than of the version. Pure.

Loaders and servers report whatever was raised below them. Where that names what people must mend outside the version,
no version is to blame, whatever status or class of error comes with it.
"""

import errno
import re

_EXHAUSTED = {errno.ENOMEM, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOBUFS}
_FORBIDDEN = {errno.EACCES, errno.EPERM}
_FILES = {errno.EIO, errno.EROFS, errno.ESTALE, errno.ENOTCONN, errno.ENODEV, errno.ENXIO, errno.EREMOTEIO, errno.EBUSY}
_NETWORK = {
    *(errno.EPIPE, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT),
    *(errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL),
}
_ERRNO = re.compile(r"(?:errno|system error number)[ =:]*(\d+)")
_HTTP_ERROR = re.compile(r"\b[45]\d\d (?:client|server) error\b")
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        "out_of_resources",
        (
            *("out of memory", "outofmemory", "cannot allocate memory", "memoryerror", "unable to allocate"),
            *("bad_alloc", "failed to allocate", "no space left", "disk quota exceeded", "too many open files"),
            *("can't start new thread", "resource temporarily unavailable", "pthread_create", "thread constructor"),
            *("status_alloc_failed", "status_not_initialized", "shared memory region", "resource_exhausted"),
        ),
    ),
    (
        "io_error",
        (
            *("input/output error", "read-only file system", "stale file handle", "stale nfs file handle"),
            *("transport endpoint is not connected", "bus error"),
        ),
    ),
    ("not_delivered", ("permission denied",)),
    (
        "unsupported",
        (
            *("cuda driver", "no cuda", "cuda error", "libcuda", "no kernel image", "illegal instruction"),
            *("cudaerror", "cuda initialization", "nvml", "torch not compiled with"),
            *("no nvidia driver", "no hip gpus", "cuda.is_available() is false", "object on a cuda device"),
            *("incompatible device", "not compatible with this version of", "not compatible with the current version"),
            *("packagenotfounderror", "no package metadata", "does not recognize this architecture"),
            *("cannot open shared object file", "undefined symbol", "glibc_", "glibcxx_"),
            *("no module named", "modulenotfounderror", "importerror", "cannot import name"),
            # ONNX Runtime that is older than the model
            *("unsupported model ir version", "is under development and support for this is limited"),
            *("could not find an implementation", "no op registered for", "not a registered function/op"),
        ),
    ),
    (
        "server_failed",  # it lost a process of its own, or its loader asks something over the network
        (
            *("stub process", "process stopped unexpectedly", "exit code -9", "sigkill", "signal 9", "worker died"),
            *("connection refused", "connection reset", "connection aborted", "connection closed", "broken pipe"),
            *("name resolution", "name or service not known", "network is unreachable", "no route to host"),
            *("timed out", "max retries exceeded", "certificate verify failed", "remote end closed connection"),
            *("too many requests", "service unavailable", "bad gateway", "gateway time-out", "gateway timeout"),
            # of Hugging Face's hub and of boto3
            *("couldn't connect to", "could not connect to", "unable to connect to", "endpointconnectionerror"),
            *("unable to locate credentials", "nocredentialserror", "accessdenied", "access denied", "gated repo"),
            *("expired token", "expiredtoken", "operation: forbidden", "invalidaccesskeyid", "signaturedoesnotmatch"),
        ),
    ),
)


def environment_code(message: str) -> str:
    """``LoadFailed``'s code for words that name what lies outside the version; "": they do not."""
    said = message.lower()
    for code, words in _WORDS:
        if any(each in said for each in words):
            return code
    for number in _ERRNO.findall(said):
        if code := _errno_code(int(number)):
            return code
    return "server_failed" if _HTTP_ERROR.search(said) else ""


def environment_code_of(error: BaseException) -> str:
    """The same for what a loader raised, and for what that was raised from; "": the version may be at fault.

    A file that is not there is not judged: the caller knows whether the artifact should hold it.
    """
    seen: list[BaseException] = []
    each: BaseException | None = error
    while each is not None and each not in seen:
        if code := _own_code(each):
            return code
        seen.append(each)
        each = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
    return ""


def os_error_code(number: int | None) -> str:
    """``LoadFailed``'s code for an ``OSError`` by its ``errno``."""
    return "out_of_resources" if number in _EXHAUSTED else "io_error"


def _own_code(error: BaseException) -> str:
    match error:
        case MemoryError():
            return "out_of_resources"
        case ImportError():
            return "unsupported"
        case FileNotFoundError():
            return ""
        case OSError(errno=number):
            return os_error_code(number)
        case _:
            return environment_code(f"{type(error).__name__}: {error}")


def _errno_code(number: int) -> str:
    """The code for an ``errno`` that a message names; "": the version may be at fault, as for a file that it lacks."""
    if number in _EXHAUSTED:
        return "out_of_resources"
    if number in _FILES:
        return "io_error"
    if number in _FORBIDDEN:
        return "not_delivered"
    return "server_failed" if number in _NETWORK else ""
