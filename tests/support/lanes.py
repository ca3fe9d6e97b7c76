"""How long a test may go on: ``make test`` takes minutes, the soak of ``make test-all`` as long as it needs.

What is worth running only at length is marked ``soak``; what is worth running more often takes its numbers from here.
"""

import os

SOAK = os.environ.get("MODELCAST_SOAK") == "true"


def often(soak: int, quick: int) -> int:
    """``soak`` rounds, seeds or examples in a soak, else ``quick``."""
    return soak if SOAK else quick
