"""A real companion process, for tests."""

from tests.consumers.pod.pod_process import PodProcess


class CompanionProcess(PodProcess):
    """``python -m modelcast.consumers.companion`` on a cache and a state folder below ``home``."""

    def command(self) -> list[str]:
        return ["modelcast.consumers.companion", "--name", "companion-a"]
