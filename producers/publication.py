"""What became of a publication."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Self

from modelcast.infra.settings import Settings, load_settings
from modelcast.producers.ending import heard_at_exit
from modelcast.producers.planning.arguments import number_of_seconds
from modelcast.producers.planning.convergence import Level
from modelcast.producers.progress import Addition
from modelcast.schemas.errors import NotAnnounced
from modelcast.schemas.records import Activation


@dataclass(frozen=True, slots=True)
class Publication:
    """A version that is in the log: a plain value.

    Attributes:
        created: this publication put it there (or completed an interrupted run that had); False: already published.
        announced: Kafka confirmed the announcement.
        received_at_us: when the store received the entry, by the store's clock.
        uploaded_bytes: bytes that the store lacked, or held damaged.
        step_seconds: where the time went.
        notes: what was found and not carried, or put right.
        log_head: up to where the log had been read when this was found, this entry included.
        additions: what accelerators put beside the artifact in this call.
    """

    model: str
    version: int
    generation: int
    event_id: str
    manifest_digest: str
    created: bool
    announced: bool
    registry_id: str = ""
    activation: Activation = Activation.IMMEDIATE
    size_bytes: int = 0
    file_count: int = 0
    framework: str = ""
    uploaded_bytes: int = 0
    received_at_us: int = 0
    dry_run: bool = False
    step_seconds: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    additions: tuple[Addition, ...] = ()
    log_head: int = 0

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


class Published(Publication):
    """A publication as its publisher returns it: the value, which can be waited for.

    It asks the cluster of the publisher's settings; a copy of it, or one that was pickled, that of the environment.
    """

    _settings: Settings | None = None

    @classmethod
    def by(cls, settings: Settings, publication: Publication) -> Self:
        """``publication``, made by a publisher of these settings."""
        made = cls(**{f.name: getattr(publication, f.name) for f in fields(publication)})
        object.__setattr__(made, "_settings", settings)
        return made

    @heard_at_exit("waiting for a publication")
    def wait(self, level: Level = "all", timeout: float = 300.0, *, note: Callable[[str], None] | None = None) -> Self:
        """Wait until regions serve this version (or have it staged, if it was published so).

        Args:
            level: ``all`` expected regions, a ``quorum`` (more than half), or ``one``.
            timeout: seconds.
            note: is told why what the tracker says does not count yet, if it does not.

        Returns:
            This publication.

        Raises:
            Quarantined: a region found that it can't serve it, or a person quarantined it; no further waiting helps.
            NotConverged: not in time, or a newer version took its place; the laggards are named.
            KafkaUnavailable: the tracker's reports can't be read.
            UsageError: no such level, or the timeout is no number of seconds.
        """
        from modelcast.producers.wait import wait_for

        wait_for(
            self._settings or load_settings(),
            self.model,
            self.version,
            level,
            timeout_seconds=number_of_seconds("timeout", timeout),
            generation=self.generation,
            head=self.log_head,
            registry_id=self.registry_id,
            staged=self.activation is Activation.STAGED,
            note=note,
        )
        return self


class Unannounced(NotAnnounced):
    """The publication is claimed, and will be announced by the tracker; Kafka did not confirm our announcement."""

    publication: Publication | None = None
