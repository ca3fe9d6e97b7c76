"""How often wrong tokens may be tried from one address. Pure, with bounded memory."""

import ipaddress

BURST = 10
PERIOD_SECONDS = 6.0
ADDRESSES_MAX = 4096


class WrongTokens:
    """Counts wrong tokens by where they came from: ``BURST`` at once, then one each ``PERIOD_SECONDS``.

    One number is kept for an address: when all that was tried is paid off (the generic cell rate algorithm). An IPv6
    address counts with its whole /64, which one host has to itself.
    """

    def __init__(self) -> None:
        self._paid_off_at: dict[str, float] = {}

    @property
    def remembered(self) -> int:
        """The number of sources of which something is known."""
        return len(self._paid_off_at)

    def wait_seconds(self, source: str, now: float) -> float:
        """How long this source must wait before its token is looked at; 0: it need not. ``now``: monotonic seconds."""
        return max(0.0, self._paid_off_at.get(_network_of(source), 0.0) - (BURST - 1) * PERIOD_SECONDS - now)

    def wrong(self, source: str, now: float) -> None:
        """A wrong token came from there."""
        key = _network_of(source)
        paid_off_at = max(self._paid_off_at.pop(key, now), now) + PERIOD_SECONDS
        if len(self._paid_off_at) >= ADDRESSES_MAX:
            self._forget(now)
        self._paid_off_at[key] = paid_off_at

    def _forget(self, now: float) -> None:
        self._paid_off_at = {key: at for key, at in self._paid_off_at.items() if at > now}
        while len(self._paid_off_at) >= ADDRESSES_MAX:
            del self._paid_off_at[next(iter(self._paid_off_at))]  # the one that was quiet for longest


def _network_of(source: str) -> str:
    try:
        address = ipaddress.ip_address(source.partition("%")[0])
    except ValueError:
        return source
    mapped = getattr(address, "ipv4_mapped", None) or address
    return str(mapped) if mapped.version == 4 else str(ipaddress.ip_network((mapped, 64), strict=False))
