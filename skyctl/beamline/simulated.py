"""A beamline around a simulated film."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.beamline.beamline import Beamline, assemble
from skyctl.devices.guard import Envelope, Spent
from skyctl.devices.simulated import Component, FilmUnderPulse, FrameSink, SimulatedSample
from skyctl.inference.model import MovieClassifier
from skyctl.inference.pixels import MOST_GAPS
from skyctl.inference.state_check import StateCheck
from skyctl.pulse import Pulse, Spot
from skyctl.recording.files import Storage
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.lattice.begin import begin
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.pulsed_film import SETTLED_T, PulsedFilm
from skyctl.stream.publisher import Publisher

_log = logging.getLogger(__name__)
_SMALL = 8
"""Sites along each side of the film that only compiles the kernels."""


def simulated_beamline(
    folder: Path | str,
    *,
    parameters: FilmParameters | None = None,
    start: str = "empty",
    model: MovieClassifier | None = None,
    envelope: Envelope | None = None,
    ledger: Path | None = None,
    spent: Spent | None = None,
    address: str = "tcp://127.0.0.1:*",
    device: Literal["cpu", "cuda"] = "cpu",
    imaging: Imaging | None = None,
    field_calibration: float = 1.0,
    anisotropy_map: np.ndarray | None = None,
    sites: np.ndarray | None = None,
    seed: int = 0,
    film: FilmUnderPulse | None = None,
    component: Component = "sz",
    settle_ps: float | None = None,
    storage: Storage | None = None,
    metrics_port: int | None = None,
    timeout_s: float = 60.0,
    check: StateCheck | None = None,
) -> Beamline[SimulatedSample]:
    """Build a beamline around a simulated film; recordings go to ``folder``.

    ``film`` is a film of one's own (a ``TorqueFilm``, a ``PulsedThinFilm``), as it stands; left
    out, a ``Film`` is made of ``parameters``, ``start`` (as `begin` has it), ``device``,
    ``anisotropy_map`` (pinning defects), ``sites`` (where there is a spin) and ``seed`` (thermal
    noise). The sample's are ``component``, ``settle_ps``, ``imaging`` and ``field_calibration``, as
    in SimulatedSample; a DrawnSample of skyctl.simulators.instrument.spread has parameters and
    calibration. A film that the agents' library is not of is named in the log. ``spent`` is what
    was fired before, besides what the ledger says. The rest is as in `assemble`.

    Raises StreamError (port in use), ModelError (no such model), PulseRefused (bad ledger) or
    ValueError (a calibration that is not positive, a film that cannot be).
    """
    model = model or MovieClassifier()
    if film is None:
        film = _film(parameters or FilmParameters(), start, device, anisotropy_map, sites, seed)
    if fault := SwitchingLibrary.load().outside(film.parameters.as_dict(), film.sites):
        _log.warning("%s: an agent that seeks a target there begins with what is not known", fault)
    if film.sites is not None and (missing := float((~film.sites).mean())) > MOST_GAPS:
        raise ValueError(
            f"sites: {missing:.0%} of the film are missing, and of an image that holds nothing in "
            f"more than {MOST_GAPS:.0%} neither reader nor network can tell. Choose a larger shape"
        )
    publisher = Publisher(address)
    try:
        sample = SimulatedSample(
            film,
            publisher,
            component=component,
            settle_ps=settle_ps,
            imaging=imaging,
            field_calibration=field_calibration,
        )
    except ValueError:
        publisher.close()
        raise
    return assemble(
        sample,
        publisher,
        folder,
        model=model,
        envelope=envelope,
        ledger=ledger,
        spent=spent,
        storage=storage,
        metrics_port=metrics_port,
        timeout_s=timeout_s,
        check=check,
    )


def simulated_sample(
    frames: FrameSink,
    parameters: FilmParameters,
    *,
    start: str = "empty",
    device: Literal["cpu", "cuda"] = "cpu",
    field_calibration: float = 1.0,
    seed: int = 0,
) -> SimulatedSample:
    """A simulated film alone, for whoever puts another protocol before it; ``frames`` go there."""
    film = _film(parameters, start, device, None, None, seed)
    return SimulatedSample(film, frames, field_calibration=field_calibration)


def _film(
    parameters: FilmParameters,
    start: str,
    device: Literal["cpu", "cuda"],
    anisotropy_map: np.ndarray | None,
    sites: np.ndarray | None,
    seed: int,
) -> Film:
    small = Film(
        replace(parameters, rows=_SMALL, columns=_SMALL), precision="f4", device=device, threads=2
    )
    _compile(small)
    film = Film(
        parameters,
        precision="f4",
        device=device,
        threads=2,
        seed=seed,
        anisotropy_map=anisotropy_map,
        sites=sites,
    )
    begin(film, start, seed=seed)
    if start != "skyrmion":
        film.relax(torque_T=SETTLED_T)  # the DMI tilts its edges
    return film


def _compile(film: PulsedFilm) -> None:
    """Have a film do all that a shot does, so that its kernels are compiled before one begins."""
    for spot in (None, Spot(x=0.0, y=0.0, sigma=1.0)):  # each is compiled by itself
        for _ in film.frames(Pulse(width_ps=1.0, peak_ps=0.0, spot=spot), [0.0, 0.02]):
            pass
    film.relax(0.02, SETTLED_T)
    film.charge()
