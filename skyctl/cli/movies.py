"""`skyctl movies` and `skyctl diagram`: many shots at once."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.table import Table

from skyctl.cli.common import (
    Device,
    JsonFile,
    ModelFile,
    MoviesFile,
    PngFile,
    Scheduler,
    Theta,
    console,
    explained,
    faults,
    numbers,
    progress_bar,
    values_checked,
    write_json,
)


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
    from skyctl.pulse import FrameSchedule
    from skyctl.simulators.instrument.spread import PulseSpread, SampleSpread
    from skyctl.simulators.lattice.files import MovieFile
    from skyctl.simulators.lattice.film import FilmParameters
    from skyctl.simulators.lattice.movies import MovieSpec, process_in, simulate_batch

    try:
        times_ps = FrameSchedule(duration_ps=duration, interval_ps=interval).times_ps
        film = FilmParameters(temperature_K=temperature)
    except ValueError as error:
        raise typer.BadParameter(faults(error)) from error
    attributes = {"seed": seed, "times_ps": times_ps, "temperature_K": temperature}

    def look(shot: MovieSpec, frames: Iterator[np.ndarray]) -> tuple[np.ndarray, str]:
        movie = list(frames)
        return np.stack([spins[2] for spins in movie]), process_in(shot, movie[0], movie[-1])

    with (
        explained(),
        MovieFile(out, (len(times_ps), film.rows, film.columns), attributes) as file,
        progress_bar("movies") as progress,
    ):
        seeds = range(seed + len(file), seed + count)
        bar = progress.add_task("simulating", total=count, completed=len(file))
        samples = [SampleSpread().draw(i, film) for i in seeds]
        pulses = [PulseSpread().draw(i) for i in seeds]
        shots = [
            MovieSpec(sample.parameters, times_ps, sample.delivered(pulse), seed=i)
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
    data: MoviesFile = None,
    scheduler: Scheduler = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Map what a 2 T pulse does to a skyrmion over pulse width and damping.

    Each cell is one simulated shot, named twice: by topology (the truth) and by the classifier,
    from S_z frames alone. B breathing, S switching, C collapse; M is mixed (several skyrmions or
    domains are left) in the truth, and no verdict of the classifier, which was not trained on it.

    With --data it can be interrupted and gone on with, and be named again by another --model.
    """
    from skyctl.pulse import FrameSchedule
    from skyctl.studies.process_diagram import process_diagram
    from skyctl.studies.process_diagram_figure import draw_diagram

    columns, rows = numbers(widths, "--widths"), numbers(alphas, "--alphas")
    try:
        movie = FrameSchedule(duration_ps=duration, interval_ps=interval)
    except ValueError as error:
        raise typer.BadParameter(faults(error)) from error
    with explained():
        with values_checked(), progress_bar("cells") as progress:
            bar = progress.add_task("simulating", total=len(columns) * len(rows))
            result = process_diagram(
                theta,
                columns,
                rows,
                movie,
                model,
                lambda: progress.advance(bar),
                data=data,
                scheduler=scheduler,
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
        write_json(
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
            draw_diagram(result, png)
