"""Runs what is to be looked at side by side. Nothing waits for what hangs, and no failure hides the others."""

import threading
import time
from collections.abc import Sequence

from modelcast.cli.doctor.checks import Check, Result, Unit, failed
from modelcast.schemas.errors import ModelcastError


class _Run:
    """One unit on a thread of its own, which does not keep the process alive."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.found: list[Check] = []
        self.thread = threading.Thread(target=self._look, name=f"doctor {unit.subject}", daemon=True)
        self.thread.start()

    def _look(self) -> None:
        try:
            for check in self.unit.look():
                self.found.append(check)
        except ModelcastError as error:
            self.found.append(failed(self.unit.subject, error))
        except Exception as error:  # a check that fails by itself is told like any other
            message = f"the check itself failed: {type(error).__name__}: {error}"
            self.found.append(Check(self.unit.subject, Result.error, message, "report it with the output of `doctor`"))


def run_units(units: Sequence[Unit]) -> list[Check]:
    """Everything that was found, in the units' order."""
    began = time.monotonic()
    runs = [_Run(unit) for unit in units]
    found: list[Check] = []
    for each in runs:
        each.thread.join(max(0.0, began + each.unit.seconds_max - time.monotonic()))
        late = each.thread.is_alive()
        found.extend(list(each.found))
        if late:
            message = f"no end after {each.unit.seconds_max:g} s"
            found.append(
                Check(each.unit.subject, Result.unreachable, message, "what it looks at hangs, or is very slow")
            )
    return found
