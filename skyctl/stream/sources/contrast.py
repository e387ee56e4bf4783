"""Counts → S_z: a pipeline of named stages. What they are made of is a `Calibration`.

Detector first, sample next: dark, gain of each pixel, mask; then where the image has drifted to;
then what the sample is without its magnetism (reference), and how much a saturated film changes
the counts (contrast). The order is that of the light, backwards.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from scipy import ndimage

from skyctl.errors import RecordingError
from skyctl.stream.sources.pixels import Scaling

_SUBPIXELS = 20
_REFINEMENTS = 4
_EDGE = 8
_AROUND = 1.0
"""Pixels: a dead pixel is filled from so near."""
_WHOLE = 0.99
"""A shifted pixel says something where less than a hundredth of it comes from one that does not."""


class Affine(Protocol):
    """A step that multiplies each pixel and adds to it: several are done in one go.

    name : in recordings; parameters : plain facts, what made it what it is
    affine : (factor, summand), numbers or images
    """

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]: ...

    @property
    def affine(self) -> tuple[Any, Any]: ...


class Stage(Protocol):
    """Any other step. NaN is a pixel that says nothing, through all of them.

    name : in recordings; parameters : plain facts, what made it what it is
    """

    @property
    def name(self) -> str: ...

    @property
    def parameters(self) -> dict[str, Any]: ...

    def apply(self, image: np.ndarray) -> np.ndarray:
        """The image after it, float32 (H, W)."""
        ...


@dataclass(frozen=True)
class Dark:
    """Takes away what the detector counts without light."""

    image: np.ndarray
    name: str = "dark"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"mean": float(np.nanmean(self.image))}

    @property
    def affine(self) -> tuple[Any, Any]:
        return 1.0, -self.image


@dataclass(frozen=True)
class Flat:
    """Divides by the gain of each pixel, uneven light in it: a flat field of mean 1."""

    gain: np.ndarray
    name: str = "flat"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"smallest": float(np.nanmin(self.gain)), "largest": float(np.nanmax(self.gain))}

    @property
    def affine(self) -> tuple[Any, Any]:
        return 1.0 / _or_nan(self.gain), 0.0


@dataclass(frozen=True)
class Mask:
    """Pixels that are dead or hot say nothing."""

    bad: np.ndarray
    name: str = "mask"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"pixels": int(self.bad.sum())}

    @property
    def affine(self) -> tuple[Any, Any]:
        return np.where(self.bad, np.nan, 1.0), 0.0


@dataclass(frozen=True)
class Shift:
    """Moves the image back to where the reference was taken; what is shifted in says nothing.

    rows, columns : how far, pixels, as `registered` finds it
    """

    rows: float
    columns: float
    name: str = "registration"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"rows": self.rows, "columns": self.columns}

    def apply(self, image: np.ndarray) -> np.ndarray:
        # Cubic: what the sample's own structure is off by, the contrast divides, by 0.05 say.
        good, shift = np.isfinite(image), (self.rows, self.columns)
        values = ndimage.shift(_filled(image, good), shift, order=3, mode="nearest")
        weight = ndimage.shift(good.astype(np.float32), shift, order=1, cval=0.0)
        return np.where(weight > _WHOLE, values, np.float32(np.nan))


@dataclass(frozen=True)
class Reference:
    """Divides by the sample without its magnetism: the mean of both saturations."""

    image: np.ndarray
    name: str = "reference"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"mean": float(np.nanmean(self.image))}

    @property
    def affine(self) -> tuple[Any, Any]:
        return 1.0 / _or_nan(self.image), -1.0


@dataclass(frozen=True)
class Contrast:
    """Divides by the contrast of the saturated film: then +1 and -1 are what was saturated."""

    contrast: float
    name: str = "contrast"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"contrast": self.contrast}

    @property
    def affine(self) -> tuple[Any, Any]:
        return 1.0 / self.contrast, 0.0


@dataclass(frozen=True)
class Bin:
    """Means of squares of pixels, of those in them that say something."""

    pixels: int
    name: str = "binning"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"pixels": self.pixels}

    def apply(self, image: np.ndarray) -> np.ndarray:
        rows, columns = (side // self.pixels * self.pixels for side in image.shape)
        whole = image[:rows, :columns]
        good = np.isfinite(whole)
        total = self._sums(np.where(good, whole, 0))
        if good.all():
            return total / np.float32(self.pixels**2)
        count = self._sums(good.astype(np.float32))
        return np.where(count, total / np.maximum(count, 1), np.float32(np.nan))

    def _sums(self, image: np.ndarray) -> np.ndarray:
        """Over rows first, which are next to each other: five times as fast as over squares."""
        n = self.pixels
        rows, columns = image.shape
        strips = image.reshape(rows // n, n, columns).sum(1)
        return strips.reshape(rows // n, columns // n, n).sum(2)


class Pipeline:
    """Stages one after the other; it stands where a `Scaling` does.

    stages : in their order; gaps : the source's own marks of pixels that measured nothing, as in
        Scaling; masked : S_z of pixels that say nothing. Exactly 0 is a gap to the classifier
    """

    def __init__(
        self,
        stages: tuple[Affine | Stage, ...],
        gaps: tuple[float, ...] | None = None,
        masked: float = 0.0,
    ) -> None:
        self.stages, self._masked = stages, masked
        self._marks = Scaling(0.0, 1.0, masked=np.nan, gaps=gaps)
        self._steps: list[Callable[[np.ndarray], np.ndarray]] = []
        together: tuple[Any, Any] | None = None
        for stage in stages:
            if hasattr(stage, "affine"):
                factor, summand = cast(Affine, stage).affine
                before = together or (1.0, 0.0)
                together = before[0] * factor, before[1] * factor + summand
                continue
            self._steps += [_affine_step(together)] if together else []
            self._steps.append(cast(Stage, stage).apply)
            together = None
        self._steps += [_affine_step(together)] if together else []

    @property
    def keeps_counts(self) -> bool:
        """Another calibration would make another S_z of them."""
        return True

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of an image of counts, float32 and read-only."""
        image = self._marks.apply(counts)
        for step in self._steps:
            image = step(image)
        image = np.where(np.isfinite(image), image, np.float32(self._masked))
        image.flags.writeable = False
        return image

    def describe(self) -> list[dict[str, Any]]:
        """The stages by name, with what made them, for a recording's header."""
        return [{"stage": stage.name, **stage.parameters} for stage in self.stages]


def _filled(image: np.ndarray, good: np.ndarray) -> np.ndarray:
    """The image, with what is around them in the pixels that say nothing."""
    if good.all():
        return image
    weight = ndimage.gaussian_filter(good.astype(np.float64), _AROUND)
    around = ndimage.gaussian_filter(np.where(good, image, 0).astype(np.float64), _AROUND)
    return np.where(good, image, around / np.maximum(weight, 1e-12))


def _or_nan(image: np.ndarray) -> np.ndarray:
    """The image, with NaN where it is 0: nothing is divided by that."""
    return np.where(image == 0, np.nan, image).astype(np.float64)


def _affine_step(together: tuple[Any, Any]) -> Callable[[np.ndarray], np.ndarray]:
    factor, summand = (np.asarray(part, np.float32) for part in together)

    def step(image: np.ndarray) -> np.ndarray:
        return (image * factor + summand).astype(np.float32, copy=False)

    return step


def asymmetry(plus: np.ndarray, minus: np.ndarray) -> np.ndarray:
    """(I₊ − I₋) / (I₊ + I₋) of two helicities: of one image each, dark and mask already taken away.

    Divided by that of the saturated film it is S_z. NaN where there is no light.
    """
    total = plus + minus
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(total > 0, (plus - minus) / total, np.float32(np.nan))


def registered(image: np.ndarray, reference: np.ndarray) -> Shift:
    """How an image has drifted from a reference: both of counts, with the same sample in them.

    Register averages, not frames: 230 ms for 512 × 512. Raises RecordingError without scikit-image.
    """
    try:
        from skimage.registration import phase_cross_correlation
    except ImportError as error:
        raise RecordingError(
            f"{error}: registration needs it. pip install 'bluesky-skyctl[counts]'"
        ) from error
    moving, fixed = (_relative(counts) for counts in (image, reference))
    # With its default normalisation it finds no shift at 5 % contrast.
    options: dict[str, Any] = {"upsample_factor": _SUBPIXELS, "normalization": None}
    shift, *_ = phase_cross_correlation(fixed, moving, **options)
    return _refined(np.asarray(shift, np.float64), image, reference)


def _refined(shift: np.ndarray, image: np.ndarray, reference: np.ndarray) -> Shift:
    """The shift to a hundredth of a pixel: least squares over what both images have (Lucas and
    Kanade). Correlation is off by a tenth, which at 5 % contrast is 0.2 of S_z."""
    for _ in range(_REFINEMENTS):
        moved = _relative(Shift(*shift).apply(image))
        slope = np.stack([np.gradient(moved, axis=0), np.gradient(moved, axis=1)])
        inside = np.isfinite(Shift(*shift).apply(np.where(np.isfinite(reference), image, np.nan)))
        inside[:_EDGE] = inside[-_EDGE:] = inside[:, :_EDGE] = inside[:, -_EDGE:] = False
        left = (_relative(reference) - moved)[inside]
        step, *_ = np.linalg.lstsq(slope[:, inside].T, left - left.mean(), rcond=None)
        shift = shift - step
    return Shift(float(shift[0]), float(shift[1]))


def _relative(counts: np.ndarray) -> np.ndarray:
    """Counts around their mean, which pixels that say nothing have as well, float64."""
    mean = np.nanmean(counts, dtype=np.float64)
    return np.where(np.isfinite(counts), counts / mean - 1, 0.0)
