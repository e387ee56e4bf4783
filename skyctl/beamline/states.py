"""The state check of a beamline: made of the film's parameters, its limit told by normal films."""

import contextlib
import hashlib
import inspect
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.compiled import cache_folder
from skyctl.inference.state_check import FALSE_ALARMS, StateCheck
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.lattice.ground_states import cooled, require_a_period
from skyctl.simulators.lattice.monte_carlo import FilmArrays, relaxed
from skyctl.simulators.lattice.nearest_state import NearestState

_MOVIES = 300
_SAMPLES = 16
"""Whole vectors of the CPU: twelve would cool down five times slower."""
_AT_REST, _SETTLING, _MOST_SWEEPS = 1e-3, 1000, 5000
"""Torque over J/μ: far less than a camera sees."""
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
    camera that has other pixels than the film's sites, a film without exchange, smaller than half
    of its helix's period, or periodic with an odd side.
    """
    require_a_period(parameters)
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


def kept_check(
    parameters: FilmParameters,
    imaging: Imaging | None = None,
    spread: SampleSpread | None = None,
    false_alarms: float = FALSE_ALARMS,
) -> StateCheck:
    """As ``calibrated_check``; a limit once found for this film, camera and spread is kept in the
    user's cache folder, until what it is found by is written anew."""
    path = _kept_limit(parameters, imaging or Imaging(), spread or SampleSpread(), false_alarms)
    with contextlib.suppress(OSError, ValueError):  # none, or not whole: found anew
        limit = float(path.read_text(encoding="ascii"))
        if 0 < limit < math.inf:
            return state_check(parameters, limit)
    check = calibrated_check(parameters, imaging, spread, false_alarms)
    with contextlib.suppress(OSError):  # a folder that cannot be written costs time, no more
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(repr(check.limit), encoding="ascii")
        partial.replace(path)  # cut short, 1e-05 would be 1e-0
    return check


def _kept_limit(
    parameters: FilmParameters, imaging: Imaging, spread: SampleSpread, false_alarms: float
) -> Path:
    """The file of one limit, named after all that it depends on."""
    methods = (sys.modules[part.__module__] for part in (StateCheck, NearestState, kept_check))
    told = [
        parameters.as_dict(), imaging.model_dump(), spread.model_dump(), false_alarms,
        *map(inspect.getsource, methods),
    ]  # fmt: skip
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:24]
    return cache_folder().parent / "states" / name


def recorded_check(header: dict[str, Any]) -> StateCheck | None:
    """The check of a recording, from its header; None where it had none."""
    facts = header.get("state_check")
    return facts and state_check(FilmParameters.from_dict(facts["film"]), facts["limit"])


def normal_states(
    parameters: FilmParameters, spread: SampleSpread, samples: Sequence[int]
) -> Iterator[np.ndarray]:
    """States of rest of samples around these parameters, (3, rows, columns) each: empty, with one
    skyrmion, and annealed, of each sample."""
    film, nominal = Film(parameters), FilmArrays.of(parameters, None, None)
    tolerance_T = _AT_REST * parameters.exchange_meV / parameters.moment_meV_per_T
    seeds = [_FIRST_SAMPLE + number for number in samples]
    # Side by side as the nominal film, which costs little more than one; then each as its sample.
    cold = np.stack(cooled(nominal, len(seeds), seeds[0]))
    annealed, _ = relaxed(nominal, cold, tolerance_T, _SETTLING)
    for seed, own in zip(seeds, annealed, strict=True):
        drawn, sign = spread.draw(seed, parameters).parameters, 1 if seed % 2 else -1
        film.set_uniform(sign)
        starts = [film.spins]
        film.set_skyrmion(sign)
        starts += [film.spins, own]
        arrays = FilmArrays.of(drawn, None, None)
        yield from relaxed(arrays, np.stack(starts), tolerance_T, _MOST_SWEEPS)[0]
