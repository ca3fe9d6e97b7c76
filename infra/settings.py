"""Settings, parsed once at the edge: ``modelcast.toml``, overridden by ``MODELCAST_…`` variables (``__`` nests).

The file is the one named by ``MODELCAST_CONFIG``, else ``modelcast.toml`` in the working folder, else
``/etc/modelcast/modelcast.toml``; none is fine. Credentials of stores come from the standard ``AWS_*`` variables.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Any, Literal, Self

from pydantic import (
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from modelcast.infra.settings_dashboard import DashboardSettings
from modelcast.infra.settings_fleets import FleetSettings
from modelcast.infra.settings_publish import ModelSettings, PublishSettings, TrustSettings
from modelcast.infra.settings_rollovers import RegionRolloverSettings
from modelcast.infra.settings_section import Section
from modelcast.infra.urls import check_url
from modelcast.schemas.errors import NotFound, UsageError
from modelcast.schemas.names import check_region
from modelcast.schemas.text.tokens import alive, check_token_digests

CONFIG_VARIABLE = "MODELCAST_CONFIG"
ORIGIN = "origin"
SECRET_PROPERTIES = frozenset({"sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem"})
"""Of ``kafka.properties``: their values are never shown."""


class KafkaSettings(Section):
    """The cluster. ``properties`` are librdkafka's; the agents' streams honour them, too, or do not start."""

    bootstrap_servers: str = Field(default="localhost:9092", min_length=1)
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_location: Path | None = None
    properties: dict[str, str | SecretStr] = Field(default_factory=dict)
    topic_replication_factor: int = Field(default=1, ge=1)
    timeout_seconds: float = Field(default=20.0, gt=0)

    @field_validator("bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        """Refuse ports that librdkafka would silently take for others, as 99999."""
        for server in value.split(","):
            _, colon, port = server.strip().rpartition(":")
            if colon and not (port.isdecimal() and 0 < int(port) < 65536):
                raise ValueError(f"{server.strip()!r} is no host:port")
        return value

    @field_validator("properties", mode="before")
    @classmethod
    def _flat(cls, value: Any) -> Any:
        """Flatten to one level: TOML reads ``ssl.ca.location = "…"`` without quotes as tables in tables."""
        return dict(_properties(value)) if isinstance(value, dict) else value


def _properties(tables: dict[str, Any], before: str = "") -> Iterator[tuple[str, str | SecretStr]]:
    for name, value in tables.items():
        if isinstance(value, dict):
            yield from _properties(value, f"{before}{name}.")
        elif isinstance(value, bool | int | float | str):
            text = str(value).lower() if isinstance(value, bool) else str(value)
            yield before + name, SecretStr(text) if before + name in SECRET_PROPERTIES else text
        elif isinstance(value, SecretStr):
            yield before + name, value
        else:
            raise ValueError(f"{before}{name}: write a text, a number, true or false")


class RedisSettings(Section):
    """The live view. Losing it loses nothing."""

    url: SecretStr = SecretStr("redis://localhost:6379/0")
    ssl_ca_location: Path | None = None  # with rediss://: the CA that signed the server's certificate
    timeout_seconds: float = Field(default=2.0, gt=0)

    @field_validator("url")
    @classmethod
    def _redis(cls, value: SecretStr) -> SecretStr:
        check_url(value.get_secret_value(), ("redis", "rediss", "unix"))
        return value


class StoreSettings(Section):
    """One object store: ``s3://bucket[/prefix]`` and, for anything but AWS, its endpoint."""

    url: str
    endpoint_url: str | None = None
    aws_region: str | None = None
    # A region's credentials for its own bucket, where they differ from AWS_*:
    access_key_id: str | None = None
    secret_access_key: SecretStr | None = None
    timeout_seconds: float = Field(default=10.0, gt=0)

    @field_validator("url")
    @classmethod
    def _s3(cls, value: str) -> str:
        if not value.startswith("s3://") or not value.removeprefix("s3://").split("/")[0]:
            raise ValueError(f"{value!r}: a store reads s3://bucket or s3://bucket/prefix")
        return value.rstrip("/")

    @field_validator("endpoint_url")
    @classmethod
    def _http(cls, value: str | None) -> str | None:
        if value is not None:
            check_url(value, ("http", "https"))
        return value


class RegionSettings(Section):
    """One region: its own bucket, its pods, its cache folder, the token that its pods ask for.

    Two tokens, separated by a space, may be alive while one replaces the other: pods take both, the region sends the
    first.
    """

    store: StoreSettings | None = None
    pods: tuple[str, ...] = ()  # base URLs; short for a fleet of kind modelcast
    fleet: tuple[FleetSettings, ...] = ()
    cache_dir: Path | None = None
    cache_size_max_bytes: int = Field(default=50 * 1024**3, gt=0)
    token: SecretStr | None = None
    pod_timeout_seconds: float = Field(default=120.0, gt=0)
    read_back_seconds: float = Field(default=5.0, gt=0)
    reconcile_seconds: float = Field(default=60.0, gt=0)
    report_seconds: float = Field(default=300.0, gt=0)
    heartbeat_seconds: float = Field(default=5.0, gt=0)
    # Over the long link, all workers of the region together; None: as fast as it goes. May be changed while they run.
    bandwidth_bytes_per_second: int | None = Field(default=None, gt=0)
    origin_readers_max: int = Field(default=4, ge=1, le=64)  # fetches from the origin at once, the whole region
    fetch_threads: int = Field(default=4, ge=1, le=64)  # ranged reads at once in one fetch
    rollover: RegionRolloverSettings = RegionRolloverSettings()
    expected: bool = True  # counts for the consistent version

    @field_validator("token")
    @classmethod
    def _alive(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            alive(value.get_secret_value())
        return value

    @field_validator("pods")
    @classmethod
    def _http(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            check_url(url, ("http", "https"))
        return value

    @model_validator(mode="after")
    def _each_pod_once(self) -> Self:
        urls = [url.rstrip("/") for url in self.pod_urls]
        if twice := sorted({url for url in urls if urls.count(url) > 1}):
            raise ValueError(f"named twice: {', '.join(twice)}")
        sources = [fleet.discover for fleet in self.fleets if fleet.discover]
        if again := sorted({each.label for each in sources if sources.count(each) > 1}):
            raise ValueError(f"discovered twice: {', '.join(again)}")
        return self

    @property
    def token_sent(self) -> str:
        """The token that the region sends to its pods; "": it sends none."""
        return next(iter(alive(self.token.get_secret_value())), "") if self.token else ""

    @property
    def fleets(self) -> tuple[FleetSettings, ...]:
        """The region's pods by kind, those of the short form first."""
        return (FleetSettings(pods=self.pods), *self.fleet)

    @property
    def pod_urls(self) -> tuple[str, ...]:
        """The base URLs of all pods of the region."""
        return tuple(url for fleet in self.fleets for url in fleet.pods)


class TrackerSettings(Section):
    """How often the tracker works and reports, and what it shows."""

    announce_seconds: float = Field(default=15.0, gt=0)  # how often it looks for what was claimed but not announced
    silent_seconds: float = Field(default=15.0, gt=0)
    refresh_seconds: float = Field(default=30.0, gt=0)
    report_seconds: float = Field(default=1.0, gt=0)  # how often it is looked at what time alone changes
    unread_seconds: float = Field(default=600.0, gt=0)  # pods not read back for longer count as serving nothing
    # How often a probe goes the whole way to every region and back; 0: never.
    probe_seconds: float = Field(default=30.0, ge=0)
    # What /metrics shows: sums by model and by region, or also every pair of both (three series each).
    metrics: Literal["sums", "pairs"] = "sums"
    history: bool = True  # record what regions serve when: to version-changes, and into the origin store's history/

    @field_validator("probe_seconds")
    @classmethod
    def _probes(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(f"{value:g} s is too often: a region answers one probe a second; 0 turns probes off")
        return value


class LogSettings(Section):
    """Logs: readable on a terminal, JSON elsewhere."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"


class DaemonSettings(Section):
    """Where a daemon serves ``/livez``, ``/readyz`` and ``/metrics``; port 0 takes a free one."""

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535)
    worker: str = ""  # this process' name; host-pid if empty
    data_dir: Path | None = None  # what Faust keeps between starts
    drain_seconds: float = Field(default=30.0, ge=0)
    # SHA-256 of the token that /metrics asks for, also a pod's and the dashboard's; two while one replaces the other.
    metrics_tokens: tuple[str, ...] = ()

    @field_validator("metrics_tokens")
    @classmethod
    def _digests(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return check_token_digests(value)


class Settings(BaseSettings):
    """All settings."""

    model_config = SettingsConfigDict(
        env_prefix="MODELCAST_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    redis: RedisSettings = RedisSettings()
    stores: dict[str, StoreSettings] = Field(default_factory=dict)
    regions: dict[str, RegionSettings] = Field(default_factory=dict)
    tracker: TrackerSettings = TrackerSettings()
    publish: PublishSettings = PublishSettings()
    models: dict[str, ModelSettings] = Field(default_factory=dict)
    log: LogSettings = LogSettings()
    daemon: DaemonSettings = DaemonSettings()
    dashboard: DashboardSettings = DashboardSettings()
    trust: TrustSettings = TrustSettings()

    @field_validator("regions")
    @classmethod
    def _names(cls, value: dict[str, RegionSettings]) -> dict[str, RegionSettings]:
        for name in value:
            try:
                check_region(name)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read the environment, then the file, and nothing else."""
        path = config_path()
        toml = (TomlConfigSettingsSource(settings_cls, path),) if path else ()
        return (init_settings, env_settings, *toml)

    def store(self, alias: str) -> StoreSettings:
        """The store that an alias means here.

        Raises:
            NotFound: no such alias in the settings.
        """
        try:
            return self.stores[alias]
        except KeyError:
            known = ", ".join(sorted(self.stores)) or "none"
            raise NotFound(
                f"store alias {alias!r} is not set (known: {known})",
                hint=f"set MODELCAST_STORES__{alias.upper()}__URL=s3://… or [stores.{alias}] in modelcast.toml",
            ) from None

    def model(self, name: str) -> ModelSettings:
        """One model's settings; the defaults where none are set."""
        return self.models.get(name, ModelSettings())

    def region(self, name: str) -> RegionSettings:
        """One region's settings.

        Raises:
            UsageError: it is no name of a region.
            NotFound: it is not set.
        """
        check_region(name)
        try:
            return self.regions[name]
        except KeyError:
            known = ", ".join(sorted(self.regions)) or "none"
            raise NotFound(
                f"region {name!r} is not set (known: {known})", hint=f"add [regions.{name}] to modelcast.toml"
            ) from None


def config_path() -> Path | None:
    """The settings file in use, or None.

    Raises:
        UsageError: ``MODELCAST_CONFIG`` names a file that does not exist.
    """
    named = os.environ.get(CONFIG_VARIABLE)
    if named:
        path = Path(named)
        if not path.is_file():
            raise UsageError(
                f"{CONFIG_VARIABLE} names {named!r}, which is not a file",
                hint="correct it, or unset it: then ./modelcast.toml is read",
            )
        return path
    return next((p for p in (Path("modelcast.toml"), Path("/etc/modelcast/modelcast.toml")) if p.is_file()), None)


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        UsageError: a value is wrong; every wrong one is named with its place.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        found_lines = (
            (".".join(map(str, e["loc"])), "no such setting" if e["type"] == "extra_forbidden" else e["msg"])
            for e in error.errors(include_input=False)
        )
        lines = (f"{place}: {what.removeprefix('Value error, ')}" for place, what in found_lines)
        path = config_path()
        where = f"in {path}, or in its MODELCAST_… variable" if path else "in its MODELCAST_… variable"
        raise UsageError(
            "settings: " + "; ".join(lines), hint=f"mend it {where}; left out, its default holds"
        ) from None
    except TOMLDecodeError as error:
        raise UsageError(str(error), subject=str(config_path()), hint="mend that line") from None
    except ValueError as error:  # JSON in a variable that does not parse
        hint = """a variable has lists as JSON, as in MODELCAST_REGIONS__EU__PODS='["http://pod:8080"]'"""
        raise UsageError(f"settings: {error}", hint=hint) from None
