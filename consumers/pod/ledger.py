"""What a pod has accepted, on disk: one small file a model, so that a restarted pod still refuses the past."""

import fcntl
import os
from dataclasses import asdict
from pathlib import Path

import orjson

from modelcast.consumers.pod.fence import Accepted
from modelcast.consumers.pods.port import LoadOrder
from modelcast.schemas.errors import ContentError, Refused
from modelcast.schemas.names import check_model


class Ledger:
    """The accepted pair, and the last served order, of each model. One process at a time may hold it."""

    def __init__(self, folder: Path) -> None:
        """Open (and make) the folder.

        Raises:
            Refused: another pod process holds it.
            ContentError: an entry is damaged. The pod must not start as if it had promised nothing.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise Refused(
                "another pod uses this state folder", subject=str(folder), hint="give each pod its own"
            ) from None
        self.entries = {path.stem: _read(path) for path in sorted(folder.glob("*.json"))}

    def record(self, model: str, accepted: Accepted) -> None:
        """Remember durably: temporary file, fsync, rename, fsync of the folder."""
        temporary = self._folder / f".{check_model(model)}.tmp"
        with temporary.open("wb") as file:
            file.write(orjson.dumps(asdict(accepted)))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(self._folder / f"{model}.json")
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self.entries[model] = accepted

    def close(self) -> None:
        """Let another process have the folder."""
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
