"""Whether a server's memory holds what it was told to load: another may drive it, too."""

from modelcast.consumers.pod.engine import Served
from modelcast.consumers.pod_clients.port import LoadFailed, LoadOrder

ONE_EACH = "does something else drive this server? run one companion a server, and load nothing by hand"


def check_held(served: Served | None, order: LoadOrder, name: str) -> Served:
    """What a server's memory names after it took a load.

    Args:
        served: what it names under ``name``.
        order: what it took.
        name: under which it took it.

    Raises:
        LoadFailed: that is something else. It blames no version.
    """
    if served is not None and served.holds(order):
        return served
    found = "none of ours"
    if served is not None:
        found = f"version {served.version}" + (" with other bytes" if served.version == order.version else "")
    raise LoadFailed(
        f"the server took version {order.version}, but its memory names {found}",
        code="unconfirmed",
        subject=name,
        hint=ONE_EACH,
    )
