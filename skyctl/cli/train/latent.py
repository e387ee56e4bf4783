"""`skyctl train latent`: a latent network that imagines a thin film."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from skyctl.cli.common import (
    JsonFile,
    a_bar_each,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)

Out = Annotated[
    Path,
    typer.Option(help="Its encoder, NAME-encoder.onnx; step, decoder and card are put beside it."),
]

Data = Annotated[
    Path, typer.Option(help="Folder of trajectories and checkpoint; gone on with.", file_okay=False)
]

Constant = Annotated[int, typer.Option(help="Trajectories in constant fields.", min=4)]

Sequences = Annotated[int, typer.Option(help="Trajectories in changing fields.", min=0)]

Members = Annotated[int, typer.Option(help="Networks beside each other: their spread.", min=1)]

Latent = Annotated[int, typer.Option(help="Numbers that a state is coded into.", min=2)]

Effort = Annotated[float, typer.Option(help="Of training: 1 is the shipped network's.", min=0.001)]

Scheduler = Annotated[
    str, typer.Option(help="Where films are simulated: here, local, or a Dask tcp://… .")
]

Where = Annotated[Literal["cpu", "cuda"], typer.Option("--device", help="Where it is trained.")]

Seed = Annotated[int, typer.Option(help="Of weights and batches.", min=0)]


def train_latent(
    out: Out = Path("thin-film-latent-encoder.onnx"),
    data: Data = Path("latent-data"),
    constant: Constant = 192,
    sequences: Sequences = 96,
    members: Members = 2,
    latent: Latent = 64,
    effort: Effort = 1.0,
    scheduler: Scheduler = "here",
    device: Where = "cpu",
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Simulate a thin film under many fields, train networks that imagine it, export them.

    Interrupt it, and the same command goes on where it was. Needs torch: pip install
    'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.models.latent_data import LatentPlan
        from skyctl.models.latent_recipe import LatentRecipe, make_latent

    with explained(ValueError), progress_bar("") as bars:
        recipe = LatentRecipe(
            LatentPlan(constant=constant, sequences=sequences),
            members=members, latent=latent, seed=seed,
        ).scaled(effort)  # fmt: skip
        facts = make_latent(
            recipe, out, data, scheduler=scheduler, device=device, progress=a_bar_each(bars)
        )
    console.print(scores_table({out.name.removesuffix("-encoder.onnx"): facts.scores}))
    console.print(f"wrote {out}, its step, its decoder and their card")
    write_json(json_file, facts.scores)


def scores_table(rows: dict[str, dict[str, Any]]) -> Table:
    """What ``models.latent_scores.table_row`` says of each of several predictors."""
    table = Table(
        "⟨m⟩ off by", "field 1", "field 2 (to 0.4 ns)", "other fields, median", "angle, field 1",
        "crossings, ps", "changing fields: 10° to",
    )  # fmt: skip
    for name, row in rows.items():
        angles = row.get("field_1_angles_deg")
        crossings = [row.get(f"field_{n}_crossing_ps") for n in (1, 2)]
        horizon = row.get("changing_horizon_ps")
        table.add_row(
            name,
            _number(row.get("field_1")),
            f"{_number(row.get('field_2'))} ({_number(row.get('field_2_to_400_ps'))})",
            _number(row.get("others_median")),
            f"{angles[0]:.1f}°/{angles[1]:.1f}°" if angles else "",
            ", ".join(f"{c:+.1f}" for c in crossings if c is not None),
            f"{horizon:.0f} ps" if horizon is not None else "",
        )
    return table


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
