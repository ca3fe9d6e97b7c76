"""``MODELCAST_…`` variables without effect: most likely a typo, perhaps of a later version. Reported, never fatal."""

import difflib
from collections.abc import Iterator, Mapping

PREFIX = "MODELCAST_"
SECTIONS = (
    "kafka",
    "redis",
    "stores",
    "regions",
    "tracker",
    "publish",
    "models",
    "log",
    "daemon",
    "dashboard",
    "trust",
)
"""Of the settings, which check the rest of such a variable's name themselves."""
_NAMED = ("stores", "regions")
"""Sections of sections, each with a name of its own."""
OTHERS = frozenset(
    PREFIX + name
    for name in (
        *("CONFIG", "CACHE_DIR", "DELTA_KERNELS", "MAVEN_MIRROR", "STACK"),
        *("DASHBOARD_TOKEN", "POD_TOKEN", "SERVER_TOKEN"),
        *("MODEL", "VERSION", "DIGEST", "FOLDER"),  # what a companion tells the command that it runs
    )
)
FOR_TESTS = (
    "VERSITYGW",
    "REDIS_SERVER",
    "KILL_",
    "BENCH_",
    "SIMULATION_",
    "SOAK",
    "TEST_",
    "CHROMIUM",
    "SCREENSHOTS",
    "PROMTOOL",
    "PROMETHEUS",
    "ALERTMANAGER",
    "AMTOOL",
    "HONESTY_ROUNDS",
)
"""What such names begin with."""


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """A line for each variable without effect, with the one that was perhaps meant."""
    return [_hint_of(name) for name in sorted(environ) if name.upper().startswith(PREFIX) and not _is_known(name)]


def _is_known(name: str) -> bool:
    rest = name.upper().removeprefix(PREFIX)  # settings are found in small letters, too
    return name in OTHERS or rest.startswith(FOR_TESTS) or rest.split("__")[0].lower() in SECTIONS


def _hint_of(name: str) -> str:
    wanted = name.upper().removeprefix(PREFIX)
    known = [each.removeprefix(PREFIX) for each in _known_names(wanted)]
    close = difflib.get_close_matches(wanted, known, n=1, cutoff=0.7)
    return f"{name} is no setting and is ignored" + (f": did you mean {PREFIX}{close[0]}?" if close else "")


def _known_names(wanted: str) -> Iterator[str]:
    """All that there are; those of stores and regions with the name that stands in ``wanted``."""
    from pydantic import BaseModel  # what is heavy is loaded only once something is wrong

    from modelcast.infra.settings import RegionSettings, Settings, StoreSettings

    yield from sorted(OTHERS)
    parts = wanted.split("__")
    name = parts[1] if len(parts) > 2 else "NAME"

    def of(model: type[BaseModel], before: str) -> Iterator[str]:
        for field, info in model.model_fields.items():
            kinds = [k for k in (info.annotation, *getattr(info.annotation, "__args__", ())) if isinstance(k, type)]
            nested = next((k for k in kinds if issubclass(k, BaseModel)), None)
            place = before + field.upper()
            if place.lower() in _NAMED and not before:
                yield from of(StoreSettings if field == "stores" else RegionSettings, f"{place}__{name}__")
            elif nested is not None:
                yield from of(nested, place + "__")
            else:
                yield place

    yield from of(Settings, "")
