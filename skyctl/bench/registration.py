"""Benchmark of counts to S_z: a sample that drifts through a session, registered and not.

The detector is `CountingCamera`, whose every fault is known; so is the film under it.
"""

import datetime
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from skyctl.errors import FilmUnreadable
from skyctl.inference.film_reader import read_film
from skyctl.simulators.instrument.counting import CountingCamera, discs
from skyctl.stream.sources.calibration import Calibration, Provenance
from skyctl.stream.sources.drifting import Drifting
from skyctl.stream.sources.pixels import ToSz

_SIDE = 128
_STEP = 0.5
"""Pixels that a session drifts by between two movies, each way, standard deviation."""
_FARTHEST = 5.0
_MOVIES = 20
_IMAGES_AVERAGED = 4
_EDGE = 8
"""Pixels: what was shifted in there nobody has seen."""


@dataclass
class _Told:
    """S_z errors of the movies, and how many discs were counted right."""

    errors: list[float]
    right: int = 0

    def add(self, sz: np.ndarray, truth: np.ndarray, discs: int) -> None:
        inside = (slice(_EDGE, -_EDGE), slice(_EDGE, -_EDGE))
        good = sz[inside] != 0
        self.errors.append(float(np.sqrt(np.mean((sz[inside] - truth[inside])[good] ** 2))))
        try:
            self.right += read_film(sz, mask=sz == 0, pixel_sites=1.0).discs == discs
        except FilmUnreadable:
            return


def drifting_session(sessions: int = 25) -> list[dict[str, Any]]:
    """A row with registration, one without: rms of S_z, and films whose discs were counted right.

    sessions : cameras and samples, each calibrated once and then filmed for 20 movies while it
        drifts by up to 5 pixels, of films with 0 to 3 discs; contrast 5 %

    Raises RecordingError without scikit-image.
    """
    told = {"with": _Told([]), "without": _Told([])}
    farthest, took_s = 0.0, 0.0
    for seed in range(sessions):
        camera, drift = CountingCamera(seed, _SIDE), np.zeros(2)
        calibration = calibrated(camera)
        ways: dict[str, ToSz] = {
            "with": Drifting(calibration, 2 * _FARTHEST), "without": calibration.pipeline(),
        }  # fmt: skip
        for movie in range(_MOVIES):
            drift = np.clip(drift + camera.rng.normal(0, _STEP, 2), -_FARTHEST, _FARTHEST)
            truth = discs(_SIDE, movie % 4, camera.rng)
            counts = camera.counts(truth, (float(drift[0]), float(drift[1])))
            farthest = max(farthest, float(np.abs(drift).max()))
            for way, to_sz in ways.items():
                began = time.perf_counter()
                pipeline = to_sz.for_movie(counts)
                took_s += time.perf_counter() - began
                told[way].add(pipeline.apply(counts), truth, movie % 4)
    films = sessions * _MOVIES
    return [
        {
            "registration": way,
            "films": films,
            "drift_px": farthest,
            "sz_rms_p50": float(np.median(found.errors)),
            "sz_rms_max": max(found.errors),
            "discs_right": found.right,
            "ms_a_movie": 1e3 * took_s / films if way == "with" else 0.0,
        }
        for way, found in told.items()
    ]


def calibrated(camera: CountingCamera) -> Calibration:
    """Its calibration, of four images each."""
    full = np.ones((camera.side, camera.side))

    def mean(*what: Any, **how: Any) -> np.ndarray:
        return np.mean([camera.counts(*what, **how) for _ in range(_IMAGES_AVERAGED)], axis=0)

    return Calibration(
        dark=mean(light=0.0), up=mean(full), down=mean(-full), flat=mean(),
        provenance=Provenance(
            camera="bench", author="bench", images={}, measured=datetime.datetime.now(datetime.UTC)
        ),
    )  # fmt: skip
