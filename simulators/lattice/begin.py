"""What a film holds before anything is done to it, by a word or a file's name."""

from pathlib import Path

from skyctl.simulators.lattice.files import load_film
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.lattice.ground_states import annealed, ground_state
from skyctl.simulators.lattice.states import FILM_SUFFIXES, is_ovf, read_state

BEGINNINGS = ("empty", "skyrmion", "ground-state", "annealed")
"""What a film may begin with, besides a file of spins."""
_ANNEALS = 16


def begin(film: Film, start: str, *, seed: int = 0) -> None:
    """Give a film its first state.

    start : "empty" (uniform), "skyrmion" (one, relaxed), "ground-state" (``ground_states``),
        "annealed" (cooled down from disorder and relaxed: many skyrmions or a labyrinth, by
        ``seed``), or the name of a file of spins (OVF, or a film of ours)

    Raises ValueError for another word and where a film does not hold it; FileNotFoundError and
    FormatError for a file.
    """
    path = Path(start)
    p = film.parameters
    if start == "empty":
        film.set_uniform()
    elif start == "skyrmion":
        film.set_skyrmion()
    elif start == "ground-state":
        sites, pinned = film.sites, film.anisotropy_map
        film.spins = ground_state(
            p, random_fields=_ANNEALS, anneals=_ANNEALS, seed=seed, sites=sites,
            anisotropy_map=pinned,
        ).spins  # fmt: skip
    elif start == "annealed":
        film.spins = annealed(p, seed=seed, sites=film.sites, anisotropy_map=film.anisotropy_map)
    elif is_ovf(path):
        film.spins = read_state(path).spins
    elif path.suffix.lower() in FILM_SUFFIXES:
        film.spins = load_film(path).spins
    else:
        raise ValueError(
            f"start {start!r}: give one of {', '.join(BEGINNINGS)}, or a file of spins (.ovf, "
            ".omf, .h5)"
        )
