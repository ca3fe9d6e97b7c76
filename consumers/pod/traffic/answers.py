"""An answer of one version, before it is known whom it goes to."""

from typing import NamedTuple, Protocol

from modelcast.consumers.pod.slot import Serving
from modelcast.consumers.pod.worker.frames import ALL_JSON


class Given(NamedTuple):
    """What a version gave."""

    status: int
    body: bytes = b""
    json_size_bytes: int = ALL_JSON
    seconds: float = 0.0
    seen: int = 0  # of the outputs, see ``frames``
    error: str = ""  # why there is no answer
    parts: tuple[str, ...] | None = None  # those that the model has, where it lacks the one asked for


class Failure(NamedTuple):
    """What a candidate gave that is no answer. ``keyed``: see ``ModelTraffic.choose``."""

    serving: Serving
    given: Given
    keyed: bool


class V2Request(NamedTuple):
    """A V2 request, as it came."""

    part: str
    body: bytes
    json_size_bytes: int


class Answerer(Protocol):
    """Has a version answer."""

    async def given(
        self, serving: Serving, asked: V2Request, seconds_max: float, *, look: bool, counted: bool = True
    ) -> Given:
        """Its answer, or why there is none within ``seconds_max``.

        Args:
            serving: the version.
            asked: the request.
            seconds_max: how long it is waited for.
            look: whether to see what its outputs are like.
            counted: whether metrics count it: someone waits for the answer.
        """
        ...
