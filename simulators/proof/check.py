"""What a check of the simulators is: a number, compared with what it must be."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Precision = Literal["f8", "f4"]


class Missing(Exception):
    """A check needs what this machine does not have; the text says what."""


@dataclass(frozen=True)
class Check:
    """One number that shows the simulator right: passed if within ``tolerance`` of ``expected``.

    name : to ask for it; what : is measured; source : of the expected value
    full : takes long, left out of the quick set
    measure : the experiment; raises Missing where it cannot be done
    """

    name: str
    what: str
    measure: Callable[[], float]
    expected: float
    tolerance: float
    source: str
    unit: str = ""
    full: bool = False

    def run(self) -> "Outcome":
        """Measure."""
        begin = time.perf_counter()
        measured, missing = None, None
        try:
            measured = float(self.measure())
        except Missing as reason:
            missing = str(reason)
        return Outcome(self, measured, missing, time.perf_counter() - begin)


@dataclass(frozen=True)
class Outcome:
    """What a check found: a number, or what it missed to find one."""

    check: Check
    measured: float | None
    missing: str | None
    seconds: float

    @property
    def passed(self) -> bool | None:
        """None where the check could not be done."""
        if self.measured is None:
            return None
        return bool(abs(self.measured - self.check.expected) <= self.check.tolerance)

    def as_json(self) -> dict[str, Any]:
        """The outcome as plain values."""
        c = self.check
        return {
            "name": c.name,
            "what": c.what,
            "measured": self.measured,
            "expected": c.expected,
            "tolerance": c.tolerance,
            "unit": c.unit,
            "source": c.source,
            "passed": self.passed,
            "missing": self.missing,
            "seconds": self.seconds,
        }
