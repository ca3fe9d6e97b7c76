"""Settings of publishers."""

from pathlib import Path

from pydantic import Field, SecretStr, field_validator

from modelcast.infra.settings_section import Section
from modelcast.schemas.digests import DIGEST_PATTERN
from modelcast.schemas.errors import UsageError
from modelcast.schemas.names import check_model


class ArtifactRules(Section):
    """What may be published as one model; None: as for all."""

    allow_pickle: bool | None = None
    allow_unknown: tuple[str, ...] | None = None


class PublishSettings(Section):
    """Defaults of publishers."""

    publisher: str = ""
    allow_pickle: bool = False
    allow_unknown: tuple[str, ...] = ()  # files of no known format that may be published: patterns as in .gitignore
    models: dict[str, ArtifactRules] = Field(default_factory=dict)  # models with rules of their own
    upload_threads: int = Field(default=4, ge=1, le=64)
    deltas: bool = True  # make deltas for what regions are likely to hold
    delta_bases: tuple[int, ...] = (1, 4, 16)  # how many versions back they start
    delta_threads: int = Field(default=0, ge=0, le=256)  # 0: all cores
    delta_size_min_bytes: int = Field(default=256 * 1024, ge=0)  # smaller files travel whole
    # Files published from here are kept as bases of later deltas; others are read from the origin up to a size.
    base_cache_dir: Path | None = None  # `bases` in the user's cache folder
    base_cache_size_max_bytes: int = Field(default=32 * 1024**3, ge=0)  # 0: keep none
    base_fetch_size_max_bytes: int = Field(default=256 * 1024**2, ge=0)  # a file; 0: where the origin is far away
    registry_id: str = ""  # the registry expected in the origin store; another one is refused

    @field_validator("delta_bases")
    @classmethod
    def _back(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        for steps in value:
            if steps < 1:
                raise ValueError(f"{steps} is no number of versions back: 1 is the one before, 4 is four before")
        return value

    @field_validator("models")
    @classmethod
    def _names(cls, value: dict[str, ArtifactRules]) -> dict[str, ArtifactRules]:
        for name in value:
            try:
                check_model(name)
            except UsageError as error:
                raise ValueError(str(error)) from None
        return value

    def pickles_allowed(self, model: str) -> bool:
        """Whether pickles may be published as a model."""
        own = self.models.get(model, ArtifactRules()).allow_pickle
        return self.allow_pickle if own is None else own

    def unknown_allowed(self, model: str) -> tuple[str, ...]:
        """Patterns of the files of no known format that may be published as a model."""
        own = self.models.get(model, ArtifactRules()).allow_unknown
        return self.allow_unknown if own is None else own


class ModelSettings(Section):
    """How the publications of one model reach its pods from here, where nothing else is said."""

    rollout: str = ""  # a strategy, as in canary; "": they are served at once
    steps: str = ""  # as in 1,10@1h,50!,100
    waves: str = ""  # as in eu;us,ap
    key: str = ""  # as in header:x-user
    rollout_only: bool = False  # refuse to have a version served that did not earn its traffic


class TrustSettings(Section):
    """What is pinned here, and what signs here.

    Attributes:
        root: SHA-256 (``sha256:…``) of the first root of trust, as ``modelcast keys init`` says it. With it, an entry
            is obeyed only if the policy lets its signers say it; without it, signatures are not looked at.
        keys: keys that sign what is published or commanded from here: ``file:PATH``, ``env:NAME``, or a key service.
        passphrase: of encrypted key files.
    """

    root: str = ""
    keys: tuple[str, ...] = ()
    passphrase: SecretStr = SecretStr("")

    @field_validator("root")
    @classmethod
    def _digest(cls, value: str) -> str:
        if value and not DIGEST_PATTERN.fullmatch(value):
            raise ValueError(f"{value[:80]!r}: write the sha256:… that `modelcast keys init` said")
        return value

    @field_validator("keys")
    @classmethod
    def _uris(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for uri in value:
            if not uri.partition(":")[2]:
                raise ValueError(f"{uri[:80]!r}: write file:PATH, env:NAME, or the URI of a key service")
        return value
