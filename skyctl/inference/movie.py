"""State of a movie under way: what the features of a frame depend on besides the frame."""

import numpy as np

from skyctl.inference.card import ModelCard
from skyctl.inference.features import (
    LEAST_INTERVAL_PS,
    background_level,
    background_sign,
    clock,
    frame_features,
    on_grid,
)
from skyctl.pulse import Pulse


class MoviePlace:
    """Where a model is in a movie.

    card : of the model; first : S_z (H, W), the first frame; pulse : whose movie it is
    """

    def __init__(self, card: ModelCard, first: np.ndarray, pulse: Pulse | None) -> None:
        self._card = card
        self._orientation = -background_sign(first)
        self._clocked = card.preprocessing == "cells"
        self._scale = self._orientation
        if self._clocked:
            self._scale = self._orientation / background_level(on_grid(first))
        self._peak_ps, self._width_ps = (pulse.peak_ps, pulse.width_ps) if pulse else (0.0, 1.0)
        self._before_ps: float | None = None
        self._looked_ps: float | None = None

    def admits(self, sz: np.ndarray, time_ps: float) -> tuple[str, bool]:
        """Why this frame makes the movie none for the model, or "", and whether to look at it."""
        if not self._clocked:
            return "", True
        valid, before = self._card.valid, self._before_ps
        self._before_ps = time_ps
        if before is None:
            fault = valid.refuses_first(sz, time_ps - self._peak_ps) if valid else ""
            return fault, True
        fault = valid.refuses_interval(time_ps - before) if valid else ""
        looked = self._looked_ps
        return fault, looked is None or time_ps - looked >= LEAST_INTERVAL_PS - 1e-6

    def features(self, sz: np.ndarray, time_ps: float) -> np.ndarray:
        """What the network gets of a frame that is looked at, float32 (features,)."""
        card = self._card
        if not self._clocked:
            return frame_features(sz, card.features, card.preprocessing, self._orientation)
        since_ps = 0.0 if self._looked_ps is None else time_ps - self._looked_ps
        self._looked_ps = time_ps
        cells = np.float32(self._scale) * on_grid(sz)
        return np.concatenate(
            [cells.ravel(), clock(time_ps, since_ps, self._peak_ps, self._width_ps)]
        )
