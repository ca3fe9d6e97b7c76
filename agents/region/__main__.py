"""``python -m modelcast.agents.region --region eu``: one worker of one region."""

import argparse
import asyncio

from modelcast.agents.region.runner import run_region
from modelcast.infra.settings import load
from modelcast.infra.telemetry import logs


def main() -> None:
    """Parse the arguments, read the settings, work."""
    parser = argparse.ArgumentParser(prog="python -m modelcast.agents.region")
    parser.add_argument("--region", required=True)
    arguments = parser.parse_args()
    settings = load()
    settings.region(arguments.region)
    logs.set_up(settings.log, daemon="region", region=arguments.region)
    logs.warn_of_variables()
    asyncio.run(run_region(settings, arguments.region))


if __name__ == "__main__":
    main()
