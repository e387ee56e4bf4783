"""`skyctl simulate itinerant`: a lattice of spins whose torque a network predicts."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from skyctl.cli.common import (
    Device,
    Duration,
    Interval,
    JsonFile,
    PngFile,
    Theta,
    complaints,
    explained,
    values_checked,
    write_json,
)
from skyctl.cli.simulate.options import (
    Amplitude,
    Blur,
    Drift,
    LocalSpot,
    Noise,
    Peak,
    Phi,
    Photons,
    Pixels,
    Size,
    Start,
    Temperature,
    Width,
    camera_of,
    pulse_of,
)
from skyctl.cli.simulate.shot import Shot, fire

if TYPE_CHECKING:
    from skyctl.simulators.itinerant.film import ItinerantFilmParameters

Torque = Annotated[
    Path | None, typer.Option(help="The torque network (.onnx); left out: the shipped one.")
]

Damping = Annotated[
    float | None, typer.Option(help="Damping α of the film; left out: the film's own.")
]

Seed = Annotated[int, typer.Option(help="Other noise of film and camera.", min=0)]


def simulate_itinerant(
    torque: Torque = None,
    width: Width = 0.5,
    amplitude: Amplitude = 30.0,
    theta: Theta = 40.0,
    phi: Phi = 0.0,
    peak: Peak = 2.0,
    spot: LocalSpot = None,
    damping: Damping = None,
    size: Size = 48,
    start: Start = "skyrmion",
    duration: Duration = 12.0,
    interval: Interval = 2.0,
    device: Device = "cpu",
    temperature: Temperature = 0.0,
    noise: Noise = 0.0,
    photons: Photons = 0.0,
    blur: Blur = 0.0,
    pixels: Pixels = None,
    drift: Drift = None,
    seed: Seed = 0,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Fire one pulse at a film of the s-d magnet and print its movie, frame by frame.

    The film holds a periodic lattice of skyrmions or, with --start empty, is uniform. Its times
    are shorter than the atomistic film's, and the fields that move it stronger. What it does when
    nothing else is said takes a minute of a core.
    Example: skyctl simulate itinerant --amplitude 40 --png strip.png
    """
    from skyctl.inference.model import shipped_model
    from skyctl.inference.torque_network import SHIPPED_TORQUE, TorqueNetwork
    from skyctl.pulse import FrameSchedule
    from skyctl.simulators.itinerant.film import TorqueFilm

    with explained(), values_checked():
        shot = Shot(
            pulse_of(amplitude, width, theta, phi, peak, spot, (size, size)),
            FrameSchedule(duration_ps=duration, interval_ps=interval),
            camera_of(noise, photons, blur, pixels, drift, seed),
        )
        network = TorqueNetwork(torque or shipped_model(SHIPPED_TORQUE), device)
        parameters = _parameters(size, temperature, damping)
        film = TorqueFilm(network, parameters, seed=seed, device=device)
        if start == "skyrmion":
            with complaints.status("relaxing a lattice of skyrmions …"):
                film.set_skyrmion_lattice()
                film.relax(max_ps=5.0)
        filmed = fire(film, shot, shot.pulse, f"{shot.pulse} on an itinerant film")
        facts = {"film": parameters.as_dict(), "torque": asdict(network.card), "seed": seed}
        write_json(json_file, {**facts, **filmed.as_json()})
        filmed.draw(str(shot.pulse), png)


def _parameters(size: int, temperature: float, damping: float | None) -> "ItinerantFilmParameters":
    from skyctl.simulators.itinerant.film import ItinerantFilmParameters

    parameters = ItinerantFilmParameters(rows=size, columns=size, temperature_K=temperature)
    return parameters if damping is None else replace(parameters, damping=damping)
