"""Drifting: S_z of a sample that moves under the camera from movie to movie."""

import logging
import math
from typing import Any

import numpy as np

from skyctl.stream.sources.calibration import Calibration
from skyctl.stream.sources.contrast import PairShift, Pipeline, Shift, shift_by

_log = logging.getLogger(__name__)


class Drifting:
    """A `Calibration`'s pipeline, with a registration of its own for each movie.

    The shift of a movie is that of its first image, before anything has happened to the film, and
    does not change within it; of two helicities either has its own. It goes with each frame
    (``Frame.shift``), so that S_z can be computed again bit for bit. A sample that has drifted
    farther than ``farthest`` is lost: its images then say nothing, so that nothing is decided from
    them.

    calibration, binned : as `Calibration.pipeline` has them; farthest : pixels, along either axis

    Raises RecordingError without scikit-image.
    """

    keeps_counts = True
    shift = (0.0, 0.0)

    def __init__(self, calibration: Calibration, farthest: float, binned: int = 1) -> None:
        self._calibration, self._farthest = calibration, farthest
        self._drift = calibration.drift()
        self._lost = shift_by((math.nan, math.nan) * calibration.helicities)
        self._pipeline = calibration.pipeline(self._lost, binned)

    def shape_of(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """As the pipeline's."""
        return self._pipeline.shape_of(counts)

    def for_movie(self, first: np.ndarray) -> Pipeline:
        """The pipeline of the movie whose first image this is."""
        found = self._drift(first)
        if not np.abs(found.offsets).max() <= self._farthest:  # as NaN is not
            _log.error(
                "the sample has drifted by %s pixels (rows, columns), and no farther than "
                "%g is followed: this movie says nothing. Move it back, or calibrate again.",
                ", ".join(f"{-offset:.1f}" for offset in found.offsets),
                self._farthest,
            )
            found = self._lost
        return self.moved(found)

    def moved(self, shift: Shift | PairShift) -> Pipeline:
        """The pipeline of a movie that was registered already."""
        stages = (shift if stage is self._lost else stage for stage in self._pipeline.stages)
        return Pipeline(tuple(stages), self._pipeline.gaps)

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of one image by itself."""
        return self.for_movie(counts).apply(counts)

    def describe(self) -> list[dict[str, Any]]:
        """The stages; of the registration what it is against, and how far it goes."""
        told = self._pipeline.describe()
        at = next(i for i, stage in enumerate(told) if stage["stage"] == Shift.name)
        told[at] = {"stage": Shift.name, "farthest": self._farthest}
        told[at]["calibration"] = self._calibration.sha256()
        return told
