"""`skyctl train torque`: a torque network for the itinerant magnet."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

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

if TYPE_CHECKING:
    from skyctl.models.torque_training import TorqueScore

Network = Annotated[
    Literal["equivariant", "gradient", "paper"],
    typer.Option(
        help="Symmetric by construction; that, as the gradient of an energy; or the paper's in a "
        "reduced width."
    ),
]

Out = Annotated[
    Path | None, typer.Option(help="The .onnx file; left out: itinerant-torque-NETWORK.onnx.")
]

Data = Annotated[
    Path, typer.Option(help="Folder of labelled states; gone on with.", file_okay=False)
]

Runs = Annotated[int, typer.Option(help="Runs that the truth drives.", min=8)]

Steps = Annotated[int, typer.Option(help="Training steps of each round.", min=2)]

Rounds = Annotated[int, typer.Option(help="Rounds of states that a network drives to.", min=0)]

DrivenRuns = Annotated[int, typer.Option(help="Runs of each such round.", min=8)]

DrivenStates = Annotated[
    int, typer.Option(help="States of such a run that are labelled, at random times.", min=1)
]

Longest = Annotated[float, typer.Option(help="How long such a run may last, t0.", min=1)]

Boundaries = Annotated[
    int,
    typer.Option(
        help="Of four, how many a label of such a run is the mean of: one is 6 % off, but not in "
        "the mean, and takes a quarter of the time.",
        min=1,
        max=4,
    ),
]

Driver = Annotated[
    Path | None,
    typer.Option(help="The .onnx file that drives the first round; left out: trained for it."),
]

States = Annotated[
    list[Path] | None,
    typer.Option(
        help="A set that a network drove and that is labelled, to learn from too; may be "
        "given several times."
    ),
]

Scheduler = Annotated[
    str, typer.Option(help="Where the truth is computed: here, local, or a Dask tcp://… .")
]

Precision = Annotated[
    Literal["single", "bfloat16"],
    typer.Option(help="In training; bfloat16 is faster where the processor has it."),
]

Seed = Annotated[int, typer.Option(help="Of weights and batches.", min=0)]


def train_torque(
    network: Network = "equivariant",
    out: Out = None,
    data: Data = Path("torque-states"),
    runs: Runs = 96,
    steps: Steps = 2000,
    rounds: Rounds = 1,
    driven_runs: DrivenRuns = 24,
    driven_states: DrivenStates = 8,
    longest: Longest = 500.0,
    boundaries: Boundaries = 4,
    driver: Driver = None,
    states: States = None,
    scheduler: Scheduler = "here",
    precision: Precision = "single",
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Label states of the s–d magnet by diagonalisation, train a torque network, export it.

    Interrupt it, and the same command goes on: with the states, and with the training, of which it
    loses 500 steps at most. Needs torch: pip install
    'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.models.torque_data import TorquePlan
        from skyctl.models.torque_recipe import TorqueRecipe, make_torque_network

    target = out or Path(f"itinerant-torque-{network}.onnx")
    with explained(ValueError), progress_bar("") as bars:
        recipe = TorqueRecipe(
            network, plan=TorquePlan(runs=runs), steps=steps, rounds=rounds,
            driven_runs=driven_runs, driven_states=driven_states, longest_t0=longest,
            boundaries=boundaries, precision=precision, seed=seed,
        )  # fmt: skip
        _, facts = make_torque_network(
            recipe, target, data, driver=driver, labelled=states or (), scheduler=scheduler,
            progress=a_bar_each(bars),
        )  # fmt: skip
    console.print(_table(facts.scores))
    console.print(f"wrote {target} and {target.with_suffix('.md')}")
    write_json(json_file, {name: asdict(s) for name, s in facts.scores.items()})


def _table(scores: Mapping[str, "TorqueScore"]) -> Table:
    table = Table("held-out states", "angle < 10°", "> 30°", "error / mean field")
    for name, s in scores.items():
        table.add_row(name, f"{s.within_10_deg:.1%}", f"{s.beyond_30_deg:.2%}", f"{s.error:.3f}")
    return table
