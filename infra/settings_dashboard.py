"""Settings of the dashboard."""

from pydantic import Field, field_validator

from modelcast.infra.settings_section import Section
from modelcast.schemas.text.tokens import check_token_digests


class ActionSettings(Section):
    """Who may send commands by the dashboard; without tokens and proxies no one. Everyone may read it.

    Attributes:
        enabled: whether anybody may.
        tokens: SHA-256 of each person's bearer token (``sha256:`` and 64 hexadecimal digits), by name. A name may have
            two, separated by a space, while one replaces the other.
        proxy_header: the header in which a proxy that has signed people in names them, as ``X-Forwarded-User``.
        proxies: networks or addresses from which alone that header is believed.
    """

    enabled: bool = False
    tokens: dict[str, str] = Field(default_factory=dict)
    proxy_header: str = ""
    proxies: tuple[str, ...] = ()


class DashboardSettings(Section):
    """Where it listens, and what it calls late. Without ``read_tokens``, everyone who reaches it can read it."""

    host: str = "127.0.0.1"
    port: int = Field(default=9470, ge=0, le=65535)  # 0: any free one
    hosts: tuple[str, ...] = ()  # names that it answers to besides loopback's: those of a proxy before it
    # SHA-256 of the token that pages and API ask for; two while one replaces the other. Whoever may act may read.
    read_tokens: tuple[str, ...] = ()
    late_seconds: float = Field(default=60.0, gt=0)  # behind for longer is late
    watchers_max: int = Field(default=5000, ge=1)
    actions: ActionSettings = ActionSettings()

    @field_validator("read_tokens")
    @classmethod
    def _digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_token_digests(value)
