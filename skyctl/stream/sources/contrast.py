"""Counts → S_z: a pipeline of named stages, and the calibration that they are made of.

Detector first, sample next: dark, gain of each pixel, mask; then where the image has drifted to;
then what the sample is without its magnetism (reference), and how much a saturated film changes
the counts (contrast). The order is that of the light, backwards.
"""

import datetime
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
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


class Stage(Protocol):
    """One step. NaN is a pixel that says nothing, through all of them.

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

    def apply(self, image: np.ndarray) -> np.ndarray:
        return image - self.image


@dataclass(frozen=True)
class Flat:
    """Divides by the gain of each pixel, uneven light in it: a flat field of mean 1."""

    gain: np.ndarray
    name: str = "flat"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"smallest": float(np.nanmin(self.gain)), "largest": float(np.nanmax(self.gain))}

    def apply(self, image: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return image / self.gain


@dataclass(frozen=True)
class Mask:
    """Pixels that are dead or hot say nothing."""

    bad: np.ndarray
    name: str = "mask"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"pixels": int(self.bad.sum())}

    def apply(self, image: np.ndarray) -> np.ndarray:
        return np.where(self.bad, np.float32(np.nan), image)


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

    def apply(self, image: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return image / self.image - 1


@dataclass(frozen=True)
class Contrast:
    """Divides by the contrast of the saturated film: then +1 and -1 are what was saturated."""

    contrast: float
    name: str = "contrast"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"contrast": self.contrast}

    def apply(self, image: np.ndarray) -> np.ndarray:
        return image / np.float32(self.contrast)


@dataclass(frozen=True)
class Bin:
    """Means of squares of pixels, of those in them that say something."""

    pixels: int
    name: str = "binning"

    @property
    def parameters(self) -> dict[str, Any]:
        return {"pixels": self.pixels}

    def apply(self, image: np.ndarray) -> np.ndarray:
        n = self.pixels
        rows, columns = (side // n * n for side in image.shape)
        squares = image[:rows, :columns].reshape(rows // n, n, columns // n, n)
        good = np.isfinite(squares)
        count = good.sum((1, 3))
        total = np.where(good, squares, 0).sum((1, 3))
        return np.where(count, total / np.maximum(count, 1), np.nan).astype(np.float32)


@dataclass(frozen=True)
class Pipeline:
    """Stages one after the other; it stands where a `Scaling` does.

    stages : in their order; gaps : the source's own marks of pixels that measured nothing, as in
        Scaling; masked : S_z of pixels that say nothing. Exactly 0 is a gap to the classifier
    """

    stages: tuple[Stage, ...]
    gaps: tuple[float, ...] | None = None
    masked: float = 0.0

    @property
    def keeps_counts(self) -> bool:
        """Another calibration would make another S_z of them."""
        return True

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of an image of counts, float32 and read-only."""
        image = Scaling(0.0, 1.0, masked=np.nan, gaps=self.gaps).apply(counts)
        for stage in self.stages:
            image = stage.apply(image)
        image = np.where(np.isfinite(image), image, np.float32(self.masked)).astype(np.float32)
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
            f"{error}: registration needs scikit-image. Install skyctl's extra 'counts'."
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


class Provenance(BaseModel):
    """Where a calibration comes from.

    camera : its name, as the beamline's file has it; images : of each kind, how many were averaged
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: str = Field(min_length=1)
    author: str = Field(min_length=1)
    measured: datetime.datetime
    images: dict[str, int]
    run: str = ""


@dataclass(frozen=True)
class Calibration:
    """What one camera counts: in the dark, of each saturation, and with the sample out.

    dark, up, down : mean counts, (H, W); flat : mean counts without a sample, None where it was not
        measured: then uneven light is in up and down, which serves while nothing drifts
    bad : pixels that say nothing, found from these images

    Raises ValueError for images that do not fit each other, or no contrast between up and down.
    """

    dark: np.ndarray
    up: np.ndarray
    down: np.ndarray
    provenance: Provenance
    flat: np.ndarray | None = None
    bad: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        images = [self.dark, self.up, self.down, *([] if self.flat is None else [self.flat])]
        if len({image.shape for image in images}) != 1:
            raise ValueError(f"calibration images of {[i.shape for i in images]}: give one shape")
        light = (self.up + self.down) / 2 - self.dark
        bad = ~np.isfinite(light) | (light < 0.05 * np.nanmedian(light))
        if self.flat is not None:
            gain = self.flat - self.dark
            bad |= ~np.isfinite(gain) | (gain < 0.05 * np.nanmedian(gain))
        object.__setattr__(self, "bad", bad)
        if not 1e-4 < abs(self.contrast) < 1:
            raise ValueError(
                f"contrast {self.contrast:.2g} between both saturations: they were not reached, or "
                "the light has none. Saturate the film, and see the photon energy and polarisation"
            )

    @property
    def contrast(self) -> float:
        """(I↑ − I↓) / (I↑ + I↓) of the saturated film, the median over pixels."""
        total = self.up + self.down - 2 * self.dark
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(self.bad, np.nan, (self.up - self.down) / total)
        return float(np.nanmedian(ratio))

    def pipeline(
        self, shift: Shift | None = None, binned: int = 1, gaps: tuple[float, ...] | None = None
    ) -> Pipeline:
        """Stages that make S_z of this camera's counts.

        shift : where the image has drifted to, from `drift`; binned : pixels a side
        """
        detector = self._detector
        reference = (self.up + self.down) / 2
        for stage in detector:
            reference = stage.apply(reference)
        stages: list[Stage] = [*detector, *([shift] if shift else [])]
        stages += [Reference(reference.astype(np.float32)), Contrast(self.contrast)]
        if binned > 1:
            stages.append(Bin(binned))
        return Pipeline(tuple(stages), gaps)

    def drift(self, counts: np.ndarray) -> Shift:
        """Where the sample has drifted to in an average of counts, from where it was calibrated."""
        image, reference = counts, (self.up + self.down) / 2
        for stage in self._detector:
            image, reference = stage.apply(image), stage.apply(reference)
        return registered(image, reference)

    @property
    def _detector(self) -> list[Stage]:
        """Stages that know the detector and its light, and no sample."""
        stages: list[Stage] = [Dark(self.dark)]
        if self.flat is not None:
            gain = self.flat - self.dark
            stages.append(Flat(gain / np.nanmean(gain[~self.bad])))
        return [*stages, Mask(self.bad)]

    def save(self, path: Path) -> None:
        """Write it, with its provenance; an existing file is never overwritten."""
        if path.exists():
            raise RecordingError(f"calibration {path}: is there already. Choose another name.")
        kept: dict[str, Any] = {"dark": self.dark, "up": self.up, "down": self.down}
        kept["provenance"] = self.provenance.model_dump_json()
        if self.flat is not None:
            kept["flat"] = self.flat
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez(file, **kept)

    @classmethod
    def load(cls, path: Path, camera: str, shape: tuple[int, int]) -> "Calibration":
        """Read one, of this camera. Raises RecordingError for another's, or what is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                images: Mapping[str, np.ndarray] = {
                    name: file[name] for name in ("dark", "up", "down", "flat") if name in file
                }
                told = Provenance.model_validate(json.loads(str(file["provenance"])))
            loaded = cls(provenance=told, **images)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise RecordingError(f"calibration {path}: cannot be read ({error})") from error
        if told.camera != camera or loaded.dark.shape != shape:
            raise RecordingError(
                f"calibration {path}: of camera {told.camera}, {loaded.dark.shape}; the beamline "
                f"has {camera}, {shape}. Calibrate this one (the plan calibrate_contrast)."
            )
        return loaded

    def sha256(self) -> str:
        """Of its images, for a recording's header."""
        digest = hashlib.sha256()
        for image in (self.dark, self.up, self.down, self.flat):
            if image is not None:
                digest.update(np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()
