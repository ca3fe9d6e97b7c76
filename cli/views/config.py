"""``modelcast config show``: the settings in force."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelcast.cli.configured import load
from modelcast.cli.console import Format, TextTable, emit, say

if TYPE_CHECKING:
    from modelcast.infra.settings import Settings

MASK = "********"
_PASSWORD = re.compile(r"(?i)^([^=]*(?:password|secret|token)[^=]*=).*")

config = typer.Typer(no_args_is_help=True, help="The settings in force.")


def register(app: typer.Typer) -> None:
    """Add ``config`` to the command line."""
    app.add_typer(config, name="config")


@config.command()
def show(
    output: Annotated[Format, typer.Option("--output", "-o", help="The output's format.")] = Format.yaml,
) -> None:
    """The settings in force, from the file and MODELCAST_… variables; secrets are masked."""
    from modelcast.infra.settings import config_path

    settings = load()
    path = config_path()
    say(f"file: {path or 'none (variables and defaults only)'}")
    flat = _flatten(_masked(settings))
    table = TextTable("SETTING", "VALUE", box=None)
    for key, value in flat.items():
        table.add_row(key, str(value))
    emit(_masked(settings), output, table)


def _masked(settings: "Settings") -> dict[str, Any]:
    from pydantic import SecretStr

    def mask(value: Any) -> Any:
        if isinstance(value, SecretStr):
            return _without_password(value.get_secret_value())
        if isinstance(value, dict):
            return {k: mask(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [mask(v) for v in value]
        if isinstance(value, str) and "://" in value:
            return _without_password(value)
        return value if isinstance(value, str | int | float | bool | None) else str(value)

    masked = mask(settings.model_dump())
    assert isinstance(masked, dict)
    return masked


def _without_password(secret: str) -> str:
    """A URL keeps everything but its passwords; anything else is masked whole."""
    scheme, separator, rest = secret.partition("://")
    if not separator:
        return MASK
    address, mark, query = rest.partition("?")
    credentials, at, host = address.rpartition("@")
    user = credentials.split(":")[0]
    options = "&".join(_PASSWORD.sub(rf"\g<1>{MASK}", option) for option in query.split("&"))
    return f"{scheme}://{f'{user}:{MASK}@' if at else ''}{host}{mark}{options}"


def _flatten(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            flat |= _flatten(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = item
    return flat
