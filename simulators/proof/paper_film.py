"""The film of the paper, warm: where its susceptibility peaks."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, simulate_batch
from skyctl.simulators.physics import llg


@dataclass(frozen=True)
class Susceptibility:
    """χ = N (⟨m²⟩ - ⟨|m|⟩²)/k_BT of |m| over temperature, and where it peaks.

    temperatures_K : (n,); magnetisation : ⟨|m|⟩, (n,); chi_per_meV : (n,)
    peak_K, uncertainty_K : of the parabola through the three highest points of log χ; uncertainty
        from leaving one of the films out (jackknife), no less than half the points' spacing
    """

    temperatures_K: np.ndarray
    magnetisation: np.ndarray
    chi_per_meV: np.ndarray
    peak_K: float
    uncertainty_K: float


@lru_cache
def susceptibility(
    temperatures_K: tuple[float, ...] = (4.5, 5.0, 5.25, 5.5, 5.75, 6.0, 6.5, 7.0, 8.0),
    side: int = 48,
    films: int = 16,
    settle_ps: float = 50.0,
    sample_ps: float = 100.0,
) -> Susceptibility:
    """Susceptibility of the paper's film, periodic, α = 1, from the uniform state; all cores.

    films : independent ones at each temperature; settle_ps, sample_ps : of each, before and while
        it is looked at, every 2 ps

    What peaks is the loss of the uniform state to domains, whose walls the DMI makes cheap, within
    the length of the paper's movies. The longer one waits the lower it is (4.6 K within 1.2 ns),
    and neighbouring spins stay parallel far beyond it: without DMI this film orders near 8.5 K.
    """
    times = tuple(np.arange(settle_ps, settle_ps + sample_ps, 2.0).tolist())
    film = FilmParameters(rows=side, columns=side, periodic=True, damping=1.0)
    shots = [
        MovieSpec(replace(film, temperature_K=t), times, start="empty", seed=seed)
        for t in temperatures_K
        for seed in range(films)
    ]

    def lengths(_: MovieSpec, frames: Iterator[np.ndarray]) -> np.ndarray:
        return np.array([np.linalg.norm(s.mean((1, 2), dtype=np.float64)) for s in frames])

    m = np.stack(list(simulate_batch(shots, lengths, integrator="depondt"))).reshape(
        len(temperatures_K), films, -1
    )
    t = np.array(temperatures_K)

    def chi(m: np.ndarray) -> np.ndarray:
        return side**2 * m.reshape(len(t), -1).var(1) / (llg.K_B_MEV_PER_K * t)

    def peak_K(chi: np.ndarray) -> float:
        top = int(np.clip(np.argmax(chi), 1, len(t) - 2))
        a, b, _ = np.polyfit(t[top - 1 : top + 2], np.log(chi[top - 1 : top + 2]), 2)
        return float(-b / (2 * a))

    without_one = [peak_K(chi(np.delete(m, i, axis=1))) for i in range(films)]
    jackknife = np.sqrt(films - 1) * np.std(without_one)
    return Susceptibility(
        temperatures_K=t,
        magnetisation=m.mean((1, 2)),
        chi_per_meV=chi(m),
        peak_K=peak_K(chi(m)),
        uncertainty_K=float(max(jackknife, np.diff(t).min() / 2)),
    )
