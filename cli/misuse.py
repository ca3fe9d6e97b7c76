"""What the command line's own parser refuses, reported as every other error is."""

from typing import Any, cast

import typer

from modelcast.cli import console
from modelcast.schemas.errors import ExitCode, UsageError

# The parser's root of errors. Some releases of Typer bring a parser of their own, others take click's.
Misuse = cast("type[Exception]", next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException"))


def explain_misuse(misuse: Exception) -> int:
    """Print how the command is used, what is wrong, and where help is; return the exit code."""
    error = cast("Any", misuse)
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # the help was all that there is to say
        return int(ExitCode.USAGE)
    if context is not None:
        console.say(context.get_usage())
    message = str(error.format_message()).replace("Value error, ", "").removesuffix(".")
    command = context.command_path if context is not None else "modelcast"
    console.complain(UsageError(message[:1].lower() + message[1:], hint=f"{command} --help"))
    return int(ExitCode.USAGE)
