"""A version that a program is to load, and the program's answer."""

import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import structlog

from modelcast.consumers.pod.environment import environment_code_of
from modelcast.consumers.pod_clients.port import BLAMES_THE_VERSION
from modelcast.schemas.errors import UsageError

log = structlog.get_logger("modelcast.watcher")


@dataclass(frozen=True, slots=True)
class UpdateAnswer:
    """``refusal``: why the version was not loaded; "": it serves."""

    refusal: str = ""
    code: str = "server_failed"  # ``LoadFailed``'s


class VersionUpdate:
    """One version, its files verified, for this process to load. Answer it once, from any thread.

    ``accept`` says that this process serves it now, and the region reports so. ``refuse`` says why not: what served
    before still should. As a context it accepts at the end, and refuses with the words of an exception, which ends
    there: the loop around it goes on to the next version.

    Attributes:
        model: its name.
        version: its number.
        manifest_digest: names its bytes.
        folder: its files. They stay at least until the next version is accepted.
    """

    def __init__(self, model: str, version: int, manifest_digest: str, folder: Path) -> None:
        self.model, self.version, self.manifest_digest, self.folder = model, version, manifest_digest, folder
        self.answer: Future[UpdateAnswer] = Future()
        self._lock = threading.Lock()
        self._taken = False
        self._abandoned = False

    def accept(self) -> None:
        """Answer that this process serves the version. Raises ``UsageError`` if it was answered before."""
        self._set(UpdateAnswer())

    def refuse(self, reason: str, *, blame: bool = True) -> None:
        """Answer that this process does not serve the version.

        Args:
            reason: why, for people: it becomes the version's failure reason.
            blame: the version is at fault: three such refusals quarantine it. False: this machine or program is, and
                the region orders it again.

        Raises:
            UsageError: it was answered before.
        """
        self._refuse(reason, BLAMES_THE_VERSION if blame else "server_failed")

    def _refuse(self, reason: str, code: str) -> None:
        self._set(UpdateAnswer(reason or "refused without a reason", code))

    def __enter__(self) -> Path:
        return self.folder

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        if self.answer.done():
            return False
        if error is None:
            self.accept()
            return False
        words = f"{type(error).__name__}: {error}"
        self._refuse(words, _code_of(error))
        log.error("not loaded", model=self.model, version=self.version, error=words, exc_info=error)
        return isinstance(error, Exception)

    # --- for the watcher ---

    def take(self) -> Self | None:
        """Itself, once for the program; None: it was withdrawn, for a newer order had come."""
        with self._lock:
            self._taken = not self.answer.done()
            return self if self._taken else None

    def withdraw(self, why: str) -> bool:
        """Answer in the program's place, unless it has it already; whether that was so."""
        with self._lock:
            if not self._taken and not self.answer.done():
                self.answer.set_result(UpdateAnswer(why))
            return not self._taken

    def abandon(self, why: str) -> None:
        """The program ends: answer in its place, if it has not."""
        with self._lock:
            self._abandoned = True
            if not self.answer.done():
                self.answer.set_result(UpdateAnswer(why))

    def _set(self, answer: UpdateAnswer) -> None:
        with self._lock:
            if self._abandoned:
                return
            if self.answer.done():
                raise UsageError("was answered before", subject=f"{self.model}/{self.version}")
            self.answer.set_result(answer)


def _code_of(error: BaseException) -> str:
    """``LoadFailed``'s code for what the program raised."""
    if not isinstance(error, Exception):  # it was interrupted
        return "server_failed"
    if code := environment_code_of(error):
        return code
    return "not_delivered" if isinstance(error, OSError) else BLAMES_THE_VERSION
