"""`skyctl train generator`: the network that draws states of a film."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import (
    JsonFile,
    a_bar_each,
    console,
    explained,
    extra,
    progress_bar,
    write_json,
)

Out = Annotated[Path, typer.Option(help="The .onnx file.")]

Data = Annotated[
    Path, typer.Option(help="Folder of annealed states; gone on with.", file_okay=False)
]

Side = Annotated[int, typer.Option(help="Of the annealed films, sites; 4 divides it.", min=16)]

Dmi = Annotated[float, typer.Option(help="D/J of them.")]

Fields = Annotated[int, typer.Option(help="How many fields, 0.45 to 0.7 D²/J.", min=2)]

Replicas = Annotated[int, typer.Option(help="Films annealed in each.", min=2)]

Sweeps = Annotated[int, typer.Option(help="Of an annealing.", min=2)]

Steps = Annotated[int, typer.Option(help="Training steps.", min=1)]

Seed = Annotated[int, typer.Option(help="Of annealing, weights and batches.", min=0)]


def train_generator(
    out: Out = Path("skyrmion-states.onnx"),
    data: Data = Path("annealed-states"),
    side: Side = 64,
    dmi: Dmi = 0.6,
    fields: Fields = 6,
    replicas: Replicas = 64,
    sweeps: Sweeps = 1000,
    steps: Steps = 1200,
    seed: Seed = 0,
    json_file: JsonFile = None,
) -> None:
    """Anneal films, train the generator's decoder on them, fit its places, export it with a card.

    Two minutes of a core. Interrupt it, and the same command keeps what is annealed. Needs torch:
    pip install 'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.models.generator_data import AnnealPlan
        from skyctl.models.generator_recipe import GeneratorRecipe, make_generator

    with explained(ValueError), progress_bar("") as bars:
        plan = AnnealPlan(
            side, dmi, fields=fields, replicas=replicas, sweeps=sweeps, seed=seed
        )  # fmt: skip
        recipe = GeneratorRecipe(plan, steps=steps, seed=seed)
        generator = make_generator(recipe, out, data, a_bar_each(bars))
    card = generator.card
    console.print(f"wrote {out} and {out.with_suffix('.md')}")
    write_json(json_file, {"order": card.order, "scatter": card.scatter, "hottest": card.hottest})
