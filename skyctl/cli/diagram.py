"""`skyctl diagram`: what a pulse does, over its width and the damping."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.table import Table

from skyctl.cli.common import (
    Duration,
    Interval,
    JsonFile,
    ModelFile,
    PngFile,
    Theta,
    console,
    explained,
    progress_bar,
    values_checked,
    write_json,
)
from skyctl.cli.simulate.lattice_film import (
    FilmName,
    FilmSize,
    Settings,
    ShapeOfFilm,
    named_film,
    shape_of,
)
from skyctl.cli.simulate.options import Amplitude
from skyctl.cli.simulate.rare_pulse import CurrentOption, RareOptions, WaveformOption

if TYPE_CHECKING:
    from skyctl.studies.process_diagram import Diagram

Scheduler = Annotated[
    str | None,
    typer.Option(
        help="Where movies are simulated: 'local', a process a core; 'threads'; or the tcp:// "
        "address of a Dask scheduler that you trust. Left out: local for 100 movies or more."
    ),
]

MoviesFile = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Keep the movies in this HDF5 file, and go on with it.", dir_okay=False
    ),
]

Widths = Annotated[str, typer.Option(help="Pulse widths, ps: FIRST:LAST:STEP or A,B,C.")]

Alphas = Annotated[str, typer.Option(help="Damping values: A,B,C or FIRST:LAST:STEP.")]


def diagram(
    theta: Theta = 40.0,
    widths: Widths = "4:48:4",
    alphas: Alphas = "0.04,0.08,0.12,0.20,0.28,0.36,0.44,0.52,0.60",
    duration: Duration = 165.0,
    interval: Interval = 15.0,
    amplitude: Amplitude = 2.0,
    waveform: WaveformOption = None,
    current: CurrentOption = None,
    name: FilmName = "paper",
    size: FilmSize = None,
    settings: Settings = None,
    shape: ShapeOfFilm = None,
    model: ModelFile = None,
    data: MoviesFile = None,
    scheduler: Scheduler = None,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Map what a pulse does to a skyrmion over pulse width and damping.

    Each cell is one simulated shot, named twice: by topology (the truth) and by the classifier,
    from S_z frames alone. B breathing, S switching, C collapse; M is mixed (several skyrmions or
    domains are left) in the truth, and no verdict of the classifier, which was not trained on it.

    With --data it can be interrupted and gone on with, and be named again by another --model.
    A Néel film in a disc: skyctl diagram --set dmi_meV=0 --set interfacial_dmi_meV=0.24
    --shape disc:48
    """
    from skyctl.pulse import FrameSchedule, Pulse
    from skyctl.studies.process_diagram import process_diagram
    from skyctl.studies.process_diagram_figure import draw_diagram

    columns, rows = _numbers(widths, "--widths"), _numbers(alphas, "--alphas")
    with values_checked():
        movie = FrameSchedule(duration_ps=duration, interval_ps=interval)
        pulse = Pulse(amplitude_T=amplitude, width_ps=columns[0], theta_deg=theta)
        pulse = RareOptions(waveform, current, None).added_to(pulse)
    with explained():
        with values_checked(), progress_bar("cells") as progress:
            bar = progress.add_task("simulating", total=len(columns) * len(rows))
            film = named_film(name, size, settings)
            result = process_diagram(
                theta,
                columns,
                rows,
                movie,
                model,
                lambda: progress.advance(bar),
                pulse=pulse,
                film=film,
                sites=shape_of(shape, film.rows, film.columns),
                data=data,
                scheduler=scheduler,
            )
        _show(result, f"θ = {theta:g}°, t_w {widths} ps")
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


def _show(result: "Diagram", title: str) -> None:
    table = Table("α", "truth", "classifier", title=title)
    for alpha, truth, named in zip(result.alphas, result.truth, result.classifier, strict=True):
        table.add_row(f"{alpha:g}", " ".join(truth), " ".join(named))
    console.print(table)
    agree, cells = result.agreement
    unnamed, mixed = result.abstention
    console.print(
        f"classifier as the truth in {agree} of {cells} B, S and C cells; it abstains in "
        f"{unnamed} of {mixed} mixed ones"
    )


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
