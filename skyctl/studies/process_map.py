"""Process maps: what a pulse does to a skyrmion over its width and the damping."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from skyctl.process import BREATHING, COLLAPSE, SWITCHING
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec

PAPER_PROCESSES = (BREATHING, SWITCHING, COLLAPSE)
"""The paper's classes, in the order of its network's outputs."""
PEAK_PS = 40.0
_INSIDE_CELLS = 2
_PAPER_WIDTHS_PS = np.arange(5.0, 49.0)
_PAPER_DAMPINGS = np.round(0.015 * np.arange(1, 41), 4)


@dataclass(frozen=True)
class Grid:
    """Every ``stride``-th cell of the paper's 44 × 40 grid of pulse width and damping.

    The paper prints the size of its grid and not its limits. Ours, 5–48 ps and 0.015–0.6, hold all
    the points that it names. Rows are dampings, columns widths; cells count row by row.
    """

    stride: int = 1

    @property
    def widths_ps(self) -> np.ndarray:
        """Pulse widths t_w of the columns, ps."""
        return _PAPER_WIDTHS_PS[self.stride // 2 :: self.stride]

    @property
    def dampings(self) -> np.ndarray:
        """Damping α of the rows."""
        return _PAPER_DAMPINGS[self.stride // 2 :: self.stride]

    @property
    def cell(self) -> tuple[float, float]:
        """Size of a cell: damping, and width in ps."""
        return (
            float(self.dampings[1] - self.dampings[0]),
            float(self.widths_ps[1] - self.widths_ps[0]),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.dampings), len(self.widths_ps)

    def shots(
        self,
        times_ps: Sequence[float],
        *,
        theta_deg: float,
        temperature_K: float = 0.0,
        peak_ps: float = PEAK_PS,
        side: int = 100,
        seed: int = 0,
    ) -> list[MovieSpec]:
        """A 2 T pulse at a skyrmion for each cell, filmed at ``times_ps``.

        side : sites along each edge of the film; seed : of the first cell's noise, and so on
        """
        cells = [(a, w) for a in self.dampings for w in self.widths_ps]
        return [
            MovieSpec(
                FilmParameters(side, side, damping=float(damping), temperature_K=temperature_K),
                times_ps,
                Pulse(width_ps=float(width_ps), theta_deg=theta_deg, peak_ps=peak_ps),
                seed=seed + number,
            )
            for number, (damping, width_ps) in enumerate(cells)
        ]

    def inside(self, labels: np.ndarray) -> np.ndarray:
        """Which cells lie two cells of the paper's grid or more inside an area.

        labels : (cells,) str. Returns (cells,) bool: all cells up to that far away carry the same
        label. On a coarser grid this looks one cell round, which is as far or further. An area
        goes on beyond the edge of the map.
        """
        _, codes = np.unique(labels, return_inverse=True)
        codes = codes.reshape(self.shape)
        size = 2 * max(1, _INSIDE_CELLS // self.stride) + 1
        low = ndimage.minimum_filter(codes, size, mode="nearest")
        return (low == ndimage.maximum_filter(codes, size, mode="nearest")).ravel()


@dataclass(frozen=True)
class Agreement:
    """How a classifier's labels stand to the truth, of cells where B, S or C is the truth.

    Cells are ``right`` (named as the truth is), ``wrong`` (named otherwise) or ``unnamed``.
    """

    right: int
    wrong: int
    unnamed: int

    @classmethod
    def count(
        cls, truth: np.ndarray, named: np.ndarray, where: np.ndarray | None = None
    ) -> "Agreement":
        """truth, named : (cells,) str, "" of ``named`` is unnamed; where : (cells,) bool."""
        counted = np.isin(truth, PAPER_PROCESSES)
        if where is not None:
            counted &= where
        truth, named = truth[counted], named[counted]
        right, unnamed = int((named == truth).sum()), int((named == "").sum())
        return cls(right, len(truth) - right - unnamed, unnamed)

    @property
    def cells(self) -> int:
        """Cells that count."""
        return self.right + self.wrong + self.unnamed

    @property
    def share(self) -> float | None:
        """Share of the cells that are named right; an unnamed one is not. None without cells."""
        return self.right / self.cells if self.cells else None
