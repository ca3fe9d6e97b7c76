"""``python -m modelcast.agents.region --region eu``: one worker of one region."""

import argparse
import asyncio
import sys

from modelcast.agents.region.runner import run_region
from modelcast.infra.settings import load_settings
from modelcast.infra.telemetry import logs
from modelcast.schemas.errors import ModelcastError


def main() -> int:
    """Run one worker until it is stopped; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m modelcast.agents.region")
    parser.add_argument("--region", required=True)
    arguments = parser.parse_args()
    try:
        settings = load_settings()
        settings.region(arguments.region)
        logs.set_up(settings.log, daemon="region", region=arguments.region)
        logs.warn_of_variables()
        asyncio.run(run_region(settings, arguments.region))
    except ModelcastError as error:
        print(f"modelcast: {error}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
