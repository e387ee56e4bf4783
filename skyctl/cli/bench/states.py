"""`skyctl bench states`: how well the state check tells states of a sample from faulty images."""

from typing import Annotated

import typer

from skyctl.cli.common import JsonFile, complaints, console, explained, show_rows, write_json

Movies = Annotated[int, typer.Option(help="Normal ones, and of each fault.", min=100)]

Seed = Annotated[int, typer.Option(help="Of films, faults and noise.", min=0)]


def bench_states(movies: Movies = 128, seed: Seed = 0, json_file: JsonFile = None) -> None:
    """AUROC of the state check over twelve subtle faults and five gross ones, at three noises, from
    S_z and from whole spins; beside it the same without its smoothing, and statistical features
    instead (Mahalanobis). Of one frame, and of the mean over eight. Five minutes.
    """
    from skyctl.studies.state_check_judged import judge

    with explained():
        with complaints.status("scoring …"):
            result = judge(movies, seed=seed)
        rows = [
            {"noise, image": name, "score": score, **_means(told[score])}
            for name, told in result["noises"].items()
            for score in ("projection", "unsmoothed", "features")
        ]
        show_rows(rows)
        for name, told in result["noises"].items():
            console.print(f"{name}: false alarms {told['false_alarms']:.1%}")
        unseen = result["default_film"]
        console.print(
            f"default film, samples the limit was not told by, noise {unseen['noise']:g}: false "
            f"alarms {unseen['false_alarms']:.1%}, torn frames told {unseen['torn_told']:.1%}"
        )
        write_json(json_file, result)


def _means(told: dict[str, float]) -> dict[str, float | str]:
    names = ("subtle_frame", "subtle_movie", "subtle_visible_movie", "gross_frame", "gross_movie")
    return {name: told.get(name, "") for name in names}
