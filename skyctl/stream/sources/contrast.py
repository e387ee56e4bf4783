"""Counts → S_z: a pipeline of named stages. What they are made of is a `Calibration`.

Detector first, sample next: dark, gain of each pixel, mask; then where the image has drifted to;
then what the sample is without its magnetism (reference), and how much a saturated film changes
the counts (contrast). The order is that of the light, backwards.

With two helicities an image is a pair, (2, H, W), plus first. Either has a dark, a reference and a
drift of its own, whatever the light; after their asymmetry it is one image.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np

from skyctl.errors import UndecodableMessage
from skyctl.stream.sources.kernels_shift import moved
from skyctl.stream.sources.pixels import Scaling


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

    rows, columns : how far, pixels; NaN is a sample that was not found again: nothing says anything
    """

    rows: float
    columns: float
    name: str = "registration"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"rows": self.rows, "columns": self.columns}

    @property
    def offsets(self) -> tuple[float, ...]:
        """(rows, columns)."""
        return self.rows, self.columns

    def apply(self, image: np.ndarray) -> np.ndarray:
        if not (math.isfinite(self.rows) and math.isfinite(self.columns)):
            return np.full_like(image, np.nan)
        # Cubic: what the sample's own structure is off by, the contrast divides, by 0.05 say.
        return moved(image, self.rows, self.columns)


@dataclass(frozen=True)
class PairShift:
    """Moves either image of a pair back by its own `Shift`."""

    plus: Shift
    minus: Shift
    name: str = "registration"

    @property
    def parameters(self) -> dict[str, Any]:
        both = (self.plus, self.minus)
        return {"rows": [one.rows for one in both], "columns": [one.columns for one in both]}

    @property
    def offsets(self) -> tuple[float, ...]:
        """(rows, columns) of plus, then of minus."""
        return *self.plus.offsets, *self.minus.offsets

    def apply(self, image: np.ndarray) -> np.ndarray:
        return np.stack([self.plus.apply(image[0]), self.minus.apply(image[1])])


def shift_by(offsets: tuple[float, ...]) -> Shift | PairShift:
    """What moves an image by (rows, columns), or a pair by those of plus and those of minus."""
    rows, columns, *minus = offsets
    first = Shift(rows, columns)
    return PairShift(first, Shift(minus[0], minus[1])) if minus else first


@dataclass(frozen=True)
class Reference:
    """Divides by the sample without its magnetism: the mean of both saturations.

    rest : taken away then. 1 leaves what the magnetism adds; 0, to take an asymmetry of
    """

    image: np.ndarray
    rest: float = 1.0
    name: str = "reference"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"mean": float(np.nanmean(self.image))}

    @property
    def affine(self) -> tuple[Any, Any]:
        return 1.0 / _or_nan(self.image), -self.rest


@dataclass(frozen=True)
class Asymmetry:
    """(I₊ − I₋) / (I₊ + I₋) of a pair of two helicities; NaN where there is no light."""

    name: str = "asymmetry"

    @property
    def parameters(self) -> dict[str, Any]:
        return {}

    def apply(self, image: np.ndarray) -> np.ndarray:
        plus, minus = image
        total = plus + minus
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(total > 0, (plus - minus) / total, np.float32(np.nan))


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
        self.stages, self.gaps, self._masked = stages, gaps, masked
        moves = [stage for stage in stages if isinstance(stage, Shift | PairShift)]
        self.shift: tuple[float, ...] = moves[0].offsets if moves else (0.0, 0.0)
        self._binned = math.prod(stage.pixels for stage in stages if isinstance(stage, Bin))
        self._shape: tuple[int, ...] = ()
        self._marks = Scaling(0.0, 1.0, masked=np.nan, gaps=gaps)
        self._steps: list[Callable[[np.ndarray], np.ndarray]] = []
        together: tuple[Any, Any] | None = None
        for stage in stages:
            if hasattr(stage, "affine"):
                factor, summand = cast(Affine, stage).affine
                self._shape = max(self._shape, np.shape(factor), np.shape(summand), key=len)
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

    def shape_of(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the S_z of an image. Raises UndecodableMessage for one of another camera."""
        if self._shape and counts != self._shape[-2:]:
            raise UndecodableMessage(
                f"an image of {counts}, and the calibration is of {self._shape[-2:]}: calibrate "
                "this camera (`skyctl calibration make`), or set its region of interest back"
            )
        return tuple(side // self._binned for side in counts)

    def for_movie(self, first: np.ndarray) -> "Pipeline":  # noqa: ARG002
        """Itself: nothing in it changes."""
        return self

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of an image of counts, float32 and read-only."""
        image = self._marks.apply(counts)
        for step in self._steps:
            image = step(image)
        image = np.array(image, np.float32)
        np.copyto(image, self._masked, where=~np.isfinite(image))  # half the time of np.where
        image.flags.writeable = False
        return image

    def describe(self) -> list[dict[str, Any]]:
        """The stages by name, with what made them, for a recording's header."""
        marks = [] if self.gaps is None else [{"stage": "gaps", "marks": list(self.gaps)}]
        return [*marks, *({"stage": stage.name, **stage.parameters} for stage in self.stages)]


def _or_nan(image: np.ndarray) -> np.ndarray:
    """The image, with NaN where it is 0: nothing is divided by that."""
    return np.where(image == 0, np.nan, image).astype(np.float64)


def _affine_step(together: tuple[Any, Any]) -> Callable[[np.ndarray], np.ndarray]:
    factor, summand = (np.asarray(part, np.float32) for part in together)

    def step(image: np.ndarray) -> np.ndarray:
        return (image * factor + summand).astype(np.float32, copy=False)

    return step
