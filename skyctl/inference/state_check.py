"""Is this image a state of this sample? How far it is from the film's nearest state of rest.

Only a film at rest is a state: in a movie, its first frame and those before the pulse. What moves
is the network's business.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from skyctl.errors import FilmUnreadable
from skyctl.inference.pixels import good_pixels, pixel_noise
from skyctl.pulse import Pulse

Nearest = Callable[[np.ndarray, float], np.ndarray]
"""(S_z (H, W) or spins (3, H, W), noise of a pixel) → spins (3, H, W) of the state of rest next to
it: ``simulators.lattice.nearest_state.NearestState``."""
FALSE_ALARMS = 0.01
_SMOOTHING = 0.7
"""Gaussian radius, pixels: takes out noise, and leaves what is as wide as two sites."""
_BEFORE_WIDTHS = 3.5
"""Of a pulse, before its peak: there it has 0.2 % of its field."""


@dataclass(frozen=True)
class StateCheck:
    """Scores images of one sample's film.

    nearest : finds the film's states
    limit : score of a movie above which it is no state, above 0; infinite until normal movies
        have told it
    facts : of film and limit, plain values, for a recording's header
    """

    nearest: Nearest
    limit: float = math.inf
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.limit > 0:
            raise ValueError(f"limit = {self.limit}: of a state check it is above 0")

    def score(self, image: np.ndarray) -> float:
        """Mean square of what image and nearest state differ by, smoothed.

        image : S_z (H, W), one pixel a site, or spins (3, H, W). A pixel that is NaN or exactly 0
        is missing, and differs by nothing. The camera's noise is in the score: a limit is good for
        one camera.

        Raises ValueError for an image of another size than the film's, FilmUnreadable for one that
        shows nothing.
        """
        flat = image if image.ndim == 2 else image[2]
        values, good = good_pixels(flat, None)
        noise = pixel_noise(values, good)
        if image.ndim == 3:
            difference = np.nan_to_num(image) - self.nearest(np.nan_to_num(image), noise)
        else:
            sz = self.nearest(values, noise)[2]
            difference = (values - sz)[None]
        difference = np.where(good, difference, 0.0)
        smooth = ndimage.gaussian_filter(difference, (0, _SMOOTHING, _SMOOTHING), mode="nearest")
        return float((smooth**2).mean())

    def limited(self, movies: Iterable[float], false_alarms: float = FALSE_ALARMS) -> "StateCheck":
        """The same check with the limit above which this share of ``movies`` lies, of normal ones'
        scores. Raises ValueError for fewer movies than one false alarm takes."""
        scores = np.array(list(movies))
        if len(scores) * false_alarms < 1 or not np.isfinite(scores).all():
            raise ValueError(
                f"{len(scores)} normal movies for a share of {false_alarms:g} false alarms: give "
                f"{math.ceil(1 / false_alarms)} finite scores or more"
            )
        limit = float(np.quantile(scores, 1 - false_alarms))
        return StateCheck(self.nearest, limit, {**self.facts, "limit": limit})


class MovieCheck:
    """The score of one movie, a frame at a time: the mean over its frames at rest.

    pulse : whose movie it is; None is a look
    """

    def __init__(self, check: StateCheck, pulse: Pulse | None) -> None:
        self._check, self._rests_until_ps = check, _begins_ps(pulse) if pulse else math.inf
        self._total, self._count = 0.0, 0

    @property
    def off_states(self) -> float:
        """The mean score so far over the limit: above 1 it is no state. 0 before any frame."""
        return self._total / self._count / self._check.limit if self._count else 0.0

    @property
    def fault(self) -> str:
        """Why it is none, or ""."""
        if self.off_states <= 1:
            return ""
        return f"no state of this sample at rest (differs {self.off_states:.1f} times the limit)"

    def add(self, image: np.ndarray, time_ps: float) -> None:
        """Take one more frame, S_z (H, W); one that the pulse has reached is passed over.

        An image that shows nothing counts as infinitely far off.
        """
        if self._count and time_ps > self._rests_until_ps:
            return
        try:
            self._total += self._check.score(image)
        except FilmUnreadable:
            self._total = math.inf
        self._count += 1


def _begins_ps(pulse: Pulse) -> float:
    """Movie time at which a pulse, or a second, reaches the film."""
    own = pulse.peak_ps - _BEFORE_WIDTHS * pulse.width_ps
    if pulse.waveform:
        own = pulse.peak_ps + pulse.waveform.corners(pulse.width_ps)[0]
    return min(own, _begins_ps(pulse.second)) if pulse.second else own
