"""``modelcast``: commands are put together here and nowhere else."""

import errno
import os
import signal
import sys
from pathlib import Path

import typer

from modelcast.cli import console, misuse
from modelcast.cli.examples import add_examples
from modelcast.schemas.errors import ExitCode, ModelcastError, UsageError

EPILOG = (
    "Exit codes: 0 done, 1 failed, 2 usage, 3 not converged in time, 4 verification failed or quarantined, "
    "5 refused by policy, 6 a dependency is unreachable, 7 claimed but not yet announced, 8 rolled back."
)
DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
HINTS = {
    **dict.fromkeys((errno.ENOENT, errno.ENOTDIR), "check its path"),
    **dict.fromkeys((errno.EEXIST, errno.EISDIR), "it is in the way: take it out, or name another place"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "mend its permissions, or name another place"),
    **dict.fromkeys(DISK_FULL, "make room there, or name another place"),
}

app = typer.Typer(
    name="modelcast",
    help="Carries every new version of a model to every serving pod in every region.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit."),
    config: str | None = typer.Option(None, "--config", help="The settings file, instead of ./modelcast.toml."),
) -> None:
    if version:
        from importlib.metadata import version as installed

        sys.stdout.write(f"modelcast {installed('modelcast')}\n")
        raise typer.Exit
    if config is not None:
        if not Path(config).is_file():
            raise UsageError(
                "no such settings file", subject=config or repr(config), hint="--config FILE names a modelcast.toml"
            )
        os.environ["MODELCAST_CONFIG"] = config
    if context.invoked_subcommand != "run":  # daemons say it in their logs
        from modelcast.infra.variables import unknown_variables

        for note in unknown_variables(os.environ):
            console.say(f"note: {note}")


def run() -> None:
    """The entry point: errors become one line, a hint and an exit code."""
    try:
        ended = app(prog_name="modelcast", standalone_mode=False)
        sys.exit(ended if isinstance(ended, int) else 0)
    except misuse.Misuse as error:
        sys.exit(misuse.explain_misuse(error))
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except typer.Abort:
        console.say("not done")
        sys.exit(int(ExitCode.FAILED))
    except ModelcastError as error:
        console.complain(error)
        sys.exit(int(error.exit_code))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(int(ExitCode.FAILED))
    except OSError as error:
        if error.filename is None and error.errno not in DISK_FULL:
            raise  # nothing that a person could mend: the traceback tells more
        message = error.strerror or str(error)
        hint = HINTS.get(error.errno or 0, "look at it, or name another place")
        console.complain(ModelcastError(message[:1].lower() + message[1:], subject=_named(error), hint=hint))
        sys.exit(int(ExitCode.FAILED))
    except ImportError as error:
        if (error.name or "").split(".")[0] == "modelcast":
            raise
        console.complain(
            ModelcastError(
                f"this command needs {error.name!r}, which is not installed",
                hint="pip install 'modelcast[region]', '[tracker]', '[pod]', '[local]', '[delta]' or '[all]'",
            )
        )
        sys.exit(int(ExitCode.FAILED))


def _named(error: OSError) -> str:
    return os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""


def _register() -> None:
    from modelcast.cli import delta, plan, publish
    from modelcast.cli.commands import (
        dead_letters,
        keys,
        load,
        operate,
        outcome,
        regions,
        rollout,
        run,
        top,
        topics,
        up_down,
    )
    from modelcast.cli.commands import registry as registry_commands
    from modelcast.cli.demo import command as demo
    from modelcast.cli.doctor import command as doctor
    from modelcast.cli.views import audit, config, diff, registry, states

    modules = (
        demo,
        up_down,
        publish,
        states,
        top,
        registry,
        audit,
        diff,
        plan,
        operate,
        registry_commands,
        keys,
        run,
        topics,
        config,
        doctor,
    )
    for module in (*modules, rollout, outcome, load, dead_letters, regions):
        module.register(app)
    delta.register(app)
    add_examples(app)


_register()

if __name__ == "__main__":
    run()
