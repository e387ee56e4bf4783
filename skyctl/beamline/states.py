"""The state check of a beamline: made of the film's parameters, its limit told by normal films."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from skyctl.inference.state_check import FALSE_ALARMS, StateCheck
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.ground_states import annealed
from skyctl.simulators.lattice.monte_carlo import FilmArrays, relaxed
from skyctl.simulators.lattice.nearest_state import NearestState

_MOVIES = 300
_SAMPLES = 12
_FIRST_SAMPLE = 50_000
"""Seeds of the samples that the limit is told by: none that a study draws."""


def state_check(parameters: FilmParameters, limit: float = np.inf) -> StateCheck:
    """The check of a film of these parameters, one pixel a site."""
    facts = {"film": parameters.as_dict(), "limit": limit}
    return StateCheck(NearestState(parameters), limit, facts)


def calibrated_check(
    parameters: FilmParameters,
    imaging: Imaging | None = None,
    spread: SampleSpread | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> StateCheck:
    """The check, with the limit that normal films under this camera tell.

    parameters : of the film as far as it is known; spread : how far samples are from it, None as
        ``SampleSpread`` has it

    The normal films are empty, hold a skyrmion or many, and lie at rest. Raises ValueError for a
    camera that has other pixels than the film's sites.
    """
    imaging = imaging or Imaging()
    shape = imaging.image_shape(parameters.rows, parameters.columns)
    if shape != (parameters.rows, parameters.columns):
        raise ValueError(
            f"state check: an image of {shape} of a film of {parameters.rows} x "
            f"{parameters.columns} sites; a camera of one pixel a site is needed"
        )
    check = state_check(parameters)
    states = list(normal_states(parameters, spread or SampleSpread(), range(_SAMPLES)))
    images = (
        imaging.image(states[k % len(states)], shot=k // len(states), frame=k % len(states))
        for k in range(_MOVIES)
    )
    return check.limited((check.score(image) for image in images), false_alarms)


def recorded_check(header: dict[str, Any]) -> StateCheck | None:
    """The check of a recording, from its header; None where it had none."""
    facts = header.get("state_check")
    return facts and state_check(FilmParameters.from_dict(facts["film"]), facts["limit"])


def normal_states(
    parameters: FilmParameters, spread: SampleSpread, samples: Sequence[int]
) -> Iterator[np.ndarray]:
    """States of rest of samples around these parameters, (3, rows, columns) each: empty and one
    skyrmion; of every fourth sample, whose film takes seconds to cool down, annealed as well."""
    film = Film(parameters)
    for number in samples:
        drawn = spread.draw(_FIRST_SAMPLE + number, parameters).parameters
        arrays, sign = FilmArrays.of(drawn, None, None), 1 if number % 2 else -1
        film.set_uniform(sign)
        starts = [film.spins]
        film.set_skyrmion(sign)
        starts.append(film.spins)
        yield from relaxed(arrays, np.stack(starts), 1e-2, 5000)[0]
        if number % 4 == 0:
            yield annealed(drawn, seed=number)
