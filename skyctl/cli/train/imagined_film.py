"""`skyctl train imagined-film`: what the seeker that imagines before it fires knows."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from skyctl.cli.common import (
    Device,
    JsonFile,
    a_bar_each,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)

Out = Annotated[Path, typer.Option(help="The .npz file to write.")]

Data = Annotated[
    Path, typer.Option(help="Simulated shots (HDF5), as of `skyctl train seeker`: gone on with.")
]

ProbeData = Annotated[
    Path, typer.Option(help="Simulated weak pulses (HDF5): kept here, and gone on with.")
]

Shots = Annotated[int, typer.Option(help="Shots to simulate.", min=100)]

Probes = Annotated[int, typer.Option(help="Weak pulses to simulate.", min=100)]

Threads = Annotated[
    int | None, typer.Option(help="CPU threads that simulate. Left out: one a core.", min=1)
]


def train_imagined_film(
    out: Out = Path("imagined-film.npz"),
    data: Data = Path("switching-shots.h5"),
    probe_data: ProbeData = Path("probe-shots.h5"),
    shots: Shots = 3000,
    probes: Probes = 1500,
    threads: Threads = None,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Simulate shots and weak pulses at random samples, and fit the film that agents imagine.

    Networks of what a pulse does to a skyrmion, and of what a weak pulse's movie shows, warm and
    cold, at any camera noise. A quarter of an hour on two cores; stopped, it goes on where it was.
    """
    with extra("train"):
        from skyctl.models.imagined_film import fit_imagined_film
        from skyctl.models.probe_shots import make_probe_shots
        from skyctl.models.seeker_library import make_library

    command = f"skyctl train imagined-film --shots {shots} --probes {probes}"
    with explained(ValueError), progress_bar("") as bars:
        library = make_library(
            shots, data, threads=threads, device=device, progress=_to(bars, "shots", shots)
        )
        weak = make_probe_shots(
            probes, probe_data, threads=threads, progress=_to(bars, "weak pulses", probes)
        )
        fitted = a_bar_each(bars)("fitting", 3)
        fit = fit_imagined_film(library, weak, out, command=command, progress=fitted)
    write_json(json_file, fit)
    console.print(
        f"{shots} shots, {probes} weak pulses; on films left out, {fit['log_loss']:.2f} nats "
        f"(outcomes alone: {fit['prior_log_loss']:.2f}), a cold film's movie to "
        f"{fit['movie']:.1g} of S_z. Wrote {out}"
    )


def _to(bars: Progress, what: str, total: int) -> Callable[[int], None]:
    bar = bars.add_task(f"simulating {what}", total=total)
    return lambda done: bars.update(bar, completed=done)
