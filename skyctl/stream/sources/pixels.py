"""Pixels: from what a detector counts to the float32 that a Frame has."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from skyctl.errors import UndecodableMessage
from skyctl.stream import wire


class ToSz(Protocol):
    """What makes S_z of counts: a `Scaling`, a `Pipeline` of skyctl.stream.sources.contrast, or a
    `Drifting` of skyctl.stream.sources.drifting.

    keeps_counts : whether frames carry their counts along, to be recorded beside S_z
    shift : how far it moves an image, (rows, columns) of the detector's pixels; a pair of two
        helicities has four, of plus and of minus
    """

    @property
    def keeps_counts(self) -> bool: ...

    @property
    def shift(self) -> tuple[float, ...]: ...

    def shape_of(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of an image's S_z. Raises UndecodableMessage for counts of a wrong shape."""
        ...

    def for_movie(self, first: np.ndarray) -> "ToSz":
        """What makes S_z of all images of the movie that begins with this one, of a right shape.

        Raises UndecodableMessage.
        """
        ...

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of an image, float32 and read-only."""
        ...

    def describe(self) -> list[dict[str, Any]]:
        """What is done to the counts, for a recording's header."""
        ...


@dataclass(frozen=True)
class Scaling:
    """How counts become S_z: ``scale × (counts − offset)``, nothing else. There is no default: what
    a count means is the beamline's to say. Counts themselves are ``Scaling(offset=0, scale=1)``.

    offset : counts where S_z is 0; scale : S_z per count
    masked : S_z of pixels that measure nothing. The classifier takes exactly 0 for such a gap, and
        puts in what is beside it; NaN makes it refuse the movie
    gaps : counts that are no measurement: module gaps, masked, dead or saturated pixels. None: what
        DECTRIS and areaDetector use, the two largest unsigned numbers, -1 and -2 of signed ones; of
        floats no number. () where a detector uses none, or subtracts its dark image and so
        measures -1. NaN and infinity are never a measurement

    Computed in float32 for 8 and 16 bits, which is exact for whole offsets, in float64 for others.
    Raises ValueError for a number that is not finite, or a scale of 0.
    """

    offset: float
    scale: float
    masked: float = 0.0
    gaps: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale):
            raise ValueError(
                f"scaling: offset {self.offset}, scale {self.scale}: give finite numbers and a "
                "scale that is not 0"
            )

    @property
    def keeps_counts(self) -> bool:
        """A scaling can be undone: S_z says what the counts were."""
        return False

    @property
    def shift(self) -> tuple[float, ...]:
        """It moves nothing."""
        return (0.0, 0.0)

    def shape_of(self, counts: tuple[int, ...]) -> tuple[int, ...]:
        """As the counts."""
        return counts

    def for_movie(self, first: np.ndarray) -> "Scaling":  # noqa: ARG002
        """Itself: every image is scaled alike."""
        return self

    def describe(self) -> list[dict[str, Any]]:
        """Its one stage, for a recording's header."""
        return [{"stage": "scaling", "offset": self.offset, "scale": self.scale}]

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of an image, float32 and read-only."""
        exact = np.float32 if counts.itemsize <= 2 else np.float64
        # A stranger's huge numbers become infinite, which the classifier refuses with the frame.
        with np.errstate(over="ignore", invalid="ignore"):
            values = counts.astype(exact)
            values -= exact(self.offset)
            values *= exact(self.scale)
            image = values.astype(np.float32, copy=False)
        gaps = _GAPS[counts.dtype.kind](counts) if self.gaps is None else self.gaps
        if counts.dtype.kind == "f":
            image[~np.isfinite(counts)] = self.masked
        elif gaps and counts.size:  # most images have none: two quick looks instead of a comparison
            low, high = counts.min(), counts.max()
            gaps = tuple(gap for gap in gaps if low <= gap <= high)
        for gap in gaps:
            image[counts == gap] = self.masked
        image.flags.writeable = False
        return image


_GAPS: dict[str, Callable[[np.ndarray], tuple[float, ...]]] = {
    "u": lambda counts: (np.iinfo(counts.dtype).max, np.iinfo(counts.dtype).max - 1),
    "i": lambda counts: (-1, -2),
    "f": lambda counts: (),
}
"""What detectors mark gaps with, by the kind of their numbers."""


def image_bytes(shape: tuple[int, int], dtype: np.dtype, limit: int) -> int:
    """Bytes of an image. Raises UndecodableMessage when they are over the limit, or none."""
    rows, columns = shape
    if not (0 < rows <= wire.LONGEST_SIDE and 0 < columns <= wire.LONGEST_SIDE):
        raise UndecodableMessage(f"image of {rows} × {columns} pixels")
    size = rows * columns * dtype.itemsize
    if size > limit:
        raise UndecodableMessage(f"image of {size} bytes: over {limit}")
    return size
