"""The state that `skyctl run reach` is to bring a film to, from its options."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from skyctl.cli.common import console, values_checked

if TYPE_CHECKING:
    from skyctl.agents.reacher import Target
    from skyctl.simulators.lattice.film import FilmParameters


def wanted_state(
    plan: str, film: "FilmParameters", places: list[str] | None, file: Path | None, up: bool
) -> "Target | None":
    """The target of ``reach`` in this film, None for another plan. Misuse: status 2."""
    if plan != "reach":
        if places or file or up:
            raise typer.BadParameter("--place, --target and --up are for the plan reach")
        return None
    if bool(places) == bool(file):
        raise typer.BadParameter("reach: give places (--place X,Y …) or a state (--target FILE)")
    if file and up:
        raise typer.BadParameter("--up goes with --place: a state says where it points")
    from skyctl.agents.reacher import Target
    from skyctl.simulators.lattice.placed import placed

    with values_checked():
        target = _of_file(film, file) if file else Target(_read(places or []), 1 if up else -1)
        state = placed(film, target.places, target.background)
        where = ", ".join(f"({x:.0f}, {y:.0f})" for x, y in target.places)
        console.print(
            f"target: {len(target.places)} skyrmions at {where} in "
            f"{'+' if target.background > 0 else '-'}z; relaxed {state.over_empty_meV:.2f} meV "
            f"over the empty film, topological charge {state.charge:.2f}",
            highlight=False,
        )
    return target


def _read(places: list[str]) -> "tuple[tuple[float, float], ...]":
    try:
        read = [tuple(float(part) for part in place.split(",")) for place in places]
        return tuple((x, y) for x, y in read)
    except ValueError:
        raise ValueError(f"places {places}: give each as X,Y, in sites") from None


def _of_file(parameters: "FilmParameters", path: Path) -> "Target":
    from skyctl.agents.reacher import Target
    from skyctl.inference.film_reader import read_film
    from skyctl.simulators.lattice.begin import begin
    from skyctl.simulators.lattice.film import Film

    film = Film(parameters)
    begin(film, str(path))
    seen = read_film(film.spins[2].astype(np.float32), pixel_sites=1.0)
    if seen.domains:
        raise ValueError(f"target {path}: it holds {seen}; a state of skyrmions alone is needed")
    return Target(tuple((x, y) for x, y, _ in seen.places), seen.background)
