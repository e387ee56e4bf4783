"""Random shots at films with one skyrmion: what the network says of them, and what happened."""

import numpy as np

from skyctl.simulators.instrument.spread import PulseSpread, SampleSpread
from skyctl.simulators.lattice.film import Film
from skyctl.studies.rig import MOVIE, Conditions, filmed

Judged = tuple[str, str, bool, bool]
"""Of a shot: the true process, the label, whether the verdict was early, and whether right."""
CENTRED, OFF_CENTRE = "centred, background -z", "off the centre, both backgrounds"
_FARTHEST_SITES = 25


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


def _put_skyrmion(film: Film, rng: np.random.Generator | None, turned: bool) -> None:
    film.set_skyrmion(background=1 if turned else -1)
    if rng is not None:
        shift = rng.integers(-_FARTHEST_SITES, _FARTHEST_SITES + 1, 2)
        film.spins = np.roll(film.spins, tuple(shift), (1, 2))
    film.settle()
