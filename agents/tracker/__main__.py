"""``python -m modelcast.agents.tracker``: run one tracker worker."""

import asyncio
import sys

from modelcast.agents.tracker.runner import run_tracker
from modelcast.infra import settings
from modelcast.infra.telemetry import logs
from modelcast.schemas.errors import ModelcastError


def main() -> int:
    """Run until stopped; return the exit code."""
    try:
        read = settings.load_settings()
        logs.set_up(read.log)
        logs.warn_of_variables()
        asyncio.run(run_tracker(read))
    except ModelcastError as error:
        print(f"modelcast: {error}", file=sys.stderr)  # noqa: T201
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
