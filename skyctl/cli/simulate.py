"""`skyctl simulate`: one shot, looked at and kept."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import typer
from rich.table import Table

from skyctl.cli.common import (
    Device,
    JsonFile,
    PngFile,
    Theta,
    complain,
    console,
    explained,
    faults,
    progress_bar,
    values_checked,
    write_json,
)
from skyctl.errors import SkyctlError
from skyctl.simulators.physics.schemes import Integrator

if TYPE_CHECKING:
    from skyctl.inference.torque_network import TorqueCard
    from skyctl.pulse import FrameSchedule, Pulse
    from skyctl.simulators.instrument.imaging import Imaging
    from skyctl.simulators.itinerant.film import TorqueFilm
    from skyctl.simulators.physics.film import PulsedFilm


def simulate(
    context: typer.Context,
    film_kind: Annotated[
        Literal["skyrmion", "sp4", "itinerant"],
        typer.Option(
            "--film",
            help="sp4: standard problem 4, a thin film with its stray field. itinerant: a lattice "
            "of spins whose torque a network predicts.",
        ),
    ] = "skyrmion",
    torque: Annotated[
        Path | None,
        typer.Option(help="itinerant: the torque network (.onnx); left out: the shipped one."),
    ] = None,
    field: Annotated[
        int, typer.Option(help="sp4: applied field 1 or 2 of the problem.", min=1, max=2)
    ] = 1,
    s_state: Annotated[
        Literal["own", "reference"], typer.Option(help="sp4: whose relaxed S-state to start from.")
    ] = "own",
    tolerance: Annotated[
        float, typer.Option(help="sp4: error that a step may leave in a component of m.")
    ] = 1e-4,
    width: Annotated[float, typer.Option(help="Pulse width t_w, ps.")] = 28.0,
    amplitude: Annotated[float, typer.Option(help="Peak field, T.")] = 2.0,
    theta: Theta = 40.0,
    phi: Annotated[float, typer.Option(help="Azimuth of the pulse, degrees.")] = 0.0,
    peak: Annotated[float, typer.Option(help="Time of the pulse's peak, ps.")] = 40.0,
    spot: Annotated[
        str | None, typer.Option(help="Local pulse: X,Y,SIGMA in sites; left out: whole film.")
    ] = None,
    damping: Annotated[
        float | None, typer.Option(help="Damping α of the film; left out: 0.36, or the sample's.")
    ] = None,
    size: Annotated[int, typer.Option(help="Sites along an edge.")] = 100,
    start: Annotated[
        Literal["skyrmion", "empty"], typer.Option(help="What the film holds before.")
    ] = "skyrmion",
    periodic: Annotated[bool, typer.Option(help="Periodic instead of open edges.")] = False,
    duration: Annotated[float, typer.Option(help="Length of the movie, ps.")] = 165.0,
    interval: Annotated[float, typer.Option(help="Between two frames, ps.")] = 15.0,
    precision: Annotated[Literal["f8", "f4"], typer.Option(help="Double or single.")] = "f8",
    threads: Annotated[int, typer.Option(help="CPU threads for the film.")] = 2,
    device: Device = "cpu",
    integrator: Annotated[
        Integrator,
        typer.Option(help="rk4 and dormand-prince: at 0 K, on the CPU."),
    ] = "heun",
    temperature: Annotated[float, typer.Option(help="Temperature of the film, K.")] = 0.0,
    pinning: Annotated[
        str | None,
        typer.Option(help="Defects: COUNT,STRENGTH,RADIUS (sites); K is 1 + STRENGTH times there."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Start from the film in this file (see --save), with another pulse."),
    ] = None,
    save: Annotated[
        Path | None, typer.Option(help="Write the film to this HDF5 file when the movie ends.")
    ] = None,
    noise: Annotated[
        float, typer.Option(help="Camera: readout noise, units of S_z (--png shows it).")
    ] = 0.0,
    photons: Annotated[
        float, typer.Option(help="Camera: counts of a pixel at S_z = +1; 0: no photon noise.")
    ] = 0.0,
    blur: Annotated[float, typer.Option(help="Camera: point spread, sigma in sites.")] = 0.0,
    pixels: Annotated[
        str | None, typer.Option(help="Camera: ROWSxCOLUMNS; left out: one pixel a site.")
    ] = None,
    drift: Annotated[
        str | None, typer.Option(help="Camera: motion of the image, X,Y in sites per ps.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Other noise of film and camera, other defects.", min=0)
    ] = 0,
    sample_seed: Annotated[
        int | None,
        typer.Option(help="Draw a sample: α, K, D, moment, field calibration.", min=0),
    ] = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Fire one pulse at a simulated film and print its movie, frame by frame.

    With --film sp4: switch the thin film of micromagnetic standard problem 4 for 1 ns and print
    <m> and its first zero crossing beside the reference series. Of the other options it takes
    --json and --png. Example: skyctl simulate --film sp4 --field 2 --png sp4.png

    With --film itinerant: pulse a periodic skyrmion lattice (or, --start empty, a uniform film) of
    the s-d magnet, whose times are shorter and fields stronger. Example:
    skyctl simulate --film itinerant --size 48 --amplitude 30 --width 0.5 --peak 2 --duration 12
    --interval 2
    """
    _refuse_useless_options(context, film_kind, resume)
    if film_kind == "sp4":
        _simulate_standard_problem(field, s_state, tolerance, json_file, png)
        return
    from skyctl.pictures import Strip, film_strip
    from skyctl.pulse import FrameSchedule, Pulse, Spot
    from skyctl.simulators.instrument.imaging import Imaging
    from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread
    from skyctl.simulators.lattice.files import check_target, load_film, save_film
    from skyctl.simulators.lattice.film import Film, FilmParameters

    try:
        place = None
        if spot:
            parts = spot.split(",")
            if len(parts) != 3:
                raise ValueError(f"--spot {spot}: give X,Y,SIGMA, three numbers in sites")
            x, y, sigma = (float(part) for part in parts)
            place = Spot(x=x, y=y, sigma=sigma)
            if not (0 <= x < size and 0 <= y < size):
                raise ValueError(f"--spot {spot}: its centre is off the film of {size} sites")
        pulse = Pulse(
            amplitude_T=amplitude, width_ps=width, theta_deg=theta, phi_deg=phi, peak_ps=peak,
            spot=place,
        )  # fmt: skip
        movie = FrameSchedule(duration_ps=duration, interval_ps=interval)
        imaging = Imaging(
            gaussian_noise=noise, photons=photons, blur_sites=blur, pixels=_pixels(pixels),
            drift_sites_per_ps=_drift(drift), seed=seed,
        )  # fmt: skip
        if film_kind == "itinerant":
            film = _itinerant_film(torque, size, damping, temperature, start, device, seed)
            _simulate_itinerant(*film, pulse, movie, imaging, json_file, png)
            return
        parameters = FilmParameters(
            rows=size, columns=size, periodic=periodic, temperature_K=temperature
        )
        if damping is not None:
            parameters = replace(parameters, damping=damping)
        sample = DrawnSample(parameters)
        if sample_seed is not None:
            spread = SampleSpread() if damping is None else SampleSpread(damping=None)
            sample = spread.draw(sample_seed, parameters)
            console.print(f"sample {sample_seed}: {sample}")
        if save:
            check_target(save)
        if resume:
            film = load_film(resume, device=device, threads=threads)
            sample = DrawnSample(film.parameters)
        else:
            film = Film(
                sample.parameters, precision=precision, device=device, threads=threads,
                integrator=integrator, seed=seed,
                anisotropy_map=_pinning(pinning, sample.parameters, seed),
            )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(faults(error)) from error
    except (SkyctlError, OSError, MemoryError) as error:
        complain(error)
        raise typer.Exit(1) from error
    with explained(), values_checked():
        if start == "skyrmion" and not resume:
            film.set_skyrmion()
        before = film.spins
        rows, images = _filmed(film, sample.delivered(pulse), movie, imaging, str(pulse))
        label = _process(film, before)
        console.print(f"[bold]{label}[/], once the film has settled")
        if save:
            save_film(film, save)
            console.print(f"film saved to {save}", soft_wrap=True)
        write_json(
            json_file,
            {
                "pulse": pulse.model_dump(),
                "film": sample.parameters.as_dict(),
                "field_calibration": sample.field_calibration,
                "imaging": imaging.model_dump(),
                "integrator": film.integrator,
                "precision": film.precision,
                "seed": film.seed,
                "sample_seed": sample_seed,
                "pinning": pinning,
                "start": str(resume) if resume else start,
                "frames": rows,
                "label": label,
            },
        )
        if png:
            film_strip([Strip(f"{pulse}\n{label}", images, _captions(movie))], png)


def _process(film: Any, before: Any) -> str:
    """What the movie did to a film that was ``before``."""
    from skyctl.simulators.lattice.movies import MovieSpec, process_in

    shot = MovieSpec(film.parameters, [0.0], anisotropy_map=film.anisotropy_map)
    return process_in(shot, before, film.spins)


def _filmed(
    film: "PulsedFilm", pulse: "Pulse", movie: "FrameSchedule", imaging: "Imaging", title: str
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """Fire and film, print the table of it; of each frame its numbers and its image."""
    table = Table("t (ps)", "<S_x>", "<S_y>", "<S_z>", "charge", title=title)
    rows, images = [], []
    with progress_bar("frames") as progress:
        bar = progress.add_task("simulating", total=len(movie.times_ps))
        frames = film.frames(pulse, movie.times_ps)
        for index, (time_ps, spins) in enumerate(zip(movie.times_ps, frames, strict=True)):
            mean, charge = [float(m) for m in spins.mean((1, 2))], film.charge()
            rows.append({"time_ps": time_ps, "mean_spin": mean, "charge": charge})
            table.add_row(f"{time_ps:g}", *(f"{m:+.3f}" for m in mean), f"{charge:+.3f}")
            images.append(imaging.image(spins, frame=index, time_ps=time_ps))
            progress.advance(bar)
    console.print(table)
    if movie.times_ps[-1] < pulse.peak_ps + 2 * pulse.width_ps:
        console.print("[yellow]the movie ends before the pulse does[/]")
    return rows, images


def _captions(movie: "FrameSchedule") -> list[str]:
    return [f"{time_ps:g} ps" for time_ps in movie.times_ps]


def _itinerant_film(
    torque: Path | None,
    size: int,
    damping: float | None,
    temperature: float,
    start: Literal["skyrmion", "empty"],
    device: Literal["cpu", "cuda"],
    seed: int,
) -> tuple["TorqueFilm", "TorqueCard"]:
    from skyctl.inference.model import shipped_model
    from skyctl.inference.torque_network import SHIPPED_TORQUE, TorqueNetwork
    from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm

    network = TorqueNetwork(torque or shipped_model(SHIPPED_TORQUE), device)
    parameters = ItinerantFilmParameters(rows=size, columns=size, temperature_K=temperature)
    if damping is not None:
        parameters = replace(parameters, damping=damping)
    film = TorqueFilm(network, parameters, seed=seed, device=device)
    if start == "skyrmion":
        film.set_skyrmion_lattice()
        film.relax(max_ps=5.0)
    return film, network.card


def _simulate_itinerant(
    film: "TorqueFilm",
    card: "TorqueCard",
    pulse: "Pulse",
    movie: "FrameSchedule",
    imaging: "Imaging",
    json_file: Path | None,
    png: Path | None,
) -> None:
    from skyctl.pictures import Strip, film_strip

    with explained():
        rows, images = _filmed(film, pulse, movie, imaging, f"{pulse} on an itinerant film")
        write_json(
            json_file,
            {
                "pulse": pulse.model_dump(),
                "film": film.parameters.as_dict(),
                "torque": asdict(card),
                "imaging": imaging.model_dump(),
                "seed": film.seed,
                "frames": rows,
            },
        )
        if png:
            film_strip([Strip(str(pulse), images, _captions(movie))], png)


_SP4_OPTIONS = {"field", "s_state", "tolerance"}

_SHARED_OPTIONS = {"film_kind", "json_file", "png"}

_ITINERANT_OPTIONS = {
    "torque", "width", "amplitude", "theta", "phi", "peak", "spot", "damping", "size", "start",
    "duration", "interval", "device", "temperature", "noise", "photons", "blur", "pixels", "drift",
    "seed",
}  # fmt: skip

_FILM_OPTIONS = {
    "damping", "size", "start", "periodic", "precision", "integrator", "temperature", "pinning",
    "sample_seed",
}  # fmt: skip


def _refuse_useless_options(context: typer.Context, film_kind: str, resume: Path | None) -> None:
    """An option that would change nothing is misuse."""
    for option in context.command.params:
        name = str(option.name)
        if not str(context.get_parameter_source(name)).endswith("COMMANDLINE"):
            continue
        if name not in _SHARED_OPTIONS and not _used_by(name, film_kind):
            why = f"with --film {film_kind}"
        elif resume and name in _FILM_OPTIONS:
            why = "with --resume: the film in the file has its own"
        else:
            continue
        raise typer.BadParameter(f"{option.opts[0]} changes nothing {why}; leave it out")


def _used_by(option: str, film_kind: str) -> bool:
    if film_kind == "sp4":
        return option in _SP4_OPTIONS
    if film_kind == "itinerant":
        return option in _ITINERANT_OPTIONS
    return option not in _SP4_OPTIONS and option != "torque"


def _simulate_standard_problem(
    field: int,
    start: Literal["own", "reference"],
    tolerance: float,
    json_file: Path | None,
    png: Path | None,
) -> None:
    from skyctl.simulators.thin.standard_problem import reference_series, run_standard_problem

    with explained():
        with progress_bar("frames") as progress:
            bar = progress.add_task("simulating", total=len(reference_series(field)[0]))
            try:
                run = run_standard_problem(field, start, tolerance, lambda: progress.advance(bar))
            except ValueError as error:
                raise typer.BadParameter(str(error)) from error
        table = Table(
            "t (ps)", "<m_x>", "<m_y>", "<m_z>", "reference <m_x>", "<m_y>", "<m_z>",
            title=f"standard problem 4, field {field}, from the {start} S-state",
        )  # fmt: skip
        for time_ps, mean, reference in zip(
            run.times_ps[::5], run.mean[::5], run.reference[::5], strict=True
        ):
            table.add_row(f"{time_ps:g}", *(f"{m:+.4f}" for m in (*mean, *reference)))
        console.print(table)
        console.print(
            f"largest difference of <m> {run.difference:.2g} over {run.times_ps[-1]:g} ps; <m_x> "
            f"crosses 0 at {run.crossing_ps:.2f} ps (reference {run.reference_crossing_ps:.2f} ps)"
            f"\n{run.demag_evaluations} demagnetising fields, {run.rate_evaluations} rates, "
            f"tolerance {tolerance:g}"
        )
        write_json(json_file, run.as_json())
        if png:
            from skyctl.pictures import standard_problem

            standard_problem([run], png)


def _pinning(text: str | None, parameters: Any, seed: int) -> np.ndarray | None:
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


def _pixels(text: str | None) -> tuple[int, int] | None:
    """Read "ROWSxCOLUMNS"."""
    if text is None:
        return None
    try:
        rows, columns = (int(side) for side in text.lower().split("x"))
    except ValueError:
        raise ValueError(f"--pixels {text}: give ROWSxCOLUMNS, two whole numbers") from None
    return rows, columns


def _drift(text: str | None) -> tuple[float, float]:
    """Read "X,Y"."""
    if text is None:
        return 0.0, 0.0
    try:
        x, y = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"--drift {text}: give X,Y, two numbers in sites per ps") from None
    return x, y
