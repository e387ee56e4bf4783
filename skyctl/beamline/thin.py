"""A beamline around a simulated thin film, with a camera that shows all three components."""

from pathlib import Path
from typing import Any

from skyctl.beamline.beamline import Beamline
from skyctl.beamline.simulated import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.devices.rare_pulses import RarePulses
from skyctl.devices.simulated import SimulatedSample
from skyctl.pulse import FrameSchedule
from skyctl.simulators.thin.film import ThinFilmParameters
from skyctl.simulators.thin.pulsed import S_STATE, PulsedThinFilm

THIN_MOVIE = FrameSchedule(duration_ps=1000.0, interval_ps=10.0)
THIN_ENVELOPE = Envelope(
    amplitude_T=(0.0, 0.3),
    uniform_amplitude_T=0.3,
    width_ps=(1.0, 600.0),
    peak_ps=(0.0, 1000.0),
    rare=RarePulses(waveforms=("square",), pulses=2),
)
"""Sequences of two fields, and one strong enough to saturate the film."""


def thin_film_beamline(
    folder: Path | str,
    parameters: ThinFilmParameters,
    *,
    start: str = S_STATE,
    movie: FrameSchedule = THIN_MOVIE,
    ledger: Path | None = None,
) -> Beamline[SimulatedSample]:
    """Build a beamline around a thin film; recordings go to ``folder``.

    start : as of ``PulsedThinFilm``; movie : what is filmed. Raises as ``simulated_beamline``.
    """
    sample: Any = PulsedThinFilm(parameters, start)  # its sites are None and nothing else
    line = simulated_beamline(
        folder, film=sample, component="spins",
        envelope=THIN_ENVELOPE, ledger=ledger,
    )  # fmt: skip
    line.camera.film_like(movie)
    return line
