"""Calibration: what one camera counts in the dark and of a saturated film, in a file."""

import datetime
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from skyctl.errors import RecordingError
from skyctl.stream.sources.contrast import (
    Affine,
    Asymmetry,
    Bin,
    Contrast,
    Dark,
    Flat,
    Mask,
    PairShift,
    Pipeline,
    Reference,
    Shift,
    Stage,
    shift_by,
)
from skyctl.stream.sources.registration import Registration


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

    dark, up, down : mean counts, (H, W), or (2, H, W) of two helicities; flat : mean counts without
        a sample, None where it was not measured: then uneven light is in up and down, which serves
        while nothing drifts
    gaps : the source's own marks of pixels that measured nothing, as in Scaling; not kept in a file
    bad : pixels that say nothing, found from these images

    Raises ValueError for images that do not fit each other, or no contrast between up and down.
    """

    dark: np.ndarray
    up: np.ndarray
    down: np.ndarray
    provenance: Provenance
    flat: np.ndarray | None = None
    gaps: tuple[float, ...] | None = None
    bad: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        images = [self.dark, self.up, self.down, *([] if self.flat is None else [self.flat])]
        shapes = [image.shape for image in images]
        pair = self.dark.ndim == 3 and len(self.dark) == 2
        if len(set(shapes)) != 1 or not (pair or self.dark.ndim == 2):
            raise ValueError(
                f"calibration images of {shapes}: give one shape, (H, W), or (2, H, W) of two "
                "helicities"
            )
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
    def helicities(self) -> int:
        """How many images an exposure has."""
        return 2 if self.dark.ndim == 3 else 1

    @property
    def contrasts(self) -> np.ndarray:
        """(I↑ − I↓) / (I↑ + I↓) of each pixel of the saturated film, NaN where that is bad."""
        total = self.up + self.down - 2 * self.dark
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(self.bad, np.nan, (self.up - self.down) / total)

    @property
    def contrast(self) -> float:
        """The median over pixels; of two helicities, of which the other has the opposite one, half
        of what lies between them. NaN where all pixels are bad."""
        if self.bad.all(axis=(-2, -1)).any():
            return np.nan
        medians = np.nanmedian(self.contrasts, axis=(-2, -1))
        return float(medians if self.helicities == 1 else (medians[0] - medians[1]) / 2)

    def pipeline(self, shift: Shift | PairShift | None = None, binned: int = 1) -> Pipeline:
        """Stages that make S_z of this camera's counts.

        shift : where the image has drifted to; binned : pixels a side
        """
        stages: list[Affine | Stage] = [*self._detector, *([shift] if shift else [])]
        if self.helicities == 1:
            stages.append(Reference(self._reference))
        else:
            stages += [Reference(self._reference, rest=0.0), Asymmetry()]
        stages.append(Contrast(self.contrast))
        if binned > 1:
            stages.append(Bin(binned))
        return Pipeline(tuple(stages), self.gaps)

    def drift(self) -> Callable[[np.ndarray], Shift | PairShift]:
        """What finds the shift that brings an image of counts, or an average, back to where it was
        calibrated. Raises RecordingError without scikit-image."""
        each = [Registration(image) for image in _images(self._reference)]

        def found(counts: np.ndarray) -> Shift | PairShift:
            seen = zip(each, _images(self.seen(counts)), strict=True)
            return shift_by(sum((one.shift_of(image).offsets for one, image in seen), ()))

        return found

    @property
    def _reference(self) -> np.ndarray:
        """The sample without its magnetism."""
        return self.seen((self.up + self.down) / 2)

    def seen(self, counts: np.ndarray) -> np.ndarray:
        """What the detector saw, whatever its gain, light and dark counts; NaN says nothing."""
        return Pipeline(tuple(self._detector), self.gaps, masked=math.nan).apply(counts)

    @property
    def _detector(self) -> list[Affine]:
        """Stages that know the detector and its light, and no sample."""
        stages: list[Affine] = [Dark(self.dark)]
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
    def read(cls, path: Path) -> "Calibration":
        """Read one, of whatever camera. Raises RecordingError for what is none."""
        try:
            with np.load(path, allow_pickle=False) as file:
                images: Mapping[str, np.ndarray] = {
                    name: file[name] for name in ("dark", "up", "down", "flat") if name in file
                }
                told = Provenance.model_validate(json.loads(str(file["provenance"])))
            return cls(provenance=told, **images)
        except (OSError, KeyError, ValueError, TypeError) as error:
            raise RecordingError(f"calibration {path}: cannot be read ({error})") from error

    @classmethod
    def load(cls, path: Path, camera: str, shape: tuple[int, ...]) -> "Calibration":
        """Read one, of this camera. Raises RecordingError for another's, or what is none.

        shape : (H, W), or (2, H, W) of two helicities
        """
        loaded = cls.read(path)
        told = loaded.provenance
        if told.camera != camera or loaded.dark.shape != shape:
            raise RecordingError(
                f"calibration {path}: of camera {told.camera}, {loaded.dark.shape}; asked for is "
                f"one of {camera}, {shape}. Calibrate this one (`skyctl calibration make`)."
            )
        return loaded

    def sha256(self) -> str:
        """Of its images, for a recording's header."""
        digest = hashlib.sha256()
        for image in (self.dark, self.up, self.down, self.flat):
            if image is not None:
                digest.update(np.ascontiguousarray(image).tobytes())
        return digest.hexdigest()


def _images(counts: np.ndarray) -> list[np.ndarray]:
    """The one image, or those of either helicity."""
    return [counts] if counts.ndim == 2 else list(counts)
