"""`skyctl train seeker`, `skyctl bench seeking`: what the target seeker knows, how good it is."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from skyctl.cli.common import Device, JsonFile, console, explained, progress_bar, write_json
from skyctl.errors import SkyctlError


def train_seeker(
    out: Annotated[Path, typer.Option(help="The .npz file to write.")] = Path("switching.npz"),
    data: Annotated[
        Path, typer.Option(help="Simulated shots (HDF5): kept here, and gone on with.")
    ] = Path("switching-shots.h5"),
    shots: Annotated[int, typer.Option(help="Shots to simulate.", min=100)] = 3000,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads that simulate. Left out: one a core.", min=1)
    ] = None,
    device: Device = "cpu",
    json_file: JsonFile = None,
) -> None:
    """Simulate shots at random samples, and fit what the target seeker knows beforehand.

    Ten minutes on two cores; stopped, it goes on where it was, and ends with the same file.
    """
    from dataclasses import asdict

    from skyctl.models.seeker_library import fit_library, make_library

    with explained(), progress_bar("") as progress:
        bar = progress.add_task("simulating shots", total=shots)
        library = make_library(
            shots, data, threads=threads, device=device,
            progress=lambda done: progress.update(bar, completed=done),
        )  # fmt: skip
        bar = progress.add_task("fitting", total=6)
        command = f"skyctl train seeker --shots {shots}"
        try:
            report = fit_library(
                library, out, command=command, progress=lambda: progress.advance(bar)
            )
        except ValueError as error:
            raise SkyctlError(str(error)) from error
    write_json(json_file, asdict(report))
    console.print(
        f"{report.shots} shots; on films left out, {report.log_loss:.2f} nats (outcomes alone: "
        f"{report.prior_log_loss:.2f}); of the likeliest twentieth, {report.likely:.0%} expected "
        f"to switch, {report.switched:.0%} did. Wrote {out}"
    )


def bench_seeking(
    seed: Annotated[int, typer.Option(help="First of the seeds.", min=0)] = 0,
    seeds: Annotated[int, typer.Option(help="How many seeds.", min=1)] = 20,
    samples: Annotated[int, typer.Option(help="Samples a seed.", min=1, max=1000)] = 5,
    baseline_lives: Annotated[
        int, typer.Option(help="Samples for each of the baselines.", min=1)
    ] = 20,
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
    kept: Annotated[
        Path | None, typer.Option(help="Lives (JSON lines): kept here, and not lived again.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Pulses to write, switch and erase on samples never seen, beside four other ways to switch.

    Twenty minutes on two cores; two with `--seeds 2 --baseline-lives 4`.
    """
    from skyctl.bench.machine import machine
    from skyctl.bench.seeking import seeking_metrics

    shown = ("lives", "median", "p90", "success")
    with explained():
        with progress_bar("lives") as progress:
            bar = progress.add_task("seeking", total=None)
            metrics = seeking_metrics(
                seeds,
                samples,
                seed,
                baseline_lives=baseline_lives,
                workers=workers,
                kept=kept,
                progress=lambda done, total: progress.update(bar, completed=done, total=total),
            )
        table = Table("metric", *shown)
        for metric in metrics:
            table.add_row(metric["name"], *(f"{metric[k]:.3g}" for k in shown))
            for name, other in metric["baselines"].items():
                cells = (f"{other[k]:.3g}" if k in other else "" for k in shown)
                table.add_row(f"  {name}", *cells, style="dim")
        console.print(table)
        write_json(json_file, {"machine": machine(), "metrics": metrics})
