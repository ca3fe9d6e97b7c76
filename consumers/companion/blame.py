"""Whether a server's word against a version stands. What it said is not enough: it must have had the files, and live.

A version is blamed only if the server can be asked afterwards and still holds what it held before, if it misses no file
that was placed for it, nor one that lies elsewhere on its machine, and if what was placed is still, byte for byte, what
was verified.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable

from modelcast.consumers.companion.delivery import Delivered, Delivery
from modelcast.consumers.companion.samples import trial_name
from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION, LoadFailed, PodUnreachable

_MISSING = (
    *("no such file", "not exist", "doesn't exist", "not found", "not find", "can't find", "errno 2]"),
    "failed to get the canonical path",  # Triton's python backend of EXECUTION_ENV_PATH
)
_ENDS = r"(?![\w.-])"
_ABSOLUTE = re.compile(r"""(?<=['"])/[^'"]+(?=['"])|(?<![\w.~'"/:-])/[\w.@+~-]+(?:/[\w.@+~-]+)*""")
_READABLE = "let the server's user read what lies below the companion's --repository"
_ON_ITS_MACHINE = "publish it with that file and name it from the version's folder, or put it on the server's machine"


async def weighed(
    failed: LoadFailed,
    delivered: Delivered,
    delivery: Delivery,
    serving: Callable[[str], Awaitable[Served | None]],
    *,
    held: bool,
) -> LoadFailed:
    """A load that failed; where the evidence against the version is not complete, with a code that blames nothing.

    Args:
        failed: what the server's answer was taken for.
        delivered: what it was to load.
        delivery: by which it was placed.
        serving: asks the server's memory.
        held: its memory held a version of the model before.
    """
    if failed.code != BLAMES_THE_VERSION:
        if failed.code == "not_delivered" and not failed.hint:
            failed.hint = _READABLE
        return failed
    model = delivered.order.model
    if path := missed_file(failed.message, delivered):
        hint = "does the server see the companion's --repository? a network file system may be late"
        return _excused(failed, f"{path} was placed whole, and it does not find it", "not_delivered", hint)
    if path := missed_elsewhere(failed.message, delivered):
        return _excused(failed, f"{path} is none of the files that were placed", "not_delivered", _ON_ITS_MACHINE)
    try:
        holds = await serving(model)
    except PodUnreachable as error:
        return _excused(failed, f"now it does not answer: {error.message}", "unreachable")
    if held and holds is None:
        return _excused(failed, "it has lost what it served, too", "server_failed", "did it restart? look into its log")
    if what := await asyncio.to_thread(delivery.damage, delivered):
        return _excused(failed, what, "io_error", "check the disk below --repository, and who else writes there")
    return failed


def missed_file(message: str, delivered: Delivered) -> str:
    """Which of the files that were placed the server says that it lacks, wherever it has the repository; "": none."""
    said = _of_missing(message)
    for base in _bases(delivered):
        if re.search(re.escape(base) + r"/?(?![\w./-])", said):
            return base[1:]
        for place in delivered.layout.places:
            if re.search(re.escape(f"{base}/{place.path}") + _ENDS, said):
                return f"{base[1:]}/{place.path}"
    return ""


def missed_elsewhere(message: str, delivered: Delivered) -> str:
    """Which file outside of the version's folder the server says that it lacks: one of its machine; "": none."""
    for path in _ABSOLUTE.findall(_of_missing(message)):
        if not any(f"{base}/" in f"{path}/" for base in _bases(delivered)):
            return str(path)
    return ""


def _of_missing(message: str) -> str:
    """The lines that say that a file is missing: others, of a traceback, name files that were read."""
    return "\n".join(line for line in message.splitlines() if any(words in line.lower() for words in _MISSING))


def _bases(delivered: Delivered) -> tuple[str, ...]:
    """How a path into the version's folder goes on, wherever the server has its repository."""
    folder, model = delivered.layout.folder, delivered.order.model
    if delivered.contents:  # they travelled with the load, into a folder of the server's own
        return (f"/{folder}",)
    return (f"/{model}/{folder}", f"/{trial_name(model)}/{folder}")


def _excused(failed: LoadFailed, why: str, code: str, hint: str = "") -> LoadFailed:
    return LoadFailed(f"{failed.message}; {why}", code=code, subject=failed.subject, hint=hint)
