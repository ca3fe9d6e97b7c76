"""An HTTP proxy in front of a server that answers as it is told for a while, instead of passing requests on."""

from collections import Counter
from collections.abc import Callable

from tests.support.servers.http_server import Answer, Request, ScriptedServer, passed_on


class StormyProxy(ScriptedServer):
    """Use it as a context; clients talk to ``url``.

    Attributes:
        storm: asked for each request by its path: a status to answer with, or None to pass the request on.
        refused: how often each status was answered.
    """

    def __init__(self, endpoint_url: str) -> None:
        self.storm: Callable[[str], int | None] = lambda _: None
        self.refused: Counter[int] = Counter()
        self._target = endpoint_url
        super().__init__(self._answered, idle_seconds=60.0)

    def _answered(self, request: Request) -> Answer:
        status = self.storm(request.path)
        if status is None:
            return passed_on(request, self._target)
        with self.lock:
            self.refused[status] += 1
        return status, {}, f"<Error><Code>E{status}</Code><Message>a storm</Message></Error>".encode()
