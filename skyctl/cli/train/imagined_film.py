"""`skyctl train imagined-film`: what the seeker that imagines before it fires knows."""

from collections.abc import Callable
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

Out = Annotated[Path, typer.Option(help="The .npz file to write.")]

Data = Annotated[
    Path, typer.Option(help="Simulated weak pulses (HDF5): kept here, and gone on with.")
]

Probes = Annotated[int, typer.Option(help="Weak pulses to simulate.", min=100)]

WarmData = Annotated[Path, typer.Option(help="As --data, of shots at warm films.")]

Warm = Annotated[int, typer.Option(help="Shots at warm films to simulate.", min=100)]

Threads = Annotated[
    int | None, typer.Option(help="CPU threads that simulate. Left out: one a core.", min=1)
]


def train_imagined_film(
    out: Out = Path("imagined-film.npz"),
    data: Data = Path("probe-shots.h5"),
    warm_data: WarmData = Path("warm-shots.h5"),
    probes: Probes = 750,
    warm: Warm = 500,
    threads: Threads = None,
    json_file: JsonFile = None,
) -> None:
    """Simulate weak pulses at random samples, and fit the film that agents imagine.

    Networks of what a weak pulse's movie shows, warm and cold, at any camera noise, and of what a
    pulse does to a skyrmion: that is learned from the library of `skyctl train seeker`, for samples
    between its own, and warm films' from shots at them. Fifteen minutes of a core; stopped, it
    goes on where it was.
    """
    with extra("train"):
        from skyctl.models.imagined_film import fit_imagined_film
        from skyctl.models.probe_shots import make_probe_shots
        from skyctl.models.warm_shots import make_warm_shots
    from skyctl.agents.switching_library import SwitchingLibrary

    command = f"skyctl train imagined-film --probes {probes} --warm {warm}"
    with explained(ValueError), progress_bar("") as progress:
        library = SwitchingLibrary.load()

        def bar_of(what: str, total: int) -> Callable[[int], None]:
            bar = progress.add_task(what, total=total)
            return lambda done: progress.update(bar, completed=done)

        weak = make_probe_shots(
            probes, data, threads=threads, progress=bar_of("simulating weak pulses", probes)
        )
        at_warm = make_warm_shots(
            library, warm, warm_data, threads=threads,
            progress=bar_of("simulating warm films", warm),
        )  # fmt: skip
        fitted = a_bar_each(progress)("fitting", 3)
        fit = fit_imagined_film(library, weak, at_warm, out, command=command, progress=fitted)
    write_json(json_file, fit)
    console.print(
        f"{probes} weak pulses; on samples left out, their movies are told to {fit['movie']:.1g} "
        f"of S_z (cold), chances are {fit['divergence']:.2g} nats off the library's. Wrote {out}"
    )
