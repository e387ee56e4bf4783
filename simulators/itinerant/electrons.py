"""The itinerant s–d magnet on a triangular lattice: classical spins that electrons couple.

    H = -Σ_ij t_ij c†_iα c_jα - J Σ_i S_i·c†_iα σ_αβ c_iβ

(X. Cheng et al., Phys. Rev. Research 5, 033188 (2023), eq. 4). The hopping has a minus here: with
the sign printed there, the susceptibility of the band does not peak at |Q| = π/3. Energies are in
units of the nearest-neighbour hopping, lengths of the lattice constant.

A site lies at r = column · (1, 0) + row · (1/2, √3/2), the lattice is periodic, and its spins are
an array (3, rows, columns) of unit vectors. In this "flattened" lattice the nearest neighbours are
at (row, column) ± (0, 1), ± (1, 0), ± (1, -1), the third ones twice as far.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import scipy.linalg
from scipy.special import expit

from skyctl.frame import unit_spins
from skyctl.simulators.physics.topology import topological_charge

HALF_NEIGHBOURS = ((0, 1), (1, 0), (1, -1))
"""One of each pair of opposite nearest neighbours, as (rows, columns)."""
ORDER_PERIOD = 12
"""Sites after which the order with |Q| = π/3 repeats, along both sides of the lattice."""
SITES_PER_SKYRMION_CELL = 48
GAMMA = ((0.0, 0.0),)
"""The lattice as it is: no phase across its edges."""
FOUR_TWISTS = ((0.0, 0.0), (0.0, 0.5), (0.5, 0.0), (0.5, 0.5))
"""Phases across the edges, in turns along (rows, columns), whose mean is what each of four copies,
2 × 2, of a lattice has."""

_FEWEST_SITES = 5  # a side on which no site is its own neighbour's neighbour the other way round
_EMPTY_ABOVE = 40.0  # states this many k_B T above the chemical potential hold 4e-18 electrons


@dataclass(frozen=True)
class Electrons:
    """The electrons of the s–d magnet, in units of the nearest-neighbour hopping.

    The defaults are the paper's; it does not print the electrons' temperature.

    Raises ValueError for numbers that are not finite, a temperature that is not positive and a
    chemical potential outside the band.
    """

    nearest_hopping: float = 1.0
    third_hopping: float = -0.85
    coupling: float = 1.0
    chemical_potential: float = -3.5
    temperature: float = 0.01

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not np.isfinite(value):
                raise ValueError(f"electrons' {name} = {value}: give a finite number")
        if self.temperature <= 0:
            raise ValueError(f"electrons' temperature = {self.temperature}: must be above 0")
        lowest, highest = self.band
        if not lowest < self.chemical_potential < highest:
            raise ValueError(
                f"electrons' chemical_potential = {self.chemical_potential:g} lies outside their "
                f"band: give a number between {lowest:.4g} and {highest:.4g}"
            )

    @property
    def band(self) -> tuple[float, float]:
        """Bounds of the energies for any spins on any lattice: the bare band's, ± |J|."""
        phases = 2 * np.pi * np.arange(96) / 96
        a, b = phases[:, None], phases[None, :]
        near = np.cos(a) + np.cos(b) + np.cos(a - b)
        far = np.cos(2 * a) + np.cos(2 * b) + np.cos(2 * (a - b))
        bare = -2 * (self.nearest_hopping * near + self.third_hopping * far)
        # The extrema lie at most half a step of the phases from one that was looked at.
        slack = (abs(self.nearest_hopping) + 4 * abs(self.third_hopping)) * 6 * (np.pi / 96) ** 2
        rim = slack + abs(self.coupling)
        return float(bare.min() - rim), float(bare.max() + rim)

    def as_dict(self) -> dict[str, float]:
        """The parameters as plain numbers, for a file header."""
        return asdict(self)


@dataclass(frozen=True)
class Equilibrium:
    """The electrons' thermal equilibrium among some spins.

    grand_potential : Ω a site, the energy that drives the spins
    filling : electrons a state, 0 to 1
    field : (3, rows, columns), J ⟨c† σ c⟩ = -∂Ω/∂S of each site (eq. 10), all of it
    """

    grand_potential: float
    filling: float
    field: np.ndarray


def equilibrium(
    electrons: Electrons,
    spins: np.ndarray,
    twists: Sequence[tuple[float, float]] = GAMMA,
    precision: Literal["f8", "f4"] = "f8",
) -> Equilibrium:
    """The electrons among ``spins`` by exact diagonalisation: N³, 24 × 24 in a second.

    spins : (3, rows, columns), unit vectors
    twists : phases across the edges, in turns; the mean over them is taken. The field of 24 × 24
        sites alone is 9 % (of its mean, at T = 0.03) off that of an endless lattice of copies;
        with ``FOUR_TWISTS`` 1.7 %
    precision : of the diagonalisation; "f4" is twice as fast

    Raises ValueError for spins that are not unit vectors or a side under 5 sites.
    """
    spins = checked_spins(spins)
    sites = spins[0].size
    temperature, mu = electrons.temperature, electrons.chemical_potential
    kind = np.complex128 if precision == "f8" else np.complex64
    potential, filling, field = 0.0, 0.0, np.zeros((3, sites))
    for twist in twists:
        energies, states = scipy.linalg.eigh(
            hamiltonian(electrons, spins, twist).astype(kind, copy=False),
            subset_by_value=(-np.inf, mu + _EMPTY_ABOVE * temperature),
            driver="evr",
            overwrite_a=True,
            check_finite=False,
        )
        x = (energies - mu) / temperature
        occupied = expit(-x)
        potential -= temperature * np.logaddexp(0, -x).sum() / sites
        filling += occupied.sum() / (2 * sites)
        up, down = states[0::2], states[1::2]
        flip = ((up.conj() * down) * occupied).sum(1)
        polar = ((np.abs(up) ** 2 - np.abs(down) ** 2) * occupied).sum(1)
        field += np.stack([2 * flip.real, 2 * flip.imag, polar])
    n = len(twists)
    field *= electrons.coupling / n
    return Equilibrium(float(potential / n), float(filling / n), field.reshape(spins.shape))


def hamiltonian(
    electrons: Electrons, spins: np.ndarray, twist: tuple[float, float] = (0.0, 0.0)
) -> np.ndarray:
    """The Hamiltonian matrix, (2 N, 2 N) complex, states ordered (site, spin up or down)."""
    _, rows, columns = spins.shape
    sites = rows * columns
    here = np.arange(sites).reshape(rows, columns)
    matrix = np.zeros((sites, 2, sites, 2), complex)
    for (down, right), times, hopping in bonds(electrons):
        turn = times * (down * twist[0] / rows + right * twist[1] / columns)
        there = np.roll(here, (-times * down, -times * right), (0, 1)).ravel()
        for spin in (0, 1):
            matrix[here.ravel(), spin, there, spin] -= hopping * np.exp(2j * np.pi * turn)
            matrix[there, spin, here.ravel(), spin] -= hopping * np.exp(-2j * np.pi * turn)
    site = np.arange(sites)
    x, y, z = electrons.coupling * spins.reshape(3, sites)
    matrix[site, 0, site, 0] -= z
    matrix[site, 1, site, 1] += z
    matrix[site, 0, site, 1] -= x - 1j * y
    matrix[site, 1, site, 0] -= x + 1j * y
    return matrix.reshape(2 * sites, 2 * sites)


def bonds(electrons: Electrons) -> list[tuple[tuple[int, int], int, float]]:
    """Half of a site's bonds: direction as (rows, columns), how many times as far, hopping."""
    hoppings = ((1, electrons.nearest_hopping), (2, electrons.third_hopping))
    return [(d, times, hopping) for d in HALF_NEIGHBOURS for times, hopping in hoppings]


def perpendicular(spins: np.ndarray, field: np.ndarray) -> np.ndarray:
    """What of a field (…, 3, rows, columns) is perpendicular to the spins: all that turns them."""
    return field - spins * (spins * field).sum(-3, keepdims=True)


def helix(rows: int, columns: int) -> np.ndarray:
    """The single-Q order, Q = (π/3, 0): spins (3, rows, columns); refuses as skyrmion_lattice."""
    (phase, _, _) = _order_phases(rows, columns)
    return np.stack([np.cos(phase), np.sin(phase), np.zeros_like(phase)])


def skyrmion_lattice(
    rows: int,
    columns: int,
    amplitude: float = 1.0,
    magnetisation: float = 0.0,
    phase: float = 0.5,
    *,
    spread: float = 0.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """The triple-Q skyrmion lattice: spins (3, rows, columns), unit vectors.

    amplitude, magnetisation, phase : A, M and φ of the paper's eq. 13
    spread : deviation of the normal numbers that are added to A, M and φ, anew at each site, as in
        the paper's perturbed lattices; ``rng`` draws them

    Raises ValueError for a side that the order's period, 12 sites, does not divide, and for a
    spread without ``rng``.
    """
    q1, q2, q3 = _order_phases(rows, columns)
    if spread and rng is None:
        raise ValueError("a perturbed skyrmion lattice: give rng, which draws the perturbation")
    a, m, shift = amplitude, magnetisation, phase
    if rng is not None:
        noise = spread * rng.normal(size=(3, rows, columns))
        a, m, shift = a + noise[0], m + noise[1], shift + noise[2]
    c1, c2, c3 = np.cos(q1), np.cos(q2), np.cos(q3)
    spins = np.stack(
        [
            c1 - c2 / 2 - c3 / 2,
            np.sqrt(3) / 2 * (c2 - c3),
            a * (np.sin(q1 + shift) + np.sin(q2 + shift) + np.sin(q3 + shift)) + m,
        ]
    )
    return spins / np.linalg.norm(spins, axis=0)


def random_spins(rows: int, columns: int, rng: np.random.Generator) -> np.ndarray:
    """Spins (3, rows, columns) that point anywhere: where a quench starts."""
    spins = rng.normal(size=(3, rows, columns))
    return spins / np.linalg.norm(spins, axis=0)


def _order_phases(rows: int, columns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Q·r of the three wave vectors at every site."""
    if rows % ORDER_PERIOD or columns % ORDER_PERIOD or not rows or not columns:
        raise ValueError(
            f"lattice of {rows} x {columns} sites: the order with Q = π/3 repeats after "
            f"{ORDER_PERIOD} sites along both sides. Give sides that {ORDER_PERIOD} divides."
        )
    row, column = np.mgrid[:rows, :columns]
    x, y = column + row / 2, row * np.sqrt(3) / 2
    q1, q2, q3 = (
        np.pi / 3 * (np.cos(turn) * x + np.sin(turn) * y)
        for turn in (0, 2 * np.pi / 3, -2 * np.pi / 3)
    )
    return q1, q2, q3


def structure_factor(spins: np.ndarray) -> np.ndarray:
    """S(q), (rows, columns), q along the axes as numpy's FFT orders them (eq. 12, one state)."""
    amplitudes = np.fft.fft2(spins) / spins[0].size
    return (np.abs(amplitudes) ** 2).sum(0)


def order_peaks(rows: int, columns: int) -> list[tuple[int, int]]:
    """Where in ``structure_factor`` the six wave vectors ±Q lie, as (row, column).

    Raises ValueError as ``skyrmion_lattice``.
    """
    _order_phases(rows, columns)
    r, c = rows // ORDER_PERIOD, columns // ORDER_PERIOD
    # A step along a column turns Q1 = (π/3, 0) by a sixth of a turn, one along a row by a twelfth.
    half = [(r, 2 * c), (r, -c), (-2 * r, -c)]
    return [(s * a % rows, s * b % columns) for a, b in half for s in (1, -1)]


def lattice_charge(spins: np.ndarray) -> float:
    """Topological charge of a periodic lattice: an integer (Berg–Lüscher on its triangles)."""
    # Mirrored, the squares' diagonals are the bonds to (1, -1); the mirror turns the sign.
    return -topological_charge(spins[:, :, ::-1], periodic=True)


def checked_spins(spins: Any) -> np.ndarray:
    """Spins as float64 (3, rows, columns). Raises ValueError for any but unit vectors."""
    spins = np.asarray(spins, dtype=np.float64)
    if spins.ndim != 3 or spins.shape[0] != 3 or min(spins.shape[1:]) < _FEWEST_SITES:
        raise ValueError(
            f"spins of shape {spins.shape}: give (3, rows, columns), sides of {_FEWEST_SITES} "
            "sites or more"
        )
    return unit_spins(spins)
