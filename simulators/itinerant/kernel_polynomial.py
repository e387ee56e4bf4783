"""The electrons' field by the kernel polynomial method: cost linear in the sites.

A. Weiße et al., Rev. Mod. Phys. 78, 275 (2006): the density matrix f(H) is a series of Chebyshev
polynomials of H, which act on vectors without a matrix. Its diagonal blocks are read off with
probing vectors: one vector asks all sites of one colour at once, and as sites of a colour lie far
apart, where the density matrix has decayed, they hardly answer for each other.
"""

from typing import Any, Literal

import numpy as np
from scipy.fft import dct
from scipy.special import expit

from skyctl.simulators.itinerant.electrons import (
    Electrons,
    Equilibrium,
    bonds,
    checked_spins,
    perpendicular,
)

_NODES = 4  # quadrature nodes per moment


class KernelPolynomial:
    """Equilibrium of the electrons by the kernel polynomial method; call it for the field alone.

    electrons : Electrons
    moments : terms of the series; the sharper the Fermi edge, the more
    probe : sites between sites of a colour, along both sides; 2 probe² vectors, and with a probe
        as long as the sides nothing is estimated. It must divide both sides
    kernel : "jackson" damps the series to one that nowhere overshoots, at an error that falls as
        1/moments²; "none" leaves it as it is, which for a Fermi edge of finite temperature
        converges exponentially once moments exceeds the half width of the band over π T
    device : "cpu", one thread, or "cuda": the same arithmetic, also in double precision, and all
        vectors at once that half of the free memory holds
    seed : of the sites' random phases, which keep what leaks between sites of a colour from adding

    Raises ValueError for what cannot be, RuntimeError where there is no CUDA device.
    """

    def __init__(
        self,
        electrons: Electrons,
        moments: int = 2000,
        probe: int = 12,
        *,
        kernel: Literal["jackson", "none"] = "jackson",
        device: Literal["cpu", "cuda"] = "cpu",
        seed: int = 0,
    ) -> None:
        if moments < 2 or probe < 1:
            raise ValueError(
                f"kernel polynomial method: {moments} moments, probe {probe}: give 2 moments or "
                "more, and a probe of 1 site or more"
            )
        if kernel not in ("jackson", "none"):
            raise ValueError(f"kernel {kernel!r}: choose 'jackson' or 'none'")
        self.electrons, self.moments, self.probe, self.kernel = electrons, moments, probe, kernel
        self._seed, self._kernels = seed, _kernels_of(device)
        lowest, highest = electrons.band
        self._centre, self._half_width = (highest + lowest) / 2, (highest - lowest) / 2
        self._coefficients = self._series()

    @property
    def vectors(self) -> int:
        """Probing vectors of an evaluation."""
        return 2 * self.probe**2

    def __call__(self, spins: np.ndarray) -> np.ndarray:
        """What of the electrons' field is perpendicular to ``spins``, (3, rows, columns)."""
        return perpendicular(spins, self.equilibrium(spins).field)

    def equilibrium(self, spins: np.ndarray) -> Equilibrium:
        """What ``itinerant.equilibrium`` gives, to the accuracy of moments and vectors.

        spins : (3, rows, columns), unit vectors, sides that ``probe`` divides; else ValueError
        """
        spins = checked_spins(spins)
        _, rows, columns = spins.shape
        if rows % self.probe or columns % self.probe:
            raise ValueError(
                f"lattice of {rows} x {columns} sites: its sides must be multiples of the probe, "
                f"{self.probe} sites"
            )
        sites = rows * columns
        neighbours = _neighbours(self.electrons, rows, columns)
        e = self.electrons
        hop = np.array([e.nearest_hopping, e.third_hopping])
        exchange = e.coupling * spins.reshape(3, sites)
        phases = 1j ** np.random.default_rng(self._seed).integers(4, size=sites)
        row, column = np.divmod(np.arange(sites), columns)
        colour = row % self.probe * self.probe + column % self.probe
        # What each function of H answers a vector: [function, spin in, site, spin out]
        blocks = np.zeros((len(self._coefficients), 2, sites, 2), complex)
        at_once = self._kernels.colours_at_once(sites, self.probe**2)
        for first in range(0, self.probe**2, at_once):
            count = min(at_once, self.probe**2 - first)
            own = np.where((first <= colour) & (colour < first + count), colour - first, -1)
            answers = self._kernels.expand(
                self._coefficients, own, count, np.stack([phases.real, phases.imag]), neighbours,
                hop, exchange, self._centre, self._half_width,
            )  # fmt: skip
            blocks += (answers[..., 0::2] + 1j * answers[..., 1::2]) * phases.conj()[:, None]
        (up_in, down_in), (up_in_potential, down_in_potential) = blocks
        flip = (up_in[:, 1] + down_in[:, 0].conj()) / 2
        polar = (up_in[:, 0] - down_in[:, 1]).real
        field = e.coupling * np.stack([2 * flip.real, 2 * flip.imag, polar])
        return Equilibrium(
            grand_potential=float((up_in_potential[:, 0] + down_in_potential[:, 1]).real.mean()),
            filling=float((up_in[:, 0] + down_in[:, 1]).real.mean() / 2),
            field=field.reshape(spins.shape),
        )

    def _series(self) -> np.ndarray:
        """Chebyshev coefficients, (2, moments), of the occupation and of each state's part of Ω."""
        nodes = _NODES * self.moments
        x = np.cos(np.pi * (np.arange(nodes) + 0.5) / nodes)
        e = self.electrons
        above = (self._half_width * x + self._centre - e.chemical_potential) / e.temperature
        functions = np.stack([expit(-above), -e.temperature * np.logaddexp(0, -above)])
        transformed: Any = dct(functions, axis=1)
        series = transformed[:, : self.moments] / nodes
        series[:, 0] /= 2
        return series * self._damping()

    def _damping(self) -> np.ndarray:
        """The kernel's factor of each moment (Weiße et al., eq. 71)."""
        if self.kernel == "none":
            return np.ones(self.moments)
        m, n = np.arange(self.moments), self.moments + 1
        angle = np.pi / n
        return ((n - m) * np.cos(angle * m) + np.sin(angle * m) / np.tan(angle)) / n


def _kernels_of(device: str) -> Any:
    """The module whose ``expand`` runs on a device. Raises RuntimeError where there is none."""
    if device == "cpu":
        from skyctl.simulators.itinerant import kernels_cpu

        return kernels_cpu
    if device == "cuda":
        from skyctl.simulators.itinerant import kernels_cuda
        from skyctl.simulators.physics.cuda import require_device

        require_device()
        return kernels_cuda
    raise ValueError(f"device {device!r}: choose 'cpu' or 'cuda'")


def _neighbours(electrons: Electrons, rows: int, columns: int) -> np.ndarray:
    """Of each site its six nearest and six third neighbours, (sites, 12)."""
    here = np.arange(rows * columns).reshape(rows, columns)
    near_first = sorted(bonds(electrons), key=lambda bond: bond[1])
    return np.stack(
        [
            np.roll(here, (-sign * times * down, -sign * times * right), (0, 1)).ravel()
            for (down, right), times, _ in near_first
            for sign in (1, -1)
        ],
        axis=1,
    )
