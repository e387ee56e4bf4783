"""`skyctl bench starts`: the classifier on films that begin with what it never learned."""

from typing import Annotated, Any

import typer

from skyctl.cli.common import JsonFile, console, explained, show_rows, write_json

Shots = Annotated[int, typer.Option(help="At films of each kind.", min=1)]

Noise = Annotated[float, typer.Option(help="Of the camera, in units of S_z.", min=0)]

Seed = Annotated[int, typer.Option(help="Of samples, films and pulses.", min=0)]


def bench_starts(
    shots: Shots = 60, noise: Noise = 0.05, seed: Seed = 0, json_file: JsonFile = None
) -> None:
    """What the classifier says of random pulses at films that begin with several skyrmions or a
    labyrinth, beside films with one: names of processes, and wrong ones that it was sure of. Such
    a film's process is mixed. Three minutes.
    """
    from collections import Counter

    from skyctl.studies.network_shots import (
        LABYRINTH,
        OFF_CENTRE,
        SEVERAL,
        shots_at_others,
        shots_at_skyrmions,
    )
    from skyctl.studies.network_table import told

    with explained():
        result: dict[str, Any] = {"noise": noise, "seed": seed, "films": {}}
        rows = []
        with console.status("") as status:
            for what in (OFF_CENTRE, SEVERAL, LABYRINTH):
                status.update(what)
                fired = shots_at_skyrmions if what == OFF_CENTRE else shots_at_others
                found = fired(what, shots, noise, seed)
                labels = dict(Counter(f"{process}: {label}" for process, label, *_ in found))
                result["films"][what] = {**told(found), "labels": labels}
                row = result["films"][what]
                shares = ("named", "right", "sure", "sure_and_wrong")
                rows.append(
                    {"film": what, "shots": len(found)}
                    | {share: row[share].get("share", "-") for share in shares}
                )
        show_rows(rows)
        write_json(json_file, result)
