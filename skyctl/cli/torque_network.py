"""`skyctl train torque` and `skyctl bench torque`: networks for the itinerant magnet."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.table import Table

from skyctl.cli.common import JsonFile, complain, console, explained, progress_bar, write_json
from skyctl.errors import SkyctlError


def train_torque(
    network: Annotated[
        Literal["equivariant", "paper"],
        typer.Option(help="Symmetric by construction, or the paper's in a reduced width."),
    ] = "equivariant",
    out: Annotated[
        Path | None, typer.Option(help="The .onnx file; left out: itinerant-torque-NETWORK.onnx.")
    ] = None,
    data: Annotated[
        Path, typer.Option(help="Folder of labelled states; gone on with.", file_okay=False)
    ] = Path("torque-states"),
    runs: Annotated[int, typer.Option(help="Runs that the truth drives.", min=8)] = 96,
    steps: Annotated[int, typer.Option(help="Training steps of each round.", min=1)] = 6000,
    rounds: Annotated[
        int, typer.Option(help="Rounds of states that a network drives to.", min=0)
    ] = 1,
    scheduler: Annotated[
        str, typer.Option(help="Where the truth is computed: here, local, or a Dask tcp://… .")
    ] = "here",
    seed: Annotated[int, typer.Option(help="Of weights and batches.", min=0)] = 0,
    json_file: JsonFile = None,
) -> None:
    """Label states of the s–d magnet by diagonalisation, train a torque network, export it.

    Interrupt it, and the same command keeps the states that are labelled. Needs torch: install
    skyctl with its extra "train".
    """
    try:
        from skyctl.models.torque_data import TorquePlan
        from skyctl.models.torque_recipe import TorqueRecipe, make_torque_network
    except ImportError as error:
        complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error

    target = out or Path(f"itinerant-torque-{network}.onnx")
    with explained(), progress_bar("") as bars:

        def progress(what: str, steps: int) -> Callable[[], None]:
            bar = bars.add_task(what, total=steps)
            return lambda: bars.advance(bar)

        try:
            recipe = TorqueRecipe(
                network, plan=TorquePlan(runs=runs), steps=steps, rounds=rounds, seed=seed
            )
            _, facts = make_torque_network(
                recipe, target, data, scheduler=scheduler, progress=progress
            )
        except ValueError as error:
            raise SkyctlError(str(error)) from error
    table = Table("held-out states", "angle < 10°", "> 30°", "error / mean field")
    for name, s in facts.scores.items():
        table.add_row(name, f"{s.within_10_deg:.1%}", f"{s.beyond_30_deg:.2%}", f"{s.error:.3f}")
    console.print(table)
    console.print(f"wrote {target} and {target.with_suffix('.md')}")
    write_json(json_file, {name: asdict(s) for name, s in facts.scores.items()})


def bench_torque(
    model: Annotated[
        Path | None,
        typer.Option(help="Torque network (.onnx); left out: an untrained one, as fast."),
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time for each case.", min=0.1)] = 2.0,
    side: Annotated[
        int, typer.Option(help="Lattice on which the truth is timed, sites a side.", min=12)
    ] = 48,
    json_file: JsonFile = None,
) -> None:
    """Time of a torque: network, kernel polynomials, diagonalisation, bare convolution.

    One thread. At 48 sites a side diagonalisation alone takes minutes. Needs torch.
    """
    try:
        from skyctl.bench.torque_network import torque_speed
    except ImportError as error:
        complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error

    with explained():
        with console.status("") as status:
            try:
                result = torque_speed(model, seconds, side, status.update)
            except ValueError as error:
                raise SkyctlError(str(error)) from error
        table = Table("what", "sites", "ms", "ns a site", "times the network's", "error")
        for row in result["results"]:
            took_s, times = row["seconds"], row["times_network"]
            table.add_row(
                row["what"], str(row["sites"]), f"{took_s * 1e3:.3g}",
                f"{took_s / row['sites'] * 1e9:.3g}", "" if times is None else f"{times:.3g}",
                f"{row['error']:.1e}" if "error" in row else "",
            )  # fmt: skip
        console.print(table)
        write_json(json_file, result)


def reproduce_torque(
    preset: Annotated[
        Literal["quick", "paper"],
        typer.Option(help="An hour of a core, or the paper's sizes (days; a cluster, a GPU)."),
    ] = "quick",
    out: Annotated[
        Path,
        typer.Option(help="Folder for figures, result.json and the networks.", file_okay=False),
    ] = Path("reproduced-torque"),
    scheduler: Annotated[
        str, typer.Option(help="Where the truth is computed: here, local, or a Dask tcp://… .")
    ] = "here",
    seed: Annotated[int, typer.Option(help="Of weights, batches and films.", min=0)] = 0,
) -> None:
    """Torque networks of Phys. Rev. Research 5, 033188 (2023): training, films beside the truth.

    Interrupt it, and the same command keeps the states that are labelled. Needs torch: install
    skyctl with its extra "train".
    """
    try:
        from skyctl.studies.torque_paper import PRESETS
        from skyctl.studies.torque_paper import reproduce_torque as reproduce
    except ImportError as error:
        complain(f"{error}: install skyctl with its extra 'train' (in a checkout: make test)")
        raise typer.Exit(1) from error

    with explained(), progress_bar("") as bars:

        def progress(what: str, steps: int) -> Callable[[], None]:
            bar = bars.add_task(what, total=steps)
            return lambda: bars.advance(bar)

        try:
            result = reproduce(
                PRESETS[preset], out, scheduler=scheduler, seed=seed, progress=progress
            )
        except ValueError as error:
            raise SkyctlError(str(error)) from error
    table = Table("network", "states", "angle < 10°", "> 30°", "rotation error", "restored order")
    for name, found in result["networks"].items():
        targets, restored = found["targets"], result["restored"][name]
        for states, s in found["scores"].items():
            near, far = s["within_10_deg"], s["beyond_30_deg"]
            colours = [
                "green" if reached else "red"
                for reached in (
                    near >= targets["within_10_deg"], far <= targets["beyond_30_deg"],
                )
            ]  # fmt: skip
            table.add_row(
                name, states, f"[{colours[0]}]{near:.1%}[/]", f"[{colours[1]}]{far:.2%}[/]",
                f"{found['equivariance_error']:.1e}", f"{restored['order']:.1%}",
            )  # fmt: skip
    console.print(table)
    console.print(f"{result['seconds']:.0f} s; wrote figures, result.json and networks to {out}")
