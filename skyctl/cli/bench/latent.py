"""`skyctl bench latent`: a latent network's speed beside its film's, and what it is good for."""

from pathlib import Path
from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json

Network = Annotated[
    Path | None,
    typer.Option(help="NAME-encoder.onnx of a latent network; left out: the shipped one."),
]

Lives = Annotated[int, typer.Option(help="Films to be steered; 0: speed alone.", min=0)]


def bench_latent(network: Network = None, lives: Lives = 12, json_file: JsonFile = None) -> None:
    """Time of a step and of a thousand trajectories, beside the film's own LLG in the same run; and
    thin films that nobody measured, steered in 5 shots with and without network and learning.

    A life takes half a minute.
    """
    from skyctl.bench.latent_network import latent_speed
    from skyctl.inference.latent_film import LatentFilm
    from skyctl.simulators.thin.film import ThinFilmParameters
    from skyctl.studies.steering_judged import judge

    with explained(ValueError):
        imagines = LatentFilm(network)
        film = ThinFilmParameters.from_dict(imagines.card.film)
        with complaints.status("timing …"):
            result = latent_speed(imagines, film)
        show_rows([{key: value for key, value in result.items() if key != "machine"}])
        if lives:
            with complaints.status("steering …") as status:
                result["steering"] = judge(imagines, film, range(lives), status.update)
            ways = result["steering"]["ways"]
            show_rows([{"way": name, **told} for name, told in ways.items()])
        write_json(json_file, result)
    console.print(f"{result['times_faster_in_a_batch']:.0f} times as fast as the film in a batch")
