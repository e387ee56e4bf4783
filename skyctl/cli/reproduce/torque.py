"""`skyctl reproduce torque`: Phys. Rev. Research 5, 033188 again."""

from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.table import Table

from skyctl.cli.common import a_bar_each, console, explained, extra, progress_bar

Preset = Annotated[
    Literal["quick", "paper"],
    typer.Option(help="An hour of a core, or the paper's sizes (days; a cluster, a GPU)."),
]

Out = Annotated[
    Path,
    typer.Option(help="Folder for figures, result.json and the networks.", file_okay=False),
]

Scheduler = Annotated[
    str, typer.Option(help="Where the truth is computed: here, local, or a Dask tcp://… .")
]

Seed = Annotated[int, typer.Option(help="Of weights, batches and films.", min=0)]


def reproduce_torque(
    preset: Preset = "quick",
    out: Out = Path("reproduced-torque"),
    scheduler: Scheduler = "here",
    seed: Seed = 0,
) -> None:
    """Torque networks of Phys. Rev. Research 5, 033188 (2023): training, films beside the truth.

    Interrupt it, and the same command keeps the states that are labelled. Needs torch: pip install
    'bluesky-skyctl[train]'.
    """
    with extra("train"):
        from skyctl.studies.torque_paper import PRESETS
        from skyctl.studies.torque_paper import reproduce_torque as reproduce

    with explained(ValueError), progress_bar("") as bars:
        result = reproduce(
            PRESETS[preset], out, scheduler=scheduler, seed=seed, progress=a_bar_each(bars)
        )
    _show(result)
    console.print(f"{result['seconds']:.0f} s; wrote figures, result.json and networks to {out}")


def _show(result: dict[str, Any]) -> None:
    table = Table("network", "states", "angle < 10°", "> 30°", "rotation error", "restored order")
    for name, found in result["networks"].items():
        targets, restored = found["targets"], result["restored"][name]
        for states, s in found["scores"].items():
            near, far = s["within_10_deg"], s["beyond_30_deg"]
            shown = [f"{near:.1%}", f"{far:.2%}"]
            if target := targets.get(states):
                shown[0] = _judged(shown[0], near >= target["within_10_deg"])
                shown[1] = _judged(shown[1], far <= target["beyond_30_deg"])
            table.add_row(
                name,
                states,
                *shown,
                f"{found['equivariance_error']:.1e}",
                f"{restored['order']:.1%}",
            )
    console.print(table)


def _judged(shown: str, reached: bool) -> str:
    return f"[{'green' if reached else 'red'}]{shown}[/]"
