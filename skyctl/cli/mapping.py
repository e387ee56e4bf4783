"""`skyctl bench maps` and `skyctl bench mapping`: the boundary mapper and what judges it."""

from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from skyctl.cli.common import JsonFile, PngFile, console, explained, progress_bar, write_json


def bench_maps(
    out: Annotated[
        Path, typer.Argument(help="Folder for theta30.json and so on.", file_okay=False)
    ],
    theta: Annotated[
        list[int] | None, typer.Option(help="Polar angle of the pulse, degrees; may be repeated.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="How many shots at once; left out: all cores.", min=1)
    ] = None,
) -> None:
    """Simulate the truth maps that agents are judged on: 1760 shots each, some minutes of a core.

    The maps that ship were made with it: 30, 40, 50 and 60 degrees, single precision.
    """
    from skyctl.bench.mapping import save_map, simulate_truth

    angles = theta or [30, 40, 50, 60]
    with explained(), progress_bar("shots") as progress:
        for angle in angles:
            bar = progress.add_task(f"θ = {angle}°", total=44 * 40)
            truth = simulate_truth(angle, lambda bar=bar: progress.advance(bar), threads)
            save_map(truth, out / f"theta{angle}.json")


def bench_mapping(
    preset: Annotated[
        Literal["quick", "full"], typer.Option(help="quick: 3 seeds; full: 20, half an hour.")
    ] = "quick",
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Shots that the boundary mapper needs for a 44 × 40 process diagram, beside seven others."""
    from skyctl.bench.machine import machine
    from skyctl.bench.mapping import (
        JUDGED_DEG,
        QUICK,
        Size,
        TruthMap,
        mapping_metrics,
        shipped,
        topology,
    )

    with explained():
        with progress_bar("runs") as progress:
            bar = progress.add_task("mapping", total=None)
            metrics = mapping_metrics(
                QUICK if preset == "quick" else Size(),
                lambda done, jobs: progress.update(bar, completed=done, total=jobs),
            )
        table = Table("metric", "median", "p90", "success", "target")
        for row in metrics:
            target = row["target"]["median"]
            table.add_row(
                row["name"], *(_show(row[k]) for k in ("median", "p90", "success")), f"{target:g}"
            )
            for name, other in row["baselines"].items():
                cells = (_show(other[k]) for k in ("median", "p90", "success"))
                table.add_row(f"  {name}", *cells, "", style="dim")
        console.print(table)
        if png:
            from skyctl.bench.mapping_figure import draw_map, mapped

            draw_map(TruthMap.load(40), mapped(40, 90, learned=True), png)
        write_json(
            json_file,
            {
                "machine": machine(),
                "preset": preset,
                "truth": [topology(angle) for angle in shipped(JUDGED_DEG)],
                "metrics": metrics,
            },
        )


def _show(value: float | None) -> str:
    return "never" if value is None else f"{value:.3g}"
