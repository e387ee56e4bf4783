"""`skyctl simulate lattice`: the atomistic film, where skyrmions are written and switched."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer

from skyctl.cli.common import (
    Device,
    Duration,
    Interval,
    JsonFile,
    PngFile,
    Theta,
    console,
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
from skyctl.simulators.physics.schemes import Integrator

if TYPE_CHECKING:
    from skyctl.simulators.instrument.spread import DrawnSample
    from skyctl.simulators.lattice.film import Film, FilmParameters

Damping = Annotated[
    float | None, typer.Option(help="Damping α of the film; left out: 0.36, or the sample's.")
]

Periodic = Annotated[bool, typer.Option(help="Periodic instead of open edges.")]

Precision = Annotated[Literal["f8", "f4"], typer.Option(help="Double or single.")]

Threads = Annotated[int, typer.Option(help="CPU threads for the film.")]

IntegratorName = Annotated[
    Integrator,
    typer.Option(help="rk4 and dormand-prince: at 0 K, on the CPU."),
]

Pinning = Annotated[
    str | None,
    typer.Option(help="Defects: COUNT,STRENGTH,RADIUS (sites); K is 1 + STRENGTH times there."),
]

Resume = Annotated[
    Path | None,
    typer.Option(help="Start from the film in this file (see --save), with another pulse."),
]

Save = Annotated[
    Path | None, typer.Option(help="Write the film to this HDF5 file when the movie ends.")
]

Seed = Annotated[int, typer.Option(help="Other noise of film and camera, other defects.", min=0)]

SampleSeed = Annotated[
    int | None,
    typer.Option(help="Draw a sample: α, K, D, moment, field calibration.", min=0),
]


def simulate_lattice(
    context: typer.Context,
    width: Width = 28.0,
    amplitude: Amplitude = 2.0,
    theta: Theta = 40.0,
    phi: Phi = 0.0,
    peak: Peak = 40.0,
    spot: LocalSpot = None,
    damping: Damping = None,
    size: Size = 100,
    start: Start = "skyrmion",
    periodic: Periodic = False,
    duration: Duration = 165.0,
    interval: Interval = 15.0,
    precision: Precision = "f8",
    threads: Threads = 2,
    device: Device = "cpu",
    integrator: IntegratorName = "heun",
    temperature: Temperature = 0.0,
    pinning: Pinning = None,
    resume: Resume = None,
    save: Save = None,
    noise: Noise = 0.0,
    photons: Photons = 0.0,
    blur: Blur = 0.0,
    pixels: Pixels = None,
    drift: Drift = None,
    seed: Seed = 0,
    sample_seed: SampleSeed = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Fire one pulse at the atomistic film and print its movie, frame by frame.

    Says in the end what the pulse did, once the film has settled: breathing, switching, collapse.
    Example: skyctl simulate lattice --width 40 --theta 50 --png strip.png
    """
    from skyctl.pulse import FrameSchedule
    from skyctl.simulators.instrument.spread import DrawnSample
    from skyctl.simulators.lattice.files import check_target, load_film
    from skyctl.simulators.lattice.film import FilmParameters

    if resume:
        _refuse_options_of_the_film(context)
    with explained(), values_checked():
        shot = Shot(
            pulse_of(amplitude, width, theta, phi, peak, spot, size),
            FrameSchedule(duration_ps=duration, interval_ps=interval),
            camera_of(noise, photons, blur, pixels, drift, seed),
        )
        if save:
            check_target(save)
        if resume:
            film = load_film(resume, device=device, threads=threads)
            sample = DrawnSample(film.parameters)
        else:
            nominal = FilmParameters(size, size, periodic=periodic, temperature_K=temperature)
            sample = _sample(nominal, damping, sample_seed)
            film = _film(sample, start, pinning, precision, device, threads, integrator, seed)
        asked = {"sample_seed": sample_seed, "pinning": pinning, "start": str(resume or start)}
        _fire_and_keep(film, sample, shot, asked, save, json_file, png)


_OF_THE_FILM = {
    "damping",
    "size",
    "start",
    "periodic",
    "precision",
    "integrator",
    "temperature",
    "pinning",
    "sample_seed",
}


def _refuse_options_of_the_film(context: typer.Context) -> None:
    """An option that would change nothing, for the film in a file has its own, is misuse."""
    for option in context.command.params:
        given = str(context.get_parameter_source(str(option.name))).endswith("COMMANDLINE")
        if given and option.name in _OF_THE_FILM:
            raise typer.BadParameter(
                f"{option.opts[0]} changes nothing with --resume: the film in the file has its "
                "own; leave it out"
            )


def _sample(
    nominal: "FilmParameters", damping: float | None, sample_seed: int | None
) -> "DrawnSample":
    """The nominal film, or a sample that is drawn round it; a damping asked for is not drawn."""
    from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread

    spread = SampleSpread()
    if damping is not None:
        nominal, spread = replace(nominal, damping=damping), SampleSpread(damping=None)
    if sample_seed is None:
        return DrawnSample(nominal)
    sample = spread.draw(sample_seed, nominal)
    console.print(f"sample {sample_seed}: {sample}")
    return sample


def _film(
    sample: "DrawnSample",
    start: Start,
    pinning: Pinning,
    precision: Precision,
    device: Device,
    threads: Threads,
    integrator: IntegratorName,
    seed: Seed,
) -> "Film":
    from skyctl.simulators.lattice.film import Film

    film = Film(
        sample.parameters,
        precision=precision,
        device=device,
        threads=threads,
        integrator=integrator,
        seed=seed,
        anisotropy_map=_pinning(pinning, sample.parameters, seed),
    )
    if start == "skyrmion":
        film.set_skyrmion()
    return film


def _pinning(text: str | None, parameters: "FilmParameters", seed: int) -> np.ndarray | None:
    """Read "COUNT,STRENGTH,RADIUS" into an anisotropy map."""
    from skyctl.simulators.instrument.spread import pinning_map

    if text is None:
        return None
    try:
        count, strength, radius = text.split(",")
        numbers = int(count), float(strength), float(radius)
    except ValueError:
        raise ValueError(f"--pinning {text}: give COUNT,STRENGTH,RADIUS: 20,0.5,2") from None
    return pinning_map(parameters, *numbers, seed)


def _fire_and_keep(
    film: "Film",
    sample: "DrawnSample",
    shot: Shot,
    asked: dict[str, Any],
    save: Path | None,
    json_file: Path | None,
    png: Path | None,
) -> None:
    """Fire, film, name what happened; write the film, the result and the strip where asked to."""
    from skyctl.simulators.lattice.files import save_film

    before = film.spins
    filmed = fire(film, shot, sample.delivered(shot.pulse), str(shot.pulse))
    label = _process(film, before)
    console.print(f"[bold]{label}[/], once the film has settled")
    if save:
        save_film(film, save)
        console.print(f"film saved to {save}", soft_wrap=True)
    told = {**_facts(film, sample), **asked, **filmed.as_json(), "label": label}
    write_json(json_file, told)
    filmed.draw(f"{shot.pulse}\n{label}", png)


def _facts(film: "Film", sample: "DrawnSample") -> dict[str, Any]:
    """What the film is, as plain numbers and words."""
    return {
        "film": sample.parameters.as_dict(),
        "field_calibration": sample.field_calibration,
        "integrator": film.integrator,
        "precision": film.precision,
        "seed": film.seed,
    }


def _process(film: "Film", before: np.ndarray) -> str:
    """What the movie did to a film that was ``before``."""
    from skyctl.simulators.lattice.movies import MovieSpec, process_in

    shot = MovieSpec(film.parameters, [0.0], anisotropy_map=film.anisotropy_map)
    return process_in(shot, before, film.spins)
