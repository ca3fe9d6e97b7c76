"""Learning writers' schemas that a reader meets in a stream. Any writer can make fingerprints up: it costs little.

What the registry does not hold is not asked for again for a while; more than a few questions a second are not asked
at all; and no caller waits long for an answer.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import TypeVar

from modelcast.schemas.errors import DecodeError, ModelcastError, StoreUnavailable, UnknownSchema

ABSENT_SECONDS = 60.0
"""How long a schema that the registry does not hold is not asked for again."""
AWAY_SECONDS = 5.0
"""The same, when the store did not answer."""
REMEMBERED_MAX = 1024
LOOKUPS_PER_SECOND, LOOKUPS_AT_ONCE = 4.0, 16
ANSWER_SECONDS_MAX = 5.0

T = TypeVar("T")


class Restraint:
    """When not to ask the registry. For one thread at a time.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._refused: OrderedDict[str, tuple[float, ModelcastError]] = OrderedDict()  # until when, and why
        self._room, self._room_at = float(LOOKUPS_AT_ONCE), clock()

    def refusal(self, unknown: UnknownSchema) -> ModelcastError | None:
        """Why this schema is not asked for now; None: it may be."""
        until, why = self._refused.get(unknown.subject, (0.0, unknown))
        if self._clock() < until:
            return why.with_traceback(None)
        return None

    def take_room(self, unknown: UnknownSchema) -> None:
        """One question more, from a bucket of them that fills with time.

        Raises:
            UnknownSchema: it is empty.
        """
        now = self._clock()
        self._room = min(float(LOOKUPS_AT_ONCE), self._room + (now - self._room_at) * LOOKUPS_PER_SECOND)
        self._room_at = now
        if self._room < 1.0:
            raise UnknownSchema(
                "not looked for: too many unknown schemas at once",
                reason=unknown.reason,
                subject=unknown.subject,
                hint=unknown.hint,
            )
        self._room -= 1.0

    def refuse(self, fingerprint: str, error: ModelcastError) -> None:
        """The registry did not give this one."""
        seconds = ABSENT_SECONDS if isinstance(error, DecodeError) else AWAY_SECONDS
        self._refused[fingerprint] = self._clock() + seconds, error
        self._refused.move_to_end(fingerprint)
        if len(self._refused) > REMEMBERED_MAX:
            self._refused.popitem(last=False)


class SchemaLookup:
    """For one event loop.

    Args:
        learn: fetches one schema into the readers' book (``RegistryReader.learn_schema``). Blocking.
        clock: monotonic seconds.
        answer_seconds_max: seconds that a caller waits for the store.
        threads: where ``learn`` runs; ``close`` shuts them down. None: two of its own.
    """

    def __init__(
        self,
        learn: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
        answer_seconds_max: float = ANSWER_SECONDS_MAX,
        threads: Executor | None = None,
    ) -> None:
        self._learn = learn
        self._answer_seconds_max = answer_seconds_max
        self._restraint = Restraint(clock)
        self._under_way: dict[str, asyncio.Future[None]] = {}
        self._threads = threads or ThreadPoolExecutor(2, thread_name_prefix="schemas")

    async def decoding(self, decode: Callable[[], T]) -> T:
        """What ``decode`` reads, if need be after its writer's schema was learnt. Raises like both."""
        try:
            return decode()
        except UnknownSchema as unknown:
            await self.look_up(unknown)
            return decode()

    async def look_up(self, unknown: UnknownSchema) -> None:
        """Learn the schema that ``unknown`` speaks of; return once it is in the book.

        Raises:
            DecodeError: there is none (``UnknownSchema``), it can't be used, or too many are asked for.
            StoreUnavailable: the store did not say in time; ask again later.
        """
        fingerprint = unknown.subject
        if (why := self._restraint.refusal(unknown)) is not None:
            raise why
        answer = self._under_way.get(fingerprint)
        if answer is None:
            self._restraint.take_room(unknown)
            answer = asyncio.get_running_loop().run_in_executor(self._threads, self._learn, fingerprint)
            self._under_way[fingerprint] = answer
            answer.add_done_callback(lambda done: self._answered(fingerprint, done))
        try:
            await asyncio.wait_for(asyncio.shield(answer), self._answer_seconds_max)
        except TimeoutError:
            error = StoreUnavailable("no answer in time", subject=fingerprint)
            self._restraint.refuse(fingerprint, error)
            raise error from None

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _answered(self, fingerprint: str, answer: asyncio.Future[None]) -> None:
        self._under_way.pop(fingerprint, None)
        if not answer.cancelled() and isinstance(error := answer.exception(), ModelcastError):
            self._restraint.refuse(fingerprint, error)
