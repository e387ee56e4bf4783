"""Registration: how far a sample has drifted, from what its own structure looks like."""

from typing import Any

import numpy as np

from skyctl.errors import RecordingError, install
from skyctl.stream.sources.contrast import Shift

_SUBPIXELS = 4
_REFINEMENTS = 3
_EDGE = 8


class Registration:
    """Finds the shift that brings an image back to the reference.

    Correlation finds it to a quarter of a pixel, least squares (Lucas and Kanade) then to a
    hundredth: at 5 % contrast a tenth is 0.2 of S_z.

    One image is enough wherever its S_z can be read: the photon noise of M pixels moves it by so
    much that S_z is off by a pixel's own noise over √M, whatever the structure.

    reference : counts (H, W), of the same sample; NaN says nothing. Images are of the same shape

    Raises RecordingError without scikit-image.
    """

    def __init__(self, reference: np.ndarray) -> None:
        try:
            from skimage.registration import phase_cross_correlation
        except ImportError as error:
            raise RecordingError(f"{error}: registration needs it. {install('counts')}") from error
        self._correlate = phase_cross_correlation
        self._reference = _relative(reference)
        self._says = np.where(np.isfinite(reference), np.float32(0), np.float32(np.nan))
        self._slope = np.stack([np.gradient(self._reference, axis=axis) for axis in (0, 1)])

    def shift_of(self, image: np.ndarray) -> Shift:
        """The shift of an image of counts; of averages and single images alike."""
        # With its default normalisation it finds no shift at 5 % contrast.
        options: dict[str, Any] = {"upsample_factor": _SUBPIXELS, "normalization": None}
        found, *_ = self._correlate(self._reference, _relative(image), **options)
        shift = Shift(float(found[0]), float(found[1]))
        for _ in range(_REFINEMENTS):
            shift = self._refined(shift, image)
        return shift

    def _refined(self, shift: Shift, image: np.ndarray) -> Shift:
        """One step of least squares over what both images have."""
        moved = shift.apply(image + self._says)
        inside = np.isfinite(moved)
        inside[:_EDGE] = inside[-_EDGE:] = inside[:, :_EDGE] = inside[:, -_EDGE:] = False
        slope, left = self._slope[:, inside], (self._reference - _relative(moved))[inside]
        step = np.linalg.solve(slope @ slope.T, slope @ (left - left.mean()))
        return Shift(shift.rows - float(step[0]), shift.columns - float(step[1]))


def _relative(counts: np.ndarray) -> np.ndarray:
    """Counts around their mean, which pixels that say nothing have as well, float64."""
    mean = np.nanmean(counts, dtype=np.float64)
    return np.where(np.isfinite(counts), counts / mean - 1, 0.0)
