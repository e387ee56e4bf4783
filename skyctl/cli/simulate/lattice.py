"""`skyctl simulate lattice`: the atomistic film, where skyrmions are written and switched."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from skyctl.cli.common import (
    Device,
    Duration,
    FilmStart,
    Interval,
    JsonFile,
    PngFile,
    Theta,
    console,
    explained,
    values_checked,
    write_json,
)
from skyctl.cli.simulate.lattice_film import (
    Damping,
    FilmName,
    FilmOptions,
    FilmSize,
    IntegratorName,
    Layer,
    Periodic,
    Pinning,
    Precision,
    Resume,
    SampleSeed,
    Seed,
    Settings,
    ShapeOfFilm,
    Threads,
    refuse_options_of_the_file,
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
    Temperature,
    Width,
    camera_of,
    pulse_of,
)
from skyctl.cli.simulate.rare_pulse import (
    CurrentOption,
    RareOptions,
    SecondOption,
    WaveformOption,
)
from skyctl.cli.simulate.shot import Shot, fire

if TYPE_CHECKING:
    from skyctl.simulators.instrument.spread import DrawnSample
    from skyctl.simulators.lattice.film import Film

Save = Annotated[
    Path | None,
    typer.Option(help="Write the film when the movie ends: all of it (.h5), or its spins (.ovf)."),
]


def simulate_lattice(
    context: typer.Context,
    width: Width = 28.0,
    amplitude: Amplitude = 2.0,
    theta: Theta = 40.0,
    phi: Phi = 0.0,
    peak: Peak = 40.0,
    spot: LocalSpot = None,
    waveform: WaveformOption = None,
    current: CurrentOption = None,
    second: SecondOption = None,
    damping: Damping = None,
    name: FilmName = "paper",
    size: FilmSize = None,
    settings: Settings = None,
    shape: ShapeOfFilm = None,
    start: FilmStart = "skyrmion",
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
    layer: Layer = None,
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
    Another: skyctl simulate lattice --resume relaxed.omf --width 8 --save after.ovf
    A Néel film in a disc: skyctl simulate lattice --set dmi_meV=0 --set interfacial_dmi_meV=0.24
    --shape disc:45
    """
    from skyctl.pulse import FrameSchedule
    from skyctl.simulators.lattice.states import check_state_target

    if resume:
        refuse_options_of_the_file(context, resume)
    options = FilmOptions(
        name, size, settings, shape, start, periodic, damping, temperature, pinning, sample_seed,
        resume,
        layer, precision, integrator, device, threads, seed,
    )  # fmt: skip
    with explained(), values_checked():
        camera = camera_of(noise, photons, blur, pixels, drift, seed)
        movie = FrameSchedule(duration_ps=duration, interval_ps=interval)
        if save:
            check_state_target(save)
        film, sample = options.film()
        sides = film.parameters.rows, film.parameters.columns
        pulse = pulse_of(amplitude, width, theta, phi, peak, spot, sides)
        pulse = RareOptions(waveform, current, second).added_to(pulse)
        shot = Shot(pulse, movie, camera)
        asked = {
            "sample_seed": sample_seed, "pinning": pinning, "shape": shape,
            "start": str(resume or start),
        }  # fmt: skip
        _fire_and_keep(film, sample, shot, asked, save, json_file, png)


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
    from skyctl.simulators.lattice.states import save_state

    before = film.spins
    filmed = fire(film, shot, sample.delivered(shot.pulse), str(shot.pulse))
    label = _process(film, before)
    console.print(f"[bold]{label}[/], once the film has settled")
    if save:
        save_state(film, save)
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

    shot = MovieSpec(film.parameters, [0.0], anisotropy_map=film.anisotropy_map, sites=film.sites)
    return process_in(shot, before, film.spins)
