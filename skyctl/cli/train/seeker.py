"""`skyctl train seeker`: what the target seeker knows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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

if TYPE_CHECKING:
    from skyctl.models.seeker_library import FitReport

Out = Annotated[Path, typer.Option(help="The .npz file to write.")]

Data = Annotated[Path, typer.Option(help="Simulated shots (HDF5): kept here, and gone on with.")]

Shots = Annotated[int, typer.Option(help="Shots to simulate.", min=100)]

Threads = Annotated[
    int | None, typer.Option(help="CPU threads that simulate. Left out: one a core.", min=1)
]


def train_seeker(
    out: Out = Path("switching.npz"),
    data: Data = Path("switching-shots.h5"),
    shots: Shots = 3000,
    threads: Threads = None,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Simulate shots at random samples, and fit what the target seeker knows beforehand.

    Ten minutes on two cores; stopped, it goes on where it was, and ends with the same file.
    """
    with extra("train"):
        from skyctl.models.seeker_library import fit_library, make_library

    command = f"skyctl train seeker --shots {shots}"
    with explained(ValueError), progress_bar("") as progress:
        bar = progress.add_task("simulating shots", total=shots)

        def simulated(done: int) -> None:
            progress.update(bar, completed=done)

        library = make_library(shots, data, threads=threads, device=device, progress=simulated)
        fitted = a_bar_each(progress)("fitting", 6)
        report = fit_library(library, out, command=command, progress=fitted)
    write_json(json_file, asdict(report))
    _tell(report, out)


def _tell(report: "FitReport", out: Path) -> None:
    console.print(
        f"{report.shots} shots; on films left out, {report.log_loss:.2f} nats (outcomes alone: "
        f"{report.prior_log_loss:.2f}); of the likeliest twentieth, {report.likely:.0%} expected "
        f"to switch, {report.switched:.0%} did. Wrote {out}"
    )
