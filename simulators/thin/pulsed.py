"""A thin film under pulses: a sample for the beamline, in place of the atomistic film."""

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from skyctl.formats.ovf import SUFFIXES, read_ovf
from skyctl.formats.spin_states import spins_of
from skyctl.pulse import Pulse
from skyctl.simulators.physics.drive import PulseDrive
from skyctl.simulators.physics.pulsed_film import check_times
from skyctl.simulators.physics.topology import topological_charge
from skyctl.simulators.thin import DEFAULT_TOLERANCE
from skyctl.simulators.thin.film import ThinFilm, ThinFilmParameters

BEGINNINGS = {
    "x": (1.0, 0.0, 0.0), "-x": (-1.0, 0.0, 0.0), "y": (0.0, 1.0, 0.0), "-y": (0.0, -1.0, 0.0),
}  # fmt: skip
S_STATE = "s-state"
SETTLE_PS = 1000.0
_SETTLED_T = 1e-3
_LOOKS_PS = 50.0
_PIECES = 16
"""Into so many a pulse's shortest time is cut; in each its field is that of the middle."""


class PulsedThinFilm:
    """A `ThinFilm` that fields drive for a while: ``SimulatedSample`` films it.

    parameters : ThinFilmParameters; None: standard problem 4. tolerance : as of ThinFilm
    start : "s-state", "x", "-x", "y", "-y" (uniform, and relaxed), or a file of m: .npy, (3, rows,
        columns), or OVF

    A sequence of two fields is a square pulse with a second. Pulses are fields on the whole film:
    no spots, no currents. Raises ValueError, FormatError or OSError for another start.
    """

    sites = None

    def __init__(
        self,
        parameters: ThinFilmParameters | None = None,
        start: str = S_STATE,
        *,
        tolerance: float = DEFAULT_TOLERANCE,
    ) -> None:
        self.film = ThinFilm(parameters, tolerance=tolerance)
        _begin(self.film, start)

    @property
    def parameters(self) -> ThinFilmParameters:
        """What the film is made of; another damping may be set."""
        return self.film.parameters

    @parameters.setter
    def parameters(self, value: ThinFilmParameters) -> None:
        self.film.parameters = value

    @property
    def spins(self) -> np.ndarray:
        """A copy of m = M/M_s, (3, rows, columns)."""
        return self.film.magnetisation

    def charge(self) -> float:
        """Topological charge."""
        return topological_charge(self.spins)

    def refuses(self, pulse: Pulse) -> str:
        """Why it cannot be driven so, or ""."""
        both = [pulse, *([pulse.second] if pulse.second else [])]
        if any(each.spot or each.current for each in both):
            return f"pulse {pulse}: a thin film takes fields on all of it, no spots and no currents"
        return ""

    def advance(self, span_ps: float) -> None:
        """Let time pass without a field."""
        self._move(None, 0.0, span_ps)

    def settle(self, max_ps: float = SETTLE_PS) -> None:
        """Come to rest as between two shots: ring down, for ``max_ps`` at most, then relax."""
        left_ps = max_ps
        while left_ps > 0 and self.film.max_torque_T() > _SETTLED_T:
            self.advance(min(_LOOKS_PS, left_ps))
            left_ps -= _LOOKS_PS
        self.film.relax()

    def frames(self, pulse: Pulse | None, times_ps: Sequence[float]) -> Iterator[np.ndarray]:
        """Fire ``pulse`` and yield m, (3, rows, columns), at each of ``times_ps``.

        Raises ValueError, before the film has moved, for times that do not ascend, and for a pulse
        that it ``refuses``.
        """
        check_times(times_ps)
        if pulse and (fault := self.refuses(pulse)):
            raise ValueError(fault)
        return self._frames(pulse, times_ps)

    def _frames(self, pulse: Pulse | None, times_ps: Sequence[float]) -> Iterator[np.ndarray]:
        now = 0.0
        for time_ps in times_ps:
            self._move(pulse, now, time_ps)
            now = time_ps
            yield self.spins

    def _move(self, pulse: Pulse | None, start_ps: float, end_ps: float) -> None:
        for field_T, span_ps in field_pieces(pulse, start_ps, end_ps):
            for _ in self.film.frames(field_T, [span_ps]):
                pass


def field_pieces(
    pulse: Pulse | None, start_ps: float, end_ps: float
) -> Iterator[tuple[list[float], float]]:
    """(field, T, (3,); how long it acts, ps) from one movie time to another, one after the other.

    Where a pulse's field is constant that is exact; where it changes it is the field in the middle
    of a sixteenth of the pulse's shortest time.
    """
    if end_ps <= start_ps:
        return
    if pulse is None:
        yield [0.0, 0.0, 0.0], end_ps - start_ps
        return
    drive = PulseDrive(pulse)
    inside = {corner for corner in pulse.corners_ps if start_ps < corner < end_ps}
    for first, last in pairwise([start_ps, *sorted(inside), end_ps]):
        count = math.ceil((last - first) * _PIECES / drive.shortest_ps)
        edges = np.linspace(first, last, count + 1)
        fields = drive.fields_T((edges[:-1] + edges[1:]) / 2)[:, :3]
        changes = 1 + np.flatnonzero((np.diff(fields, axis=0) != 0).any(axis=1))
        for one, other in pairwise([0, *changes.tolist(), count]):
            if other > one:
                yield fields[one].tolist(), float(edges[other] - edges[one])


def _begin(film: ThinFilm, start: str) -> None:
    path = Path(start)
    if start == S_STATE:
        film.set_s_state()
    elif start in BEGINNINGS:
        film.set_uniform(BEGINNINGS[start])
        film.relax()
    elif path.suffix.lower() == ".npy":
        film.magnetisation = np.load(path, allow_pickle=False)
    elif path.suffix.lower() in SUFFIXES:
        film.magnetisation = spins_of(read_ovf(path)).spins
    else:
        raise ValueError(
            f"start {start!r}: give {S_STATE}, {', '.join(BEGINNINGS)}, or a file of m (.npy, .ovf)"
        )
