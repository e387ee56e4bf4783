"""`skyctl movies`: many random shots, into one file."""

import contextlib
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from skyctl.cli.common import (
    Device,
    Duration,
    Interval,
    console,
    explained,
    progress_bar,
    values_checked,
)

if TYPE_CHECKING:
    from skyctl.simulators.lattice.film import FilmParameters
    from skyctl.simulators.lattice.movies import MovieSpec


def movies(
    out: Annotated[Path, typer.Argument(help="HDF5 file; if it is there, it is gone on with.")],
    count: Annotated[int, typer.Option(help="Movies in the file when done.", min=1)] = 64,
    seed: Annotated[
        int, typer.Option(help="Seed of the first sample and pulse; the next ones count on.", min=0)
    ] = 0,
    duration: Duration = 165.0,
    interval: Interval = 15.0,
    temperature: Annotated[float, typer.Option(help="Temperature of the films, K.")] = 0.0,
    device: Device = "cpu",
) -> None:
    """Film random pulses at random samples, on all cores or a GPU, into one file.

    Samples differ in α, K, D, moment and field calibration, pulses in B0 (1-3 T), θ (20-60°) and
    t_w (4-48 ps). Each S_z movie is written with its sample, pulse and true process as soon as it
    is done: interrupt it, and run the same command again to go on.
    """
    from skyctl.pulse import FrameSchedule
    from skyctl.simulators.lattice.files import MovieFile
    from skyctl.simulators.lattice.film import FilmParameters

    with values_checked():
        times_ps = FrameSchedule(duration_ps=duration, interval_ps=interval).times_ps
        film = FilmParameters(temperature_K=temperature)
    attributes = {"seed": seed, "times_ps": times_ps, "temperature_K": temperature}
    with (
        explained(),
        MovieFile(out, (len(times_ps), film.rows, film.columns), attributes) as file,
        progress_bar("movies") as progress,
    ):
        bar = progress.add_task("simulating", total=count, completed=len(file))
        seeds = range(seed + len(file), seed + count)
        with contextlib.closing(_filmed(seeds, film, times_ps, device)) as filmed:
            for movie, facts in filmed:
                file.append(movie, facts)
                progress.advance(bar)
        labels = Counter(facts["label"] for _, facts in file)
    table = Table("process", "movies", title=str(out))
    for label, number in labels.most_common():
        table.add_row(label, str(number))
    console.print(table)


def _filmed(
    seeds: Sequence[int], film: "FilmParameters", times_ps: list[float], device: Device
) -> Generator[tuple[np.ndarray, dict[str, Any]], None, None]:
    """Of each seed a movie of S_z, (frames, rows, columns), and the facts of it, in order."""
    from skyctl.simulators.instrument.spread import PulseSpread, SampleSpread
    from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch

    samples = [SampleSpread().draw(i, film) for i in seeds]
    pulses = [PulseSpread().draw(i) for i in seeds]
    shots = [
        MovieSpec(sample.parameters, times_ps, sample.delivered(pulse), seed=i)
        for i, sample, pulse in zip(seeds, samples, pulses, strict=True)
    ]
    with contextlib.closing(simulate_batch(shots, _looked, device=device)) as done:
        for (movie, label), sample, pulse in zip(done, samples, pulses, strict=True):
            facts = {
                "film": sample.parameters.as_dict(),
                "field_calibration": sample.field_calibration,
                "pulse": pulse.model_dump(),
                "label": label,
            }
            yield movie, facts


def _looked(shot: "MovieSpec", frames: Iterator[np.ndarray]) -> tuple[np.ndarray, str]:
    """What is kept of a movie: S_z, (frames, rows, columns), and its true process."""
    from skyctl.simulators.lattice.movies import process_in

    movie = list(frames)
    return np.stack([spins[2] for spins in movie]), process_in(shot, movie[0], movie[-1])
