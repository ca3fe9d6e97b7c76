"""What a pod has accepted, on disk: a small file a lane of a model, so that a restarted pod still refuses the past."""

import os
from dataclasses import asdict
from pathlib import Path

import orjson

from modelcast.consumers.pod.admission.fence import Accepted
from modelcast.consumers.pod_clients.port import LANES, LoadOrder, lane_place
from modelcast.infra.files import acquire, written_aside
from modelcast.schemas.errors import ContentError, Refused, UsageError
from modelcast.schemas.names import check_model


class Ledger:
    """The accepted pair, and the last served order, by ``lane_place``. One process at a time may hold it."""

    def __init__(self, folder: Path) -> None:
        """Open (and make) the folder.

        Raises:
            Refused: another pod process holds it.
            ContentError: an entry is damaged. The pod must not start as if it had promised nothing.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        lock = acquire(folder / "lock", wait=False)
        if lock is None:
            raise Refused("another pod uses this state folder", subject=str(folder), hint="give each pod its own")
        self._lock = lock
        self.entries = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}

    def record(self, place: str, accepted: Accepted) -> None:
        """Write what was accepted for a lane (``lane_place``), durably."""
        model, _, lane = place.partition("@")
        if lane not in LANES:
            raise UsageError(f"no lane {lane!r}", subject=model)
        with written_aside(self._folder / f"{lane_place(check_model(model), lane)}.json") as file:
            file.write(orjson.dumps(asdict(accepted)))
        self.entries[place] = accepted

    def close(self) -> None:
        """Release the folder for another process."""
        os.close(self._lock)


def _read(path: Path) -> Accepted:
    try:
        body = orjson.loads(path.read_bytes())
        served = body.pop("served")
        return Accepted(**body, served=LoadOrder(**served) if served else None)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ContentError(
            f"damaged: {error}", subject=str(path), hint="remove it only if no owner older than the present one lives"
        ) from None
