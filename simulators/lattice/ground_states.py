"""Ground states of a film: the lowest of the minima below many starts, and how often it was found.

Three kinds of start: lattices of skyrmions and helices that fit a periodic film, one by one; random
fields with the helix's period; annealed films. None proves that there is nothing lower.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from skyctl.simulators.lattice.film import FilmParameters, energies_meV
from skyctl.simulators.lattice.monte_carlo import (
    TOGETHER,
    FilmArrays,
    MonteCarlo,
    falling,
    relaxed,
)
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import topological_charge

SAME_MEV = 1e-7
"""Of a site: minima that lie closer are counted as one."""
_TOLERANCE_T = 1e-3
_HOT, _COLD, _SWEEPS = 1.0, 0.005, 1000
"""Annealing, from and to k_BT in units of J."""
_STRETCH = 0.35
"""How far a lattice's wave vectors may be from the helix's, and from each other's length."""
_NUDGE = 0.1
_MOST_LATTICES = 96


@dataclass(frozen=True)
class Start:
    """A state to relax from. kind : "lattice", "helix", "random field", "annealed" or "uniform"."""

    kind: str
    what: str
    spins: np.ndarray


@dataclass(frozen=True)
class GroundState:
    """The lowest minimum found.

    energy_meV : of the whole film, without pulse; charge : ``topology.topological_charge``
    spins : (3, rows, columns); start : that led there
    found : by kind of start (how many led within SAME_MEV a site of it, how many were tried)
    others : (energy a site, charge, what start) of the next minima, lowest first
    """

    energy_meV: float
    charge: float
    spins: np.ndarray
    start: str
    found: dict[str, tuple[int, int]]
    others: tuple[tuple[float, float, str], ...]


def ground_state(
    parameters: FilmParameters,
    *,
    random_fields: int = 32,
    anneals: int = 32,
    seed: int = 0,
    threads: int = 1,
    sites: np.ndarray | None = None,
    anisotropy_map: np.ndarray | None = None,
    on_step: Callable[[float], object] = lambda share: None,
) -> GroundState:
    """The lowest minimum of a film below lattices that fit it, random fields and annealed films.

    random_fields, anneals : how many of each; seed : of both
    on_step : told the share of the work that is done

    Raises ValueError for a film without exchange, or one too small for its helix's period.
    """
    require_a_period(parameters)
    film = FilmArrays.of(parameters, sites, anisotropy_map)
    there = np.ones((parameters.rows, parameters.columns), bool) if sites is None else sites
    starts: list[Start] = [*uniform(parameters), *fitting(parameters)]
    rng = np.random.default_rng(seed)
    starts += [random_field(parameters, rng, k) for k in range(random_fields)]
    starts += _annealed(film, anneals, seed, threads, sites, on_step)
    states = _minima(film, [start.spins * there for start in starts], on_step)
    # Some of what looks like a minimum is a saddle: a nudge tells.
    nudged = states + _NUDGE * rng.standard_normal(states.shape) * there
    states = _minima(film, list(nudged / _lengths(nudged)), on_step)
    return _lowest(film, starts, states)


def annealed(
    parameters: FilmParameters,
    *,
    seed: int = 0,
    sites: np.ndarray | None = None,
    anisotropy_map: np.ndarray | None = None,
) -> np.ndarray:
    """A film cooled down from disorder and relaxed, (3, rows, columns): skyrmions, or stripes.

    Raises ValueError for a periodic film with an odd side.
    """
    film = FilmArrays.of(parameters, sites, anisotropy_map)
    return _minima(film, cooled(film, 1, seed, sites), lambda share: None)[0]


def cooled(
    film: FilmArrays, count: int, seed: int, sites: np.ndarray | None = None
) -> list[np.ndarray]:
    """Films cooled down from disorder, not relaxed, (3, rows, columns) each; side by side, which
    takes little longer than one. Raises ValueError for a periodic film with an odd side."""
    starts = _annealed(film, count, seed, 1, sites, lambda share: None)
    if not starts:
        raise ValueError(
            f"annealing a periodic film of {film.parameters.rows} x {film.parameters.columns} "
            "sites: give even sides, or open edges"
        )
    return [start.spins for start in starts]


def _lowest(film: FilmArrays, starts: list[Start], states: np.ndarray) -> GroundState:
    parameters = film.parameters
    energies = energies_meV(parameters, states, film.anisotropy_map)
    order, count = np.argsort(energies, kind="stable"), parameters.rows * parameters.columns
    best = order[0]
    same = energies <= energies[best] + SAME_MEV * count
    found: dict[str, tuple[int, int]] = {}
    for start, hit in zip(starts, same, strict=True):
        hits, tried = found.get(start.kind, (0, 0))
        found[start.kind] = hits + int(hit), tried + 1
    charges = [topological_charge(state, parameters.periodic) for state in states]
    others: list[tuple[float, float, str]] = []
    for k in order:
        energy = float(energies[k] / count)
        if energy > (others[-1][0] if others else energies[best] / count) + SAME_MEV:
            others.append((energy, charges[k], starts[k].what))
    return GroundState(
        float(energies[best]), charges[best], states[best], starts[best].what, found,
        tuple(others[:5]),
    )  # fmt: skip


def helix_period(parameters: FilmParameters) -> float:
    """Sites from one turn of the film's helix to the next, 2π/arctan(D/J); infinite without DMI."""
    dmi = np.hypot(parameters.dmi_meV, parameters.interfacial_dmi_meV)
    return float(2 * np.pi / np.arctan2(dmi, parameters.exchange_meV)) if dmi else np.inf


def uniform(parameters: FilmParameters) -> Iterator[Start]:
    """All along +z, and all along -z."""
    for sign in (1.0, -1.0):
        spins = np.zeros((3, parameters.rows, parameters.columns))
        spins[2] = sign
        yield Start("uniform", f"all along {'+' if sign > 0 else '-'}z", spins)


def fitting(parameters: FilmParameters) -> list[Start]:
    """The lattices of skyrmions and the helices that fit a periodic film, best fit first.

    A lattice fits when its wave vectors are 2π(m/columns, n/rows) with whole m, n; those that are
    near the helix's length and 60° apart are taken. None fits an open film: it has no period.
    """
    period = helix_period(parameters)
    if not parameters.periodic or not np.isfinite(period):
        return []
    wanted, sides = 2 * np.pi / period, np.array([parameters.columns, parameters.rows])
    lattices: list[tuple[float, Start]] = []
    helices: list[tuple[float, Start]] = []
    for m, n in _whole(sides, wanted):
        q = 2 * np.pi * np.array([m, n]) / sides
        off = float(abs(np.linalg.norm(q) / wanted - 1))
        state = texture(parameters, [q], 0.0)
        helices.append((off, Start("helix", f"helix of wave vector ({m}, {n})", state)))
        for m2, n2 in _whole(sides, wanted):
            r = 2 * np.pi * np.array([m2, n2]) / sides
            vectors = [q, r, -(q + r)]
            lengths = np.linalg.norm(vectors, axis=1)
            number = abs(m * n2 - n * m2)
            # One lattice is drawn by several pairs: the pair that turns from q to r by 120°.
            if number and m * n2 > n * m2 and max(abs(lengths / wanted - 1)) < _STRETCH:
                off = float(np.ptp(lengths) / wanted + abs(lengths.mean() / wanted - 1))
                what = f"{number} skyrmions, wave vectors ({m}, {n}) and ({m2}, {n2})"
                core = 1.0 if parameters.bias_T[2] <= 0 else -1.0
                state = texture(parameters, vectors, core)
                lattices.append((off, Start("lattice", what, state)))
    best = sorted(lattices, key=lambda pair: pair[0])[:_MOST_LATTICES]
    best += sorted(helices, key=lambda pair: pair[0])[: _MOST_LATTICES // 4]
    return [start for _, start in best]


def _whole(sides: np.ndarray, wanted: float) -> Iterator[tuple[int, int]]:
    """Whole (m, n) whose wave vector is near the wanted length; of ±q the one that goes right."""
    most = np.ceil((1 + _STRETCH) * wanted * sides / (2 * np.pi)).astype(int)
    for m in range(-most[0], most[0] + 1):
        for n in range(-most[1], most[1] + 1):
            length = np.hypot(*(2 * np.pi * np.array([m, n]) / sides))
            if abs(length / wanted - 1) < _STRETCH:
                yield m, n


def texture(parameters: FilmParameters, vectors: list[np.ndarray], core: float) -> np.ndarray:
    """Helices of these wave vectors one upon another, (3, rows, columns), unit vectors.

    core : where all of them meet, S_z is of this sign; 0 for a single helix

    Spins turn in the plane that the DMI wants: across the wave vector for one of the bulk, along
    it for one of an interface.
    """
    row, column = np.mgrid[: parameters.rows, : parameters.columns]
    total = np.zeros((3, parameters.rows, parameters.columns))
    sign = core or 1.0
    for q in vectors:
        phase = q[0] * column + q[1] * row
        x, y = q / np.linalg.norm(q)
        d, n = parameters.dmi_meV, parameters.interfacial_dmi_meV
        # S turns from ẑ towards D q̂×ẑ - D' q̂: so both terms lower the energy.
        aside = np.array([d * y - n * x, -d * x - n * y]) / np.hypot(d, n)
        total[2] += sign * np.cos(phase)
        total[:2] += sign * np.sin(phase) * aside[:, None, None]
    total[2] -= 0.3 * core
    return total / _lengths(total)


def random_field(parameters: FilmParameters, rng: np.random.Generator, number: int) -> Start:
    """A smooth random field with the helix's period, leaning along the bias, as unit vectors."""
    p = parameters
    ky, kx = 2 * np.pi * np.fft.fftfreq(p.rows), 2 * np.pi * np.fft.fftfreq(p.columns)
    wanted = 2 * np.pi / min(helix_period(p), p.rows, p.columns)
    shell = np.exp(-(((np.hypot(*np.meshgrid(kx, ky)) - wanted) / (0.25 * wanted)) ** 2))
    noise = rng.standard_normal((3, p.rows, p.columns))
    field = np.fft.ifft2(np.fft.fft2(noise) * shell).real
    field /= field.std()
    lean = np.sign(p.bias_T[2]) if p.bias_T[2] else 0.0
    field[2] += 0.5 * lean
    return Start("random field", f"random field {number}", field / _lengths(field))


def _annealed(
    film: FilmArrays,
    count: int,
    seed: int,
    threads: int,
    sites: np.ndarray | None,
    on_step: Callable[[float], object],
) -> list[Start]:
    p = film.parameters
    if not count or (p.periodic and (p.rows % 2 or p.columns % 2)):
        return []  # without a checkerboard the other starts have to do
    films = MonteCarlo(
        p, count, seed=seed, threads=threads, sites=sites, anisotropy_map=film.anisotropy_map
    )
    scale = abs(p.exchange_meV) / llg.K_B_MEV_PER_K
    done = iter(range(1, _SWEEPS + 1))
    films.anneal(
        falling(_HOT * scale, _COLD * scale, _SWEEPS),
        on_step=lambda: on_step(0.5 * next(done) / _SWEEPS),
    )
    return [Start("annealed", f"annealing {k}", spins) for k, spins in enumerate(films.spins)]


def _minima(
    film: FilmArrays, spins: list[np.ndarray], on_step: Callable[[float], object]
) -> np.ndarray:
    minima = []
    for first in range(0, len(spins), TOGETHER):
        some = np.stack(spins[first : first + TOGETHER])
        # One that slides on and on is taken as far down as it came.
        states, _ = relaxed(film, some, _TOLERANCE_T, most_sweeps=20_000)
        minima.append(states)
        on_step(0.5 + 0.5 * min(1.0, (first + TOGETHER) / len(spins)))
    return np.concatenate(minima)


def _lengths(spins: np.ndarray) -> np.ndarray:
    """|S| along the component's axis, 1 where there is no spin."""
    lengths = np.linalg.norm(spins, axis=-3, keepdims=True)
    return np.where(lengths > 0, lengths, 1.0)


def require_a_period(p: FilmParameters) -> None:
    """Raises ValueError for a film without exchange, or smaller than half of its helix's period."""
    if p.exchange_meV <= 0:
        raise ValueError(f"film exchange_meV = {p.exchange_meV:g}: must be above 0 here")
    period = helix_period(p)
    if np.isfinite(period) and min(p.rows, p.columns) < period / 2:
        raise ValueError(
            f"film of {p.rows} x {p.columns} sites: smaller than half of its helix's period of "
            f"{period:.1f} sites. Give a larger film, or a stronger DMI."
        )
