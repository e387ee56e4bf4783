"""What maps of other samples teach of a map that has not been measured: its mean and covariance."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.ndimage import gaussian_filter


@dataclass(frozen=True)
class MapPrior:
    """Mean and covariance of the labels' fields, before any shot.

    mean : (rows, columns, classes), chance of each class
    covariance : (cells, cells), of a class's field with itself at another cell, summed over classes
        and shared among all but one of them, since the chances of all add up to 1
    """

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of_maps(
        cls,
        maps: Sequence[np.ndarray],
        classes: int,
        stretches: Sequence[float] = (0.75, 0.87, 1.0, 1.15, 1.33),
        blur: float = 1.0,
    ) -> "MapPrior":
        """Of maps of other samples, (rows, columns) of class numbers each, on the grid of the new.

        Each is stretched along each axis about its first cell by each of ``stretches``, which makes
        many films of few: pulses act by their area and damping by its rate, so that a stronger
        field or a larger moment mostly stretches a map. ``blur`` cells soften single cells.

        Raises ValueError for no map, or maps of different sizes.
        """
        if not maps or len({m.shape for m in maps}) != 1:
            raise ValueError("maps of a prior: give one or more, all of one size")
        rows, columns = maps[0].shape
        fields = np.zeros((len(maps) * len(stretches) ** 2, rows * columns, classes), np.float32)
        row, column = np.arange(rows), np.arange(columns)
        for field, (labels, tall, wide) in zip(
            fields, product(maps, stretches, stretches), strict=True
        ):
            i = np.minimum(np.round(row / tall), rows - 1).astype(int)
            j = np.minimum(np.round(column / wide), columns - 1).astype(int)
            one_hot = np.eye(classes, dtype=np.float32)[labels[np.ix_(i, j)]]
            field[:] = gaussian_filter(one_hot, (blur, blur, 0), mode="nearest").reshape(
                field.shape
            )
        mean = fields.mean(0)
        fields -= mean
        covariance = np.zeros((rows * columns, rows * columns))
        for c in range(classes):
            covariance += fields[:, :, c].T @ fields[:, :, c]
        covariance /= len(fields) * (classes - 1)
        return cls(mean.reshape(rows, columns, classes).astype(float), covariance)
