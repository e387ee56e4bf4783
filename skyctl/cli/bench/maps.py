"""`skyctl bench maps`: the truth that mappers are judged on."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import a_bar_each, explained, progress_bar

Out = Annotated[Path, typer.Argument(help="Folder for theta40.json and so on.", file_okay=False)]

Theta = Annotated[
    list[int] | None, typer.Option(help="Polar angle of the pulse, degrees; may be repeated.")
]

Sample = Annotated[
    list[int] | None,
    typer.Option(help="Seed of a film of SampleSpread, may be repeated; or the default."),
]

Threads = Annotated[
    int | None, typer.Option(help="How many shots at once; left out: all cores.", min=1)
]


def bench_maps(
    out: Out,
    theta: Theta = None,
    sample: Sample = None,
    threads: Threads = None,
) -> None:
    """Simulate truth maps that mappers are judged on: 1760 shots each, some minutes of a core.

    Those that ship are 30, 40, 50 and 60 degrees of the default film and 40 degrees of others.
    """
    from skyctl.studies.truth_maps import simulate_truth

    maps = [(angle, seed) for angle in theta or [30, 40, 50, 60] for seed in sample or [None]]
    with explained(), progress_bar("shots") as progress:
        for angle, seed in maps:
            film = "" if seed is None else f", sample {seed}"
            simulated = a_bar_each(progress)(f"θ = {angle}°{film}", 44 * 40)
            simulate_truth(angle, seed, simulated, threads).save(out)
