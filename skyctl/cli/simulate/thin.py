"""`skyctl simulate thin`: standard problem 4, a thin film with its stray field."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from skyctl.cli.common import (
    JsonFile,
    PngFile,
    console,
    explained,
    progress_bar,
    values_checked,
    write_json,
)
from skyctl.simulators.thin import DEFAULT_TOLERANCE

if TYPE_CHECKING:
    from skyctl.simulators.thin.standard_problem import Sp4Run

Field = Annotated[int, typer.Option(help="Applied field 1 or 2 of the problem.", min=1, max=2)]

SState = Annotated[
    Literal["own", "reference"], typer.Option(help="Whose relaxed S-state to start from.")
]

Tolerance = Annotated[float, typer.Option(help="Error that a step may leave in a component of m.")]


def simulate_thin(
    field: Field = 1,
    s_state: SState = "own",
    tolerance: Tolerance = DEFAULT_TOLERANCE,
    json_file: JsonFile = None,
    png: PngFile = None,
) -> None:
    """Switch the thin film of micromagnetic standard problem 4, 1 ns, beside its reference.

    Prints <m> and its first zero crossing beside those of the reference series.
    Example: skyctl simulate thin --field 2 --png sp4.png
    """
    from skyctl.simulators.thin.standard_problem import reference_series, run_standard_problem

    with explained():
        with values_checked(), progress_bar("frames") as progress:
            bar = progress.add_task("simulating", total=len(reference_series(field)[0]))
            run = run_standard_problem(field, s_state, tolerance, lambda: progress.advance(bar))
        _show(run, f"standard problem 4, field {field}, from the {s_state} S-state")
        console.print(
            f"{run.demag_evaluations} demagnetising fields, {run.rate_evaluations} rates, "
            f"tolerance {tolerance:g}"
        )
        write_json(json_file, run.as_json())
        _draw(run, png)


def _show(run: "Sp4Run", title: str) -> None:
    columns = ("<m_x>", "<m_y>", "<m_z>", "reference <m_x>", "<m_y>", "<m_z>")
    table = Table("t (ps)", *columns, title=title)
    every_fifth = zip(run.times_ps[::5], run.mean[::5], run.reference[::5], strict=True)
    for time_ps, mean, reference in every_fifth:
        table.add_row(f"{time_ps:g}", *(f"{m:+.4f}" for m in (*mean, *reference)))
    console.print(table)
    console.print(
        f"largest difference of <m> {run.difference:.2g} over {run.times_ps[-1]:g} ps; <m_x> "
        f"crosses 0 at {run.crossing_ps:.2f} ps (reference {run.reference_crossing_ps:.2f} ps)"
    )


def _draw(run: "Sp4Run", png: Path | None) -> None:
    if png:
        from skyctl.pictures import standard_problem

        standard_problem([run], png)
