"""`skyctl bench generator`: drawn states beside random fields, discs and annealed films."""

from typing import Annotated

import typer

from skyctl.cli.common import (
    JsonFile,
    complaints,
    console,
    explained,
    extra,
    show_rows,
    write_json,
)

States = Annotated[int, typer.Option(help="Of each kind.", min=8)]


def bench_generator(states: States = 64, json_file: JsonFile = None) -> None:
    """Energies of states that the generator draws, beside those of random fields and of analytic
    discs relaxed for as long, the making of the network counted; and whether what it draws as
    annealed is like annealed films. Five minutes; needs torch ('bluesky-skyctl[train]').
    """
    with extra("train"):
        from skyctl.studies.generator_judged import judge

    with explained():
        with complaints.status("drawing …"):
            result = judge(states)
        for film in ("at_equal_time", "at_equal_time_paper_film"):
            rows = result[film]["sources"]
            show_rows([{"source": name, **row} for name, some in rows.items() for row in some])
        for size, told in result["as_annealed"].items():
            p = {name: told[name]["p"] for name in ("energy", "charge", "radial")}
            console.print(f"{size}: as annealed? p = {p}; k {told['k_spread']}", highlight=False)
        show_rows(result["numbers"])
        write_json(json_file, result)
