"""Random shots at films with one skyrmion, or with what the network never learned: what it says of
them, and what happened."""

import numpy as np

from skyctl.simulators.instrument.spread import PulseSpread, SampleSpread
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.lattice.ground_states import annealed
from skyctl.simulators.lattice.placed import placed
from skyctl.studies.rig import MOVIE, Conditions, filmed

Judged = tuple[str, str, bool, bool]
"""Of a shot: the true process, the label, whether the verdict was early, and whether right."""
CENTRED, OFF_CENTRE = "centred, background -z", "off the centre, both backgrounds"
_FARTHEST_SITES = 25
SEVERAL, LABYRINTH = "several skyrmions", "labyrinth"
"""What a film may begin with that is neither empty nor one skyrmion."""
_NUMBERS = 2, 6
_FROM_EDGE, _APART = 20.0, 26.0


def shots_at_skyrmions(
    where: str, count: int, noise: float, seed: int, interval_ps: float = 5.0
) -> list[Judged]:
    """Random shots at random samples with one skyrmion, each watched to the end or to its early
    verdict, a frame every ``interval_ps``.

    where : CENTRED or OFF_CENTRE; noise : of a pixel, in units of S_z
    """
    movie = MOVIE.model_copy(update={"interval_ps": interval_ps})
    verdicts: list[Judged] = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        sample = SampleSpread().draw(int(rng.integers(10**6, 10**8)))
        with filmed(sample, Conditions(noise=noise), int(rng.integers(10**6)), movie=movie) as rig:
            turned = where == OFF_CENTRE and rng.random() < 0.5
            _put_skyrmion(rig.film, rng if where == OFF_CENTRE else None, turned)
            if rig.truth()[0] != "one":
                continue
            pulse = PulseSpread().draw(int(rng.integers(10**8)))
            if turned:
                pulse = pulse.model_copy(update={"theta_deg": 180 - pulse.theta_deg})
            rig.fire(pulse)
            shot = rig.fired[0]
            verdicts.append((shot.process, shot.label, shot.early, shot.right))
    return verdicts


def shots_at_others(what: str, count: int, noise: float, seed: int) -> list[Judged]:
    """Random shots at random samples that begin with SEVERAL skyrmions, 2 to 6 in either
    background, or a LABYRINTH, cooled down from disorder; judged as ``shots_at_skyrmions``: the
    process of whatever is no single skyrmion is mixed."""
    verdicts: list[Judged] = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        sample = SampleSpread().draw(int(rng.integers(10**6, 10**8)))
        with filmed(sample, Conditions(noise=noise), int(rng.integers(10**6))) as rig:
            p = rig.film.parameters
            if what == LABYRINTH:
                rig.film.spins = annealed(p, seed=number)
            else:
                background = int(rng.choice((-1, 1)))
                places = _scattered(int(rng.integers(_NUMBERS[0], _NUMBERS[1] + 1)), rng)
                rig.film.spins = placed(p, places, background).spins
            rig.film.settle()
            if rig.truth()[0] != "other":
                continue
            rig.fire(PulseSpread().draw(int(rng.integers(10**8))))
            shot = rig.fired[0]
            verdicts.append((shot.process, shot.label, shot.early, shot.right))
    return verdicts


def _scattered(number: int, rng: np.random.Generator) -> list[tuple[float, float]]:
    """Places in a film of 100 × 100 sites, away from its edges and each other; fewer where no more
    have room."""
    places: list[tuple[float, float]] = []
    for x, y in rng.uniform(_FROM_EDGE, 100 - _FROM_EDGE, (200, 2)):
        if len(places) < number and all(np.hypot(x - u, y - v) > _APART for u, v in places):
            places.append((float(x), float(y)))
    return places


def _put_skyrmion(film: Film, rng: np.random.Generator | None, turned: bool) -> None:
    film.set_skyrmion(background=1 if turned else -1)
    if rng is not None:
        shift = rng.integers(-_FARTHEST_SITES, _FARTHEST_SITES + 1, 2)
        film.spins = np.roll(film.spins, tuple(shift), (1, 2))
    film.settle()
