"""Publishers in processes of their own that kill themselves at a chosen step."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from modelcast.infra.settings import Settings
from modelcast.infra.stores import open_store
from modelcast.producers import Publication, Publisher
from modelcast.schemas.codec import DEFAULT
from modelcast.schemas.log.statements import read_stated
from modelcast.schemas.ports import Announcer
from modelcast.schemas.records import ModelUpdate
from tests.producers.fakes import HookedStore

STEPS_MAX = 60


class FileAnnouncer(Announcer):
    """Writes what it is told to a file, which survives the process."""

    def __init__(self, path: Path, before: Callable[[], None], after: Callable[[], None]) -> None:
        self.path, self.before, self.after = path, before, after

    def announce(self, topic: str, key: str, value: bytes, *, timeout_seconds: float) -> None:
        self.before()
        with self.path.open("a") as out:
            out.write(value.hex() + "\n")
        self.after()

    def close(self) -> None:
        """Nothing to let go of."""


class KillAt:
    """Ends the process at the n-th step about keys so begun; each call has one before and one after it happened."""

    def __init__(self, step: int, about: str = "") -> None:
        self.step, self.about, self.count, self.lock = step, about, 0, threading.Lock()

    def __call__(self, _call: str = "", key: str = "") -> None:
        if not key.startswith(self.about):
            return
        with self.lock:
            self.count += 1
            if self.count == self.step:
                os.kill(os.getpid(), signal.SIGKILL)


def publish_once(settings: Settings, env: dict[str, str], path: Path, heard: Path, step: int, about: str = "") -> None:
    """Runs in a process of its own."""
    os.environ.update(env)
    kill = KillAt(step, about)
    origin = settings.store("origin")
    store = HookedStore(open_store(origin.url, endpoint_url=origin.endpoint_url), before=kill, after=kill)
    with Publisher(settings, store=store, announcer=FileAnnouncer(heard, kill, kill)) as publisher:
        publisher.publish("fraud", path)


def forkserver_with(*modules: str) -> multiprocessing.context.ForkServerContext:
    """Starts processes that have imported these modules."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "boto3", *modules])
    return context


def publish(settings: Settings, heard: Path, path: Path) -> Publication:
    """Publish in this process, to the end."""

    def nothing() -> None: ...

    with Publisher(settings, announcer=FileAnnouncer(heard, nothing, nothing)) as publisher:
        return publisher.publish("fraud", path)


def announced(heard: Path, update: ModelUpdate) -> bool:
    """Whether it is among what ``FileAnnouncer`` wrote."""
    heard_bodies = (bytes.fromhex(line) for line in heard.read_text().splitlines())
    return any(read_stated(body, book=DEFAULT).entry == update for body in heard_bodies)
