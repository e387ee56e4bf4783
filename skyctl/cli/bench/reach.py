"""`skyctl bench reach`: three skyrmions at given places, beside baselines and without its parts."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json

Samples = Annotated[int, typer.Option(help="Unseen ones.", min=1)]

Noise = Annotated[float, typer.Option(help="Of the camera, in units of S_z.", min=0)]


def bench_reach(samples: Samples = 60, noise: Noise = 0.1, json_file: JsonFile = None) -> None:
    """How many pulses it takes to bring three skyrmions to given places, within 3 sites, on samples
    that nobody saw before; beside the same pulses at random places, and without looks (a pulse at
    each place, and that is it).

    And without its parts: a network in its place that names transitions at random, or tells
    nothing; the film as it truly is instead of noisy images; looks that are blank.
    """
    from skyctl.studies.reacher_judged import judge

    with explained():
        with complaints.status("reaching …"):
            result = judge(range(samples), noise=noise)
        rows = [
            {"agent": name, **{key: value for key, value in told.items() if key != "lives"}}
            for name, told in result["agents"].items()
        ]
        show_rows(rows)
        console.print("reached: said so, and the film was so; pulses: 21 where it was not reached")
        write_json(json_file, result)
