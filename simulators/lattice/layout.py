"""How a film lies in memory, the same on every device: flat rows with empty sites all around.

A component of the spins of ``rows`` × ``columns`` sites is one flat array, row by row, with two
empty rows above and below and at least one empty column on either side. Empty sites are S = 0: they
add nothing to a neighbour's field and the equation of motion keeps them 0, so an open boundary
costs nothing. The place of a site is also its name in the random numbers of ``random``.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

GHOST_ROWS = 2
_CACHE_LINE = 64
_ROUND = 16


@dataclass(frozen=True)
class Layout:
    """Where the sites of a film of ``rows`` × ``columns`` are.

    width : sites from one row to the next, a multiple of 8 so that vectors of a row stay aligned
    size : sites in all, empty ones included
    """

    rows: int
    columns: int

    @property
    def width(self) -> int:
        return -(-(self.columns + 2) // 8) * 8

    @property
    def size(self) -> int:
        return -(-(self.rows + 2 * GHOST_ROWS) * self.width // _ROUND) * _ROUND

    def inner(self, flat: np.ndarray) -> np.ndarray:
        """The film's sites in arrays of (…, size): a view (…, rows, columns)."""
        padded_rows = self.rows + 2 * GHOST_ROWS
        grid = flat[..., : padded_rows * self.width]
        grid = grid.reshape(*flat.shape[:-1], padded_rows, self.width)
        return grid[..., GHOST_ROWS:-GHOST_ROWS, 1 : self.columns + 1]

    def zeros(self, *leading: int, dtype: Any) -> np.ndarray:
        """An array (\\*leading, size) of zeros that begins on a cache line."""
        dtype = np.dtype(dtype)
        count = int(np.prod(leading, dtype=int)) * self.size
        raw = np.zeros(count * dtype.itemsize + _CACHE_LINE, np.uint8)
        offset = -raw.ctypes.data % _CACHE_LINE
        flat = raw[offset : offset + count * dtype.itemsize].view(dtype)
        return flat.reshape(*leading, self.size)

    def flat(self, values: np.ndarray, dtype: Any) -> np.ndarray:
        """Values (…, rows, columns) laid out as (…, size)."""
        out = self.zeros(*values.shape[:-2], dtype=dtype)
        self.inner(out)[...] = values
        return out
