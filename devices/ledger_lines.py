"""Lines of a ledger: a shot each, or the checkpoint of what was spent before; and their sum."""

import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from skyctl.pulse import Pulse
from skyctl.samples import Samples, brief, whole

LONGEST_LINE = 4096
"""Bytes."""
NOTHING_BEFORE: dict[str, Any] = {
    "segment": 0, "after": "", "lines": 0, "spent": {}, "names": {"count": 0, "hash": ""},
}  # fmt: skip
"""The checkpoint of a first segment, which has none of its own."""


class Spent(BaseModel):
    """What a pulser has fired so far.

    dose_T2ps : ∫B² dt of it; dose_A2s_per_m4 : ∫j² dt of its currents
    amplitude_T : of the last shot, None before the first
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shots: int = 0
    dose_T2ps: float = 0.0
    dose_A2s_per_m4: float = 0.0
    amplitude_T: float | None = None

    def and_(self, pulse: Pulse, repeats: int = 1) -> "Spent":
        """With one shot more, or so many of the same pulse."""
        return Spent(
            shots=self.shots + repeats,
            dose_T2ps=self.dose_T2ps + repeats * pulse.dose_T2ps,
            dose_A2s_per_m4=self.dose_A2s_per_m4 + repeats * pulse.dose_A2s_per_m4,
            amplitude_T=pulse.amplitude_T,
        )

    def __str__(self) -> str:
        current = f", {self.dose_A2s_per_m4:.3g} A²s/m⁴" if self.dose_A2s_per_m4 else ""
        return f"{self.dose_T2ps:.0f} T²ps{current}"


class Entry(NamedTuple):
    """What a line says: the pulse of this shot, sent so many times."""

    shot: str
    pulse: Pulse
    repeats: int = 1


def checkpoint_of(first: bytes) -> dict[str, Any] | None:
    """What the first line of a segment says of those before it; None where it does not.

    Raises ValueError where it cannot be read.
    """
    if not first.startswith(b'{"checkpoint": '):
        return None
    return _loaded(first)["checkpoint"]


def line_of(entry: Entry, time_s: float) -> dict[str, Any]:
    """The content of an entry's line; a single pulse does not say that it is one."""
    several = {} if entry.repeats == 1 else {"repeats": entry.repeats}
    return {"shot": entry.shot, "time": time_s, "pulse": brief(entry.pulse), **several}


def shot_in(line: bytes) -> str:
    """The name of a line's shot. Raises ValueError, whatever the line is."""
    try:
        shot = _loaded(line)["shot"]
    except (KeyError, TypeError) as error:
        raise ValueError(repr(error)) from error
    if type(shot) is not str:
        raise ValueError("a shot without a name")
    return shot


def entry_of(line: bytes, samples: Samples) -> Entry:
    """The shot of a line. Raises ValueError, whatever the line is, and where samples are gone."""
    try:
        told, shot = _loaded(line), shot_in(line)
        pulse = whole(told["pulse"], samples)
        repeats = told.get("repeats", 1)
        if not math.isfinite(pulse.dose_T2ps + pulse.dose_A2s_per_m4):
            raise ValueError("a dose without end")
        if type(repeats) is not int or repeats < 1:
            raise ValueError(f"a pulse sent {repeats!r} times")
    except (KeyError, TypeError, OverflowError, AttributeError) as error:
        raise ValueError(repr(error)) from error
    return Entry(shot, pulse, repeats)


def _loaded(line: bytes) -> Any:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(number, line) of the whole lines of a file; what is too long comes in pieces."""
    with path.open("rb") as file:
        for number in itertools.count(1):
            line = file.readline(LONGEST_LINE)
            if not line or (len(line) < LONGEST_LINE and not line.endswith(b"\n")):
                return  # a line that a crash cut: its pulse was not sent
            yield number, line
