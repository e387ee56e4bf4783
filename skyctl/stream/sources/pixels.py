"""Pixels: from what a detector counts to the float32 that a Frame has."""

import math
from dataclasses import dataclass

import numpy as np

from skyctl.errors import UndecodableMessage
from skyctl.stream import wire


@dataclass(frozen=True)
class Scaling:
    """How counts become S_z: ``scale × (counts − offset)``, nothing else. There is no default: what
    a count means is the beamline's to say. Counts themselves are ``Scaling(offset=0, scale=1)``.

    offset : counts where S_z is 0; scale : S_z per count
    masked : S_z of pixels that are masked, dead or saturated, which detectors mark with the largest
        unsigned number (all bits set), or NaN. 0 takes no side; NaN makes the classifier refuse

    Computed in float32 for 8 and 16 bits, which is exact for whole offsets, in float64 for others.
    Raises ValueError for a number that is not finite, or a scale of 0.
    """

    offset: float
    scale: float
    masked: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.offset) and math.isfinite(self.scale) and self.scale):
            raise ValueError(
                f"scaling: offset {self.offset}, scale {self.scale}: give finite numbers and a "
                "scale that is not 0"
            )

    def apply(self, counts: np.ndarray) -> np.ndarray:
        """S_z of an image, float32 and read-only."""
        exact = np.float32 if counts.itemsize <= 2 else np.float64
        # A stranger's huge numbers become infinite, which the classifier refuses with the frame.
        with np.errstate(over="ignore", invalid="ignore"):
            values = counts.astype(exact)
            values -= exact(self.offset)
            values *= exact(self.scale)
            image = values.astype(np.float32, copy=False)
        if counts.dtype.kind == "u":
            mask = counts == np.iinfo(counts.dtype).max
        elif counts.dtype.kind == "f":
            mask = np.isnan(counts)
        else:
            mask = None
        if mask is not None:
            image[mask] = self.masked
        image.flags.writeable = False
        return image


def image_bytes(shape: tuple[int, int], dtype: np.dtype, limit: int) -> int:
    """Bytes of an image. Raises UndecodableMessage when they are over the limit, or none."""
    rows, columns = shape
    if not (0 < rows <= wire.LONGEST_SIDE and 0 < columns <= wire.LONGEST_SIDE):
        raise UndecodableMessage(f"image of {rows} × {columns} pixels")
    size = rows * columns * dtype.itemsize
    if size > limit:
        raise UndecodableMessage(f"image of {size} bytes: over {limit}")
    return size
