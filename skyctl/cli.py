"""The `skyctl` command. Exit status: 0 done, 1 failed, 2 misused."""

import contextlib
import datetime
import json
import logging
import os
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from skyctl import __version__
from skyctl.errors import SkyctlError

app = typer.Typer(
    name="skyctl",
    help="Bluesky plans that choose the next pulse from a movie of the sample.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
train_app = typer.Typer(help="Train a shipped model again.", no_args_is_help=True)
bench_app = typer.Typer(
    help="Measure speed, beside a floor measured in the same run.", no_args_is_help=True
)
app.add_typer(train_app, name="train")
app.add_typer(bench_app, name="bench")

console = Console(width=None if sys.stdout.isatty() else 110)
complaints = Console(stderr=True)

JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the result to this file.", dir_okay=False)
]
PngFile = Annotated[
    Path | None,
    typer.Option("--png", help="Draw the result into this file.", callback=lambda p: _png(p)),
]
ModelFile = Annotated[
    Path | None, typer.Option("--model", help="Classifier (.onnx); left out: the shipped one.")
]
Provider = Annotated[
    Literal["cpu", "cuda"], typer.Option(help="What runs the classifier; no silent fall-back.")
]
Device = Annotated[Literal["cpu", "cuda"], typer.Option(help="What runs the simulated film.")]
Theta = Annotated[
    float, typer.Option(help="Polar angle of the pulse, degrees.", callback=lambda a: _angle(a))
]


@app.callback(invoke_without_command=True)
def _main(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what happens.")] = False,
) -> None:
    logging.basicConfig(level=logging.INFO if verbose else logging.ERROR)
    if version:
        console.print(f"skyctl {__version__}")
        raise typer.Exit


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn an expected failure, or an interrupt, into one line and exit status 1."""
    try:
        yield
    except (SkyctlError, OSError, MemoryError) as error:
        _complain(error)
        raise typer.Exit(1) from error
    except KeyboardInterrupt as error:
        _complain("interrupted")
        raise typer.Exit(1) from error


@contextlib.contextmanager
def _values_checked() -> Iterator[None]:
    """Turn the refusal of a value into misuse: exit status 2."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(_faults(error)) from error


def _complain(what: object) -> None:
    complaints.print(f"[bold red]error:[/] {escape(str(what))}", highlight=False, soft_wrap=True)


def _faults(error: ValueError) -> str:
    """What is wrong with the values given, without pydantic's own words."""
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())


def _png(path: Path | None) -> Path | None:
    if path and path.suffix.lower() != ".png":
        raise typer.BadParameter(f"{path}: give a name that ends in .png")
    return path


def _angle(value: float) -> float:
    if not np.isfinite(value):
        raise typer.BadParameter(f"{value}: give a finite angle in degrees")
    return value


def _numbers(text: str, name: str) -> list[float]:
    """Read "a:b:step" (b included) or "a,b,c". Misuse ends the command with status 2."""
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            if step <= 0 or last < first:
                raise ValueError
            count = int(np.floor((last - first) / step + 1e-9)) + 1
            values = [round(first + i * step, 9) for i in range(count)]
        else:
            values = [float(part) for part in text.split(",")]
        if not np.isfinite(values).all() or min(values) <= 0:
            raise ValueError
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give FIRST:LAST:STEP or A,B,C, numbers above 0", param_hint=name
        ) from None
    return values


def _write_json(path: Path | None, content: Any) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2) + "\n")


def _bar(unit: str) -> Progress:
    return Progress(
        TextColumn("[progress.description]{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeRemainingColumn(),
        console=complaints,
    )


def _pinning(text: str | None, parameters: Any, seed: int) -> np.ndarray | None:
    """Read "COUNT,STRENGTH,RADIUS" into an anisotropy map."""
    from skyctl.simulators.spread import pinning_map

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


@app.command()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the recording; left out: runs/demo-TIME.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Other first guesses, another place to write.")] = 0,
    json_file: JsonFile = None,
    model: ModelFile = None,
    provider: Provider = "cpu",
    device: Device = "cpu",
) -> None:
    """Write a skyrmion into an empty simulated film, switch its polarity, erase it.

    A Bluesky RunEngine runs it; every pulse is chosen from what the classifier saw in the streamed
    movie after the one before. The run is recorded to NeXus/HDF5, catalogued by an embedded Tiled
    server and drawn as a film strip. The true charge is the simulator's and for your eyes only: the
    agent sees verdicts and what the camera shows of the film at rest.
    """
    from skyctl.demo import ShotRow, Watch, run_demo
    from skyctl.pictures import film_strip, recorded_strips
    from skyctl.recording.reader import Recording
    from skyctl.verdict import Verdict

    now = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = out or Path("runs") / f"demo-{now}"
    table = Table("task", "pulse", "verdict", "film at rest", "true charge", "latency")
    status = Text("starting: compiling the film's kernels, opening the catalogue …")

    def shot(row: ShotRow) -> None:
        table.add_row(
            row.task,
            row.pulse,
            f"{row.label} {row.confidence:.2f}",
            row.at_rest,
            f"{row.charge:+.2f}",
            f"{row.latency_ms:.2f} ms",
        )

    def frame(verdict: Verdict) -> None:
        best = int(np.argmax(verdict.probabilities))
        status.plain = (
            f"frame {verdict.index + 1:2d}  {verdict.movie_time_ps:5.0f} ps  "
            f"{verdict.classes[best]} {verdict.probabilities[best]:.2f}"
        )

    # Its own account of an abort is a traceback; ours is one line.
    logging.getLogger("bluesky").setLevel(logging.CRITICAL)
    with _explained():
        with Live(Group(table, status), console=console, refresh_per_second=8):
            result = run_demo(
                folder,
                seed=seed,
                model=model,
                provider=provider,
                device=device,
                watch=Watch(shot=shot, frame=frame),
            )
            status.plain = ""
        _write_json(json_file, result.as_json())
        if result.interrupted:
            complaints.print(
                f"interrupted; the pulser is disarmed. Recorded so far: {result.recording}"
            )
            raise typer.Exit(1)
        for task in result.tasks:
            done = "[green]reached[/]" if task["reached"] else f"[red]{task['reason']}[/]"
            console.print(f"{task['task']:>7}: {done}, pulses: {task['pulses']}")
        strip = folder / "film-strip.png"
        with Recording(result.recording) as recording:
            film_strip(recorded_strips(recording), strip)
        numbers = result.as_json()
        console.print(
            f"{result.frames} frames, {result.lost_frames} lost; receive to verdict "
            f"{numbers['latency_ms']['p50']:.2f} ms (p50), "
            f"{numbers['latency_ms']['p99']:.2f} ms (p99) on {result.provider}\n"
            f"recording  {result.recording}\nfilm strip {strip.resolve()}\n"
            f"catalogue  {folder.resolve() / 'catalog'}, run {result.run_uid}, validated",
            soft_wrap=True,
        )
    if not result.reached:
        raise typer.Exit(1)


@app.command()
def simulate(
    context: typer.Context,
    film_kind: Annotated[
        Literal["skyrmion", "sp4"],
        typer.Option("--film", help="sp4: standard problem 4, a thin film with its stray field."),
    ] = "skyrmion",
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
        Literal["heun", "midpoint", "depondt", "rk4", "dormand-prince"],
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
    """
    _refuse_useless_options(context, film_kind, resume)
    if film_kind == "sp4":
        _simulate_standard_problem(field, s_state, tolerance, json_file, png)
        return
    from skyctl.pictures import Strip, film_strip
    from skyctl.pulse import Movie, Pulse, Spot
    from skyctl.simulators.film import Film, FilmParameters
    from skyctl.simulators.imaging import Imaging
    from skyctl.simulators.spread import Sample, SampleSpread
    from skyctl.simulators.state import check_target, load_film, save_film
    from skyctl.simulators.topology import process_label, topological_charge

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
        movie = Movie(duration_ps=duration, interval_ps=interval)
        imaging = Imaging(
            gaussian_noise=noise, photons=photons, blur_sites=blur, pixels=_pixels(pixels),
            drift_sites_per_ps=_drift(drift), seed=seed,
        )  # fmt: skip
        parameters = FilmParameters(
            rows=size, columns=size, periodic=periodic, temperature_K=temperature
        )
        if damping is not None:
            parameters = replace(parameters, damping=damping)
        sample = Sample(parameters)
        if sample_seed is not None:
            spread = SampleSpread() if damping is None else SampleSpread(damping=None)
            sample = spread.draw(sample_seed, parameters)
            console.print(f"sample {sample_seed}: {sample}")
        if save:
            check_target(save)
        if resume:
            film = load_film(resume, device=device, threads=threads)
            sample = Sample(film.parameters)
        else:
            film = Film(
                sample.parameters, precision=precision, device=device, threads=threads,
                integrator=integrator, seed=seed,
                anisotropy_map=_pinning(pinning, sample.parameters, seed),
            )  # fmt: skip
    except ValueError as error:
        raise typer.BadParameter(_faults(error)) from error
    except (SkyctlError, OSError, MemoryError) as error:
        _complain(error)
        raise typer.Exit(1) from error
    table = Table("t (ps)", "<S_x>", "<S_y>", "<S_z>", "charge", title=str(pulse))
    rows, images = [], []
    with _explained(), _values_checked():
        if start == "skyrmion" and not resume:
            film.set_skyrmion()
        spins = before = film.spins
        with _bar("frames") as progress:
            bar = progress.add_task("simulating", total=len(movie.times_ps))
            frames = film.frames(sample.delivered(pulse), movie.times_ps)
            for index, (time_ps, spins) in enumerate(zip(movie.times_ps, frames, strict=True)):
                mean = [float(m) for m in spins.mean((1, 2))]
                charge = topological_charge(spins)
                rows.append({"time_ps": time_ps, "mean_spin": mean, "charge": charge})
                table.add_row(f"{time_ps:g}", *(f"{m:+.3f}" for m in mean), f"{charge:+.3f}")
                images.append(imaging.image(spins, frame=index, time_ps=time_ps))
                progress.advance(bar)
        label = process_label(before, spins)
        console.print(table)
        console.print(f"[bold]{label}[/], from the last frame")
        if movie.times_ps[-1] < pulse.peak_ps + 2 * pulse.width_ps:
            console.print("[yellow]the movie ends before the pulse does[/]")
        if save:
            save_film(film, save)
            console.print(f"film saved to {save}", soft_wrap=True)
        _write_json(
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
            captions = [f"{time_ps:g} ps" for time_ps in movie.times_ps]
            film_strip([Strip(f"{pulse}\n{label}", images, captions)], png)


_SP4_OPTIONS = {"field", "s_state", "tolerance"}
_SHARED_OPTIONS = {"film_kind", "json_file", "png"}
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
        if name not in _SHARED_OPTIONS and (name in _SP4_OPTIONS) != (film_kind == "sp4"):
            why = f"with --film {film_kind}"
        elif resume and name in _FILM_OPTIONS:
            why = "with --resume: the film in the file has its own"
        else:
            continue
        raise typer.BadParameter(f"{option.opts[0]} changes nothing {why}; leave it out")


def _simulate_standard_problem(
    field: int,
    start: Literal["own", "reference"],
    tolerance: float,
    json_file: Path | None,
    png: Path | None,
) -> None:
    from skyctl.simulators.standard_problem import reference_series, run_standard_problem

    with _explained():
        with _bar("frames") as progress:
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
        _write_json(json_file, run.as_json())
        if png:
            from skyctl.pictures import standard_problem

            standard_problem([run], png)


@app.command()
def movies(
    out: Annotated[Path, typer.Argument(help="HDF5 file; if it is there, it is gone on with.")],
    count: Annotated[int, typer.Option(help="Movies in the file when done.", min=1)] = 64,
    seed: Annotated[
        int, typer.Option(help="Seed of the first sample and pulse; the next ones count on.", min=0)
    ] = 0,
    duration: Annotated[float, typer.Option(help="Length of each movie, ps.")] = 165.0,
    interval: Annotated[float, typer.Option(help="Between two frames, ps.")] = 15.0,
    temperature: Annotated[float, typer.Option(help="Temperature of the films, K.")] = 0.0,
    device: Device = "cpu",
) -> None:
    """Film random pulses at random samples, on all cores or a GPU, into one file.

    Samples differ in α, K, D, moment and field calibration, pulses in B0 (1-3 T), θ (20-60°) and
    t_w (4-48 ps). Each S_z movie is written with its sample, pulse and true process as soon as it
    is done: interrupt it, and run the same command again to go on.
    """
    from skyctl.pulse import Movie
    from skyctl.simulators.film import FilmParameters
    from skyctl.simulators.movies import Shot, simulate_batch
    from skyctl.simulators.spread import PulseSpread, SampleSpread
    from skyctl.simulators.state import MovieFile
    from skyctl.simulators.topology import process_label

    try:
        times_ps = Movie(duration_ps=duration, interval_ps=interval).times_ps
        film = FilmParameters(temperature_K=temperature)
    except ValueError as error:
        raise typer.BadParameter(_faults(error)) from error
    attributes = {"seed": seed, "times_ps": times_ps, "temperature_K": temperature}

    def look(_: Shot, frames: Iterator[np.ndarray]) -> tuple[np.ndarray, str]:
        movie = list(frames)
        return np.stack([spins[2] for spins in movie]), process_label(movie[0], movie[-1])

    with (
        _explained(),
        MovieFile(out, (len(times_ps), film.rows, film.columns), attributes) as file,
        _bar("movies") as progress,
    ):
        seeds = range(seed + len(file), seed + count)
        bar = progress.add_task("simulating", total=count, completed=len(file))
        samples = [SampleSpread().draw(i, film) for i in seeds]
        pulses = [PulseSpread().draw(i) for i in seeds]
        shots = [
            Shot(sample.parameters, times_ps, sample.delivered(pulse), seed=i)
            for i, sample, pulse in zip(seeds, samples, pulses, strict=True)
        ]
        with contextlib.closing(simulate_batch(shots, look, device=device)) as done:
            for (movie, label), sample, pulse in zip(done, samples, pulses, strict=True):
                facts = {
                    "film": sample.parameters.as_dict(),
                    "field_calibration": sample.field_calibration,
                    "pulse": pulse.model_dump(),
                    "label": label,
                }
                file.append(movie, facts)
                progress.advance(bar)
        labels = Counter(facts["label"] for _, facts in file)
    table = Table("process", "movies", title=str(out))
    for label, number in labels.most_common():
        table.add_row(label, str(number))
    console.print(table)


@app.command()
def diagram(
    theta: Theta = 40.0,
    widths: Annotated[
        str, typer.Option(help="Pulse widths, ps: FIRST:LAST:STEP or A,B,C.")
    ] = "4:48:4",
    alphas: Annotated[
        str, typer.Option(help="Damping values: A,B,C or FIRST:LAST:STEP.")
    ] = "0.04,0.08,0.12,0.20,0.28,0.36,0.44,0.52,0.60",
    duration: Annotated[float, typer.Option(help="Length of each movie, ps.")] = 165.0,
    interval: Annotated[float, typer.Option(help="Between two frames, ps.")] = 15.0,
    model: ModelFile = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Map what a 2 T pulse does to a skyrmion over pulse width and damping.

    Each cell is one simulated shot, named twice: by topology (the truth) and by the classifier,
    from S_z frames alone. B breathing, S switching, C collapse; M is mixed (several skyrmions or
    domains are left) in the truth, and no verdict of the classifier, which was not trained on it.
    """
    from skyctl import pictures
    from skyctl.diagram import process_diagram
    from skyctl.pulse import Movie

    columns, rows = _numbers(widths, "--widths"), _numbers(alphas, "--alphas")
    try:
        movie = Movie(duration_ps=duration, interval_ps=interval)
    except ValueError as error:
        raise typer.BadParameter(_faults(error)) from error
    with _explained():
        with _bar("cells") as progress:
            bar = progress.add_task("simulating", total=len(columns) * len(rows))
            result = process_diagram(
                theta, columns, rows, movie, model, lambda: progress.advance(bar)
            )
        table = Table("α", "truth", "classifier", title=f"θ = {theta:g}°, t_w {widths} ps")
        for alpha, truth, named in zip(rows, result.truth, result.classifier, strict=True):
            table.add_row(f"{alpha:g}", " ".join(truth), " ".join(named))
        console.print(table)
        agree, cells = result.agreement
        unnamed, mixed = result.abstention
        console.print(
            f"classifier as the truth in {agree} of {cells} B, S and C cells; it abstains in "
            f"{unnamed} of {mixed} mixed ones"
        )
        _write_json(
            json_file,
            {
                "theta": result.theta,
                "widths": result.widths,
                "alphas": result.alphas,
                "truth": result.truth,
                "classifier": result.classifier,
            },
        )
        if png:
            pictures.process_diagram(result, png)


@app.command()
def verify(
    full: Annotated[
        bool,
        typer.Option("--full/--quick", help="Also what takes minutes: SP4, the Curie point."),
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only checks whose names begin so, whatever they take; repeatable."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check the simulator against closed forms, other programs and itself: one figure each.

    Ends with status 0 when every check that this machine can do passes, else 1.
    Example: skyctl verify --only order --only energy-drift
    """
    from skyctl.simulators.verification import Outcome, choose

    try:
        checks = choose(full, only or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--only") from error
    name = Column("check", no_wrap=True)
    table = Table(name, "what", "measured", "expected", "source", "")
    outcomes: list[Outcome] = []
    with _explained():
        with _bar("checks") as progress:
            bar = progress.add_task("measuring", total=len(checks))
            for check in checks:
                progress.update(bar, description=check.name)
                outcome = check.run()
                outcomes.append(outcome)
                table.add_row(*_check_row(outcome))
                progress.advance(bar)
        console.print(table)
        _write_json(json_file, [outcome.as_json() for outcome in outcomes])
    failed = [outcome.check.name for outcome in outcomes if outcome.passed is False]
    passed = sum(outcome.passed is True for outcome in outcomes)
    skipped = len(outcomes) - passed - len(failed)
    console.print(
        f"{passed} passed, {len(failed)} failed, {skipped} that this machine cannot do; "
        f"{sum(outcome.seconds for outcome in outcomes):.0f} s"
    )
    if failed:
        complaints.print(f"[bold red]failed:[/] {', '.join(failed)}")
        raise typer.Exit(1)


def _check_row(outcome: Any) -> tuple[str, ...]:
    check = outcome.check
    if outcome.missing:
        measured, verdict = outcome.missing, "[yellow]–[/]"
    else:
        measured = f"{outcome.measured:.6g} {check.unit}"
        verdict = "[green]pass[/]" if outcome.passed else "[bold red]FAIL[/]"
    expected = f"{check.expected:.6g} ± {check.tolerance:.2g}" if check.tolerance else "0"
    return check.name, check.what, measured, expected, check.source, verdict


def _shot_numbers(text: str | None) -> list[int] | None:
    """Read "3,5-8", both ends included. Misuse ends the command with status 2."""
    if text is None:
        return None
    numbers: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.partition("-")
            span = range(int(first), int(last or first) + 1)
            if not span or len(span) > 1_000_000:
                raise ValueError
            numbers.extend(span)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r}: give numbers and FIRST-LAST, as in 3,5-8; the first shot is 0",
            param_hint="--shots",
        ) from None
    return numbers


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A recording (.h5) that skyctl wrote.")],
    model: ModelFile = None,
    provider: Provider = "cpu",
    rate: Annotated[float | None, typer.Option(help="Frames a second.", min=0.1, max=1e6)] = None,
    as_recorded: Annotated[
        bool, typer.Option("--as-recorded", help="At the times the source sent them.")
    ] = False,
    fastest: Annotated[
        bool, typer.Option("--max", help="As fast as they are taken (also when nothing is said).")
    ] = False,
    shots: Annotated[
        str | None, typer.Option(help="Only these, as in 3,5-8; the first shot is 0.")
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(help="Publish here, tcp://127.0.0.1:PORT say, and classify nothing."),
    ] = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Stream a recording through the same hub and classifier and compare the verdicts.

    Ends with status 0 when every verdict comes out as recorded, bit for bit, else 1; with another
    model (--model) too, and lists where the two differ. With --to it is a source for a hub or
    beamline that connects there, and ends with 0 when everything was taken.
    Example: skyctl replay RUN.h5 --as-recorded --shots 0-3 --model other.onnx --json r.json
    """
    if sum((rate is not None, as_recorded, fastest)) > 1:
        raise typer.BadParameter("choose one of --rate, --as-recorded and --max")
    if to and (model or png):
        raise typer.BadParameter("--to classifies and draws nothing: leave --model and --png out")
    numbers = _shot_numbers(shots)
    pace: Any = rate or ("recorded" if as_recorded else "max")
    if to:
        _publish_recording(file, to, pace, numbers, json_file)
        return
    from skyctl.inference.model import MovieClassifier
    from skyctl.pictures import film_strip, recorded_strips
    from skyctl.recording.reader import Recording
    from skyctl.recording.replay import ReplayedShot
    from skyctl.recording.replay import replay as run

    table = Table("shot", "name", "frames", "recorded", "replayed", "identical verdicts")

    def add(shot: ReplayedShot) -> None:
        table.add_row(
            str(shot.number),
            shot.result.shot[:8],
            str(shot.result.counts.received),
            shot.recorded_label or "(look)",
            shot.result.label or "(look)",
            f"{shot.identical} of {shot.recorded_verdicts}",
        )

    with _explained(), Recording(file) as recording:
        with _bar("shots") as progress:
            bar = progress.add_task("replaying", total=len(numbers or recording.starts))

            def done(shot: ReplayedShot) -> None:
                add(shot)
                progress.advance(bar)

            report = run(recording, MovieClassifier(model, provider), pace, numbers, done)
        console.print(table)
        if not report.same_model:
            console.print("[yellow]the recording was made with another model than this one[/]")
        if png:
            film_strip(recorded_strips(recording), png)
        _write_json(json_file, report.as_json())
    _show_jitter(report.frames, report.seconds, report.jitter_ms)
    if not report.identical:
        _show_differences(report)
        complaints.print("[bold red]the verdicts differ from the recorded ones[/]")
        raise typer.Exit(1)
    verdicts = sum(shot.verdicts for shot in report.shots)
    console.print(f"{verdicts} verdicts, all as recorded, bit for bit")


_LISTED_DIFFERENCES = 20


def _show_differences(report: Any) -> None:
    """The first verdicts that differ, a line each; all of them are in the JSON."""
    table = Table("shot", "frame", "recorded", "replayed", "largest |Δp|", title="differences")
    found = [(shot.number, each) for shot in report.shots for each in shot.differences]
    for number, each in found[:_LISTED_DIFFERENCES]:
        sides = [
            "no verdict" if said is None else said.label or "(abstains)"
            for said in (each.recorded, each.replayed)
        ]
        change = "-"
        if each.recorded and each.replayed:
            pair = (each.recorded.probabilities, each.replayed.probabilities)
            if len(pair[0]) == len(pair[1]):
                change = f"{np.abs(np.subtract(*pair)).max():.2g}"
        table.add_row(str(number), str(each.frame), *sides, change)
    console.print(table)
    if len(found) > _LISTED_DIFFERENCES:
        console.print(f"and {len(found) - _LISTED_DIFFERENCES} more; --json FILE has them all")


def _show_jitter(frames: int, seconds: float, jitter_ms: dict[str, float] | None) -> None:
    told = f"{frames} frames in {seconds:.2f} s"
    if jitter_ms:
        told += (
            f"; off their time by {jitter_ms['p50']:.2f} ms (p50), {jitter_ms['p99']:.2f} ms (p99)"
        )
    console.print(told)


def _publish_recording(
    file: Path, to: str, pace: Any, numbers: list[int] | None, json_file: Path | None
) -> None:
    """`skyctl replay --to`: be the source of the frame stream at an address."""
    from skyctl.recording.reader import Recording
    from skyctl.recording.replay import publish
    from skyctl.stream.publisher import Publisher

    with _explained(), Recording(file) as recording, _bar("shots") as progress:
        bar = progress.add_task("sending", total=len(numbers or recording.starts))
        publisher = Publisher(to)
        try:
            sent = publish(recording, publisher, pace, numbers, lambda _: progress.advance(bar))
        finally:
            publisher.close()
        _write_json(json_file, vars(sent))
    _show_jitter(sent.frames, sent.seconds, sent.jitter_ms)


@app.command()
def recover(
    file: Annotated[Path, typer.Argument(help="A recording (.h5) that was never closed, or cut.")],
    out: Annotated[
        Path | None, typer.Option(help="The new file; left out: FILE-recovered.h5.", dir_okay=False)
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Copy what is whole in a damaged recording into a plain one; the original is not touched.

    After a kill of its writer, or of a copy that was cut short. Says how many shots and frames are
    whole and which were cut. Ends with status 0 when the new file is written, or when there is
    nothing to do. Example: skyctl recover runs/demo-TIME/RUN.h5
    """
    from skyctl.recording.recover import recover as run

    with _explained():
        result = run(file, out)
        _write_json(json_file, result.as_json())
    if result.state == "closed":
        console.print(f"{file}: was closed as it should be; nothing to recover")
    else:
        left = {
            "killed": "is not closed, its writer was killed or still has it open",
            "truncated": "is not whole",
        }[result.state]
        console.print(f"{file} {left}; recovered into {result.recovered}", soft_wrap=True)
    console.print(
        f"{result.whole_shots} of {result.shots} shots whole, {result.frames} frames, "
        f"{result.verdicts} verdicts; {result.cut_frames} frames have a row and no image"
    )
    for cut in result.cut_shots:
        of = cut.expected_frames if cut.received is None else cut.received
        console.print(f"shot {cut.number} ({cut.shot[:8]}): {cut.frames} of {of} frames")


@app.command()
def split(
    source: Annotated[str, typer.Option("--from", help="The detector, tcp://HOST:PORT.")],
    to: Annotated[
        list[str] | None,
        typer.Option(help="Lossless output for one client; a slow one holds the detector back."),
    ] = None,
    publish: Annotated[
        list[str] | None,
        typer.Option(help="Output for any number of onlookers; drops and counts what they miss."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Stand behind a detector that pushes, and pass all its frames on to several clients.

    Such a detector deals its frames out: a second client would take half of them. Runs until it is
    interrupted. Example: skyctl split --from tcp://eiger:31001 --to tcp://127.0.0.1:31001
    --publish tcp://127.0.0.1:31002
    """
    import time

    from skyctl.stream.sources.splitter import Output, Splitter

    if not to and not publish:
        raise typer.BadParameter("give at least one --to or --publish", param_hint="--to")
    outputs = [Output(address, "push") for address in to or ()]
    outputs += [Output(address, "pub") for address in publish or ()]
    with _explained():
        splitter = Splitter(source, outputs)
        try:
            console.print(f"{source} to {', '.join(splitter.addresses)}", soft_wrap=True)
            with console.status("") as status, contextlib.suppress(KeyboardInterrupt):
                while splitter.alive:
                    status.update(_split_counts(splitter.counts))
                    time.sleep(0.2)
        finally:
            splitter.close()
            console.print(_split_counts(splitter.counts), soft_wrap=True)
            _write_json(json_file, dict(splitter.counts))


def _split_counts(counts: Counter[str]) -> str:
    return ", ".join(f"{what} {count}" for what, count in counts.items()) or "no messages yet"


@app.command()
def keys(
    name: Annotated[Path, typer.Argument(help="Makes NAME.key and NAME.key_secret.")],
) -> None:
    """Make a CURVE key pair for one end of a frame stream that leaves this machine.

    Give the other end NAME.key. NAME.key_secret stays here, readable by you alone.
    Example: skyctl keys ~/.skyctl/hutch-3
    """
    from skyctl.stream.keys import make_keys

    with _explained():
        public, secret = make_keys(name)
        console.print(f"{public} for the other end\n{secret} for this one", soft_wrap=True)


@app.command()
def doctor(
    metrics: Annotated[
        str | None, typer.Option(help="Also what a running hub counted: its metrics' URL.")
    ] = None,
    recording: Annotated[
        Path | None, typer.Option(help="Also what was counted in this recording (.h5).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Check this installation, and stream some frames through it to see that none is lost.

    Ends with status 0 when all is well, else 1. Frames are accounted for by name: skyctl.frame's
    Counts say what each means.
    """
    from skyctl.doctor import check_up

    with _explained():
        with console.status("checking …"):
            report = check_up(metrics, recording)
        table = Table("what", "found", "")
        for finding in report.findings:
            mark = "[green]ok[/]" if finding.well else "[bold red]fault[/]"
            table.add_row(finding.what, escape(finding.found), mark)
        console.print(table)
        kinds = dict.fromkeys(kind for counts in report.accounting.values() for kind in counts)
        table = Table("counted", *report.accounting)
        for kind in kinds:
            counted = (counts.get(kind) for counts in report.accounting.values())
            table.add_row(kind, *("" if count is None else f"{count:g}" for count in counted))
        console.print(table)
        _write_json(json_file, report.as_json())
    if not report.well:
        raise typer.Exit(1)


@train_app.command("classifier")
def train_classifier(
    out: Annotated[Path, typer.Option(help="The .onnx file to write.")] = Path(
        "skyrmion-process.onnx"
    ),
    data: Annotated[
        Path | None, typer.Option(help="Training movies (.npz); made and kept there if missing.")
    ] = None,
    shots: Annotated[int, typer.Option(help="Shots at a skyrmion to simulate.", min=10)] = 3000,
    empty_shots: Annotated[
        int, typer.Option(help="Shots at an empty film to simulate.", min=10)
    ] = 800,
    features: Annotated[
        Literal["quantiles", "sorted"],
        typer.Option(help="Network input: 256 quantiles (any lattice), or the paper's sorted S_z."),
    ] = "quantiles",
    epochs: Annotated[int, typer.Option(help="Passes over the movies.", min=1)] = 40,
    hidden: Annotated[int, typer.Option(help="Hidden units.", min=1)] = 512,
    seed: Annotated[int, typer.Option(help="Of the shots that are drawn.")] = 2019,
    json_file: JsonFile = None,
) -> None:
    """Simulate movies, train the recurrent classifier, export it to ONNX with a model card.

    Twenty minutes on two cores. Needs torch: install skyctl with its extra "train".
    """
    try:
        from skyctl.models import export, training
    except ImportError as error:
        _complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error
    from skyctl.models.dataset import Dataset, make_dataset, training_shots

    count = 256 if features == "quantiles" else 100 * 100
    with _explained(), _bar("") as progress:
        try:
            if data and data.exists():
                movies = Dataset.load(data)
            else:
                planned = list(training_shots(shots, empty_shots, seed))
                bar = progress.add_task("simulating movies", total=len(planned))
                movies = make_dataset(
                    planned,
                    count,
                    features,
                    os.cpu_count() or 1,
                    progress=lambda: progress.advance(bar),
                )
                if data:
                    movies.save(data)
            if movies.features.shape[2] != count:
                raise ValueError(
                    f"training data {data}: {movies.features.shape[2]} features, {features} has "
                    f"{count}. Give another --data or --features."
                )
            bar = progress.add_task("training", total=epochs)
            network, report = training.train_classifier(
                movies,
                hidden=hidden,
                epochs=epochs,
                progress=lambda _, accuracy: progress.update(
                    bar, advance=1, description=f"training ({accuracy:.1%} of held-out movies)"
                ),
            )
        except ValueError as error:
            raise SkyctlError(str(error)) from error
        difference = export.export_classifier(network, out, movies, features)
    card = export.model_card(out, movies, report, difference)
    out.with_suffix(".md").write_text(card)
    _write_json(json_file, {"accuracy": report.accuracy, "held_out": report.held_out})
    console.print(
        f"{report.accuracy:.1%} of {report.held_out} held-out movies named right; wrote {out} and "
        f"{out.with_suffix('.md')}"
    )


@bench_app.command("loop")
def bench_loop(
    rate: Annotated[float, typer.Option(help="Frames a second.", min=1)] = 100.0,
    frames: Annotated[int, typer.Option(help="Frames to stream.", min=10)] = 1500,
    model: ModelFile = None,
    provider: Provider = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Receive-to-verdict latency at a steady frame rate, source in a process of its own."""
    from skyctl.bench.loop import loop_latency

    with _explained():
        result = loop_latency(rate, frames, model, provider)
        _show_bench(result["results"])
        _write_json(json_file, result)


@bench_app.command("stream")
def bench_stream(model: ModelFile = None, json_file: JsonFile = None) -> None:
    """Throughput beside bare ZeroMQ, and what the stream adds to ONNX Runtime's call. Two minutes.

    Source and hub are two processes. A throughput ratio is the median of pairs that take turns.
    """
    from skyctl.bench.stream import stream_speed

    with _explained():
        with console.status("") as status:
            result = stream_speed(model, status.update)
        _show_bench(result["throughput"])
        _show_bench(result["overhead_ms"])
        _write_json(json_file, result)


@bench_app.command("soak")
def bench_soak(
    minutes: Annotated[float, typer.Option(help="How long.", min=0.05)] = 10.0,
    rate: Annotated[float, typer.Option(help="Frames a second.", min=1)] = 1000.0,
    json_file: JsonFile = None,
) -> None:
    """Stream 40 kB frames for minutes; ends with 1 when a frame is lost or not accounted for."""
    from skyctl.bench.soak import soak

    with _explained():
        with console.status("") as status:
            result = soak(minutes, rate, say=status.update)
        _show_bench(result["rows"])
        console.print(f"sent {result['sent']}, received {result['received']}")
        _write_json(json_file, result)
    if result["unaccounted"] or result["received"] != result["sent"]:
        complaints.print("[bold red]frames were lost[/]")
        raise typer.Exit(1)


@bench_app.command("faults")
def bench_faults(
    stop: Annotated[float, typer.Option(help="How long consumers are stopped, s.", min=0.5)] = 10.0,
    json_file: JsonFile = None,
) -> None:
    """Break the stream on purpose and compare its account with what was really sent."""
    from skyctl.bench.faults import all_faults

    with _explained():
        with console.status("killing, stopping, losing …"):
            rows = [row.as_json() for row in all_faults(stop)]
        _show_bench([{k: v for k, v in row.items() if k != "totals"} for row in rows])
        _write_json(json_file, rows)
    if not all(row["right"] for row in rows):
        complaints.print("[bold red]an account is not what happened[/]")
        raise typer.Exit(1)


@bench_app.command("recording")
def bench_recording_command(json_file: JsonFile = None) -> None:
    """Frames a second on disk, beside a plain h5py loop, and 1000 frames/s for 20 s."""
    from skyctl.bench.machine import machine
    from skyctl.bench.recording import bench_recording

    with _explained():
        rows = bench_recording()
        shown = ("what", "compression", "frames_per_s", "ratio", "lost", "behind", "handle_ms")
        _show_bench([{k: row.get(k, "") for k in shown} for row in rows])
        _write_json(json_file, {"machine": machine(), "results": rows})


@bench_app.command("simulator")
def bench_simulator(
    seconds: Annotated[float, typer.Option(help="Time for each case.", min=0.1)] = 2.0,
    json_file: JsonFile = None,
) -> None:
    """Site-steps a second of the film, beside Spirit (where installed) and numpy in the same run.

    Spirit is `pip install spirit`. All cases take about two minutes and a half.
    """
    from skyctl.bench.simulator import simulator_speed

    with _explained():
        with console.status("") as status:
            result = simulator_speed(seconds, status.update)
        shown = ("case", "site_steps_per_s", "times_numpy", "times_spirit", "of_memory_floor")
        _show_bench([{k: row.get(k, "") for k in shown} for row in result["results"]])
        _show_bench(result["scaling"])
        _write_json(json_file, result)


@bench_app.command("thinfilm")
def bench_thin_film(
    peer_ps: Annotated[
        float, typer.Option(help="Time for the peer to simulate; the rest is extrapolated.", min=10)
    ] = 100.0,
    json_file: JsonFile = None,
) -> None:
    """One nanosecond of standard problem 4 on one thread, beside magnum.np where it is there."""
    from skyctl.bench.thin_film import thin_film_speed

    with _explained():
        result = thin_film_speed(peer_ps)
        _show_bench(result["results"])
        console.print(f"magnum.np: {result['peer']}")
        _write_json(json_file, result)


def _show_bench(rows: list[dict[str, Any]]) -> None:
    table = Table(*rows[0])
    for row in rows:
        table.add_row(
            *(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values())
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(app())
