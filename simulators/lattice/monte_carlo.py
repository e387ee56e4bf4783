"""Monte Carlo: many replicas of one film at a temperature, and down to their nearest minima.

The film is that of the LLG (``FilmParameters``, each bond counted once), its field the same body
(``physics.llg``). What is drawn depends on seed, sweep, site and replica alone: it is the same
whatever the threads or the device, and after a restart.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import numpy as np

from skyctl.simulators.lattice.film import FilmParameters, effective_field_T, energies_meV
from skyctl.simulators.lattice.layout import Layout
from skyctl.simulators.lattice.shapes import checked_sites
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.span import noise_key

Rule = Literal["heat-bath", "metropolis", "over-relax"]
RULES: tuple[Rule, ...] = ("heat-bath", "metropolis", "over-relax")
TOGETHER = 32
"""Replicas that one thread moves side by side; with fewer a core is slower."""
_BEYOND = 1.9
"""How far downhill steps go: 1 is straight along the field, 2 never arrives."""
_LOOK_EVERY = 50
_CUDA_BLOCK = 128


class MonteCarlo:
    """Replicas of one film, each with its own temperature.

    parameters : FilmParameters; its temperature and damping do not matter here
    replicas : how many; TOGETHER at a time is fastest
    rule : "heat-bath", or "metropolis" with trials up to ``reach`` = 1 - cos θ away
    device : "cpu" or "cuda"; threads : of the CPU
    seed : of all random numbers, 0 or more
    sites, anisotropy_map : as ``Film`` has them

    They begin random. Raises ValueError for what cannot be (a periodic film with an odd side has no
    checkerboard), RuntimeError where there is no CUDA device.
    """

    def __init__(
        self,
        parameters: FilmParameters,
        replicas: int = TOGETHER,
        *,
        rule: Rule = "heat-bath",
        reach: float = 0.5,
        device: Literal["cpu", "cuda"] = "cpu",
        threads: int = 1,
        seed: int = 0,
        sites: np.ndarray | None = None,
        anisotropy_map: np.ndarray | None = None,
    ) -> None:
        p = parameters
        if p.periodic and (p.rows % 2 or p.columns % 2):
            raise ValueError(
                f"Monte Carlo on a periodic film of {p.rows} x {p.columns} sites: a checkerboard "
                "needs even sides. Give even ones, or open edges."
            )
        if replicas < 1 or threads < 1 or seed < 0:
            raise ValueError(
                f"replicas = {replicas}, threads = {threads}, seed = {seed}: give at least 1, 1, 0"
            )
        if rule not in RULES:
            raise ValueError(f"rule {rule!r}: choose one of {', '.join(RULES)}")
        if not 0 < reach <= 2:
            raise ValueError(f"reach = {reach}: 1 - cos θ of a trial is above 0 and at most 2")
        self.parameters, self.reach = p, reach
        self.rule: Rule = rule
        self.sites = None if sites is None else checked_sites(sites, p.rows, p.columns, p.periodic)
        self.anisotropy_map = anisotropy_map
        self.sweeps_taken = 0
        self._seed = seed
        film = FilmArrays.of(p, self.sites, anisotropy_map)
        key = noise_key(seed)
        self._engine: _CpuEngine | _CudaEngine = (
            _CpuEngine(film, replicas, threads, key)
            if device == "cpu"
            else _CudaEngine(film, replicas, key)
        )
        self.set_random()

    @property
    def replicas(self) -> int:
        """How many films there are."""
        return self._engine.replicas

    @property
    def spins(self) -> np.ndarray:
        """(replicas, 3, rows, columns) float32; assigning normalises, one state is for all."""
        return self._engine.read()

    @spins.setter
    def spins(self, value: np.ndarray) -> None:
        p = self.parameters
        shape = (self.replicas, 3, p.rows, p.columns)
        value = np.asarray(value, np.float64)
        if value.shape not in (shape, shape[1:]):
            raise ValueError(
                f"spins of shape {value.shape}: these films need {shape}, or {shape[1:]}"
            )
        there = np.ones(shape[2:], bool) if self.sites is None else self.sites
        lengths = np.linalg.norm(value, axis=-3)
        if not (np.isfinite(lengths).all() and (lengths[..., there] > 0).all()):
            raise ValueError("spins hold a NaN, an infinity or a zero vector: give unit vectors")
        unit = np.where(there, value / np.where(there, lengths, 1.0)[..., None, :, :], 0.0)
        self._engine.write(np.broadcast_to(unit, shape))

    def set_random(self) -> None:
        """Every spin of every replica in a direction of its own."""
        p = self.parameters
        rng = np.random.default_rng([self._seed, self.sweeps_taken])
        self.spins = rng.standard_normal((self.replicas, 3, p.rows, p.columns))

    def restore(self, spins: np.ndarray, sweeps_taken: int) -> None:
        """Go on from saved spins and the number of sweeps that led there, bit for bit."""
        self._engine.write(np.asarray(spins, np.float32))
        self.sweeps_taken = sweeps_taken

    def sweep(
        self, sweeps: int, temperature_K: float | np.ndarray, rule: Rule | None = None
    ) -> None:
        """Move every spin ``sweeps`` times.

        temperature_K : above 0, of all replicas or (replicas,)
        rule : of these sweeps; None is the film's own. "over-relax" alone explores one energy: mix
        """
        temperatures = np.broadcast_to(np.asarray(temperature_K, float), (self.replicas,))
        if not (np.isfinite(temperatures).all() and (temperatures > 0).all()):
            raise ValueError(
                f"temperature_K = {temperature_K}: must be above 0. At 0 K a film relaxes: relax()."
            )
        betas = self.parameters.moment_meV_per_T / (llg.K_B_MEV_PER_K * temperatures)
        self._engine.sweep(rule or self.rule, self.reach, betas, self.sweeps_taken, sweeps)
        self.sweeps_taken += sweeps

    def anneal(
        self,
        temperatures_K: Iterable[float],
        sweeps_each: int = 1,
        over_relaxed: int = 0,
        on_step: Callable[[], object] = lambda: None,
    ) -> None:
        """Sweep at one temperature after another.

        over_relaxed : sweeps at constant energy after each stretch; on_step : called after each
        """
        for temperature in temperatures_K:
            self.sweep(sweeps_each, temperature)
            if over_relaxed:
                self.sweep(over_relaxed, temperature, "over-relax")
            on_step()

    def relax(self, tolerance_T: float = 1e-3, most_sweeps: int = 200_000) -> np.ndarray:
        """The minima below, (replicas, 3, rows, columns) float64, each torque under
        ``tolerance_T``; the replicas themselves stay where they are.

        Raises RuntimeError where that is not reached.
        """
        film = FilmArrays.of(self.parameters, self.sites, self.anisotropy_map)
        states, torques = relaxed(film, self.spins, tolerance_T, most_sweeps)
        if (late := torques >= tolerance_T).any():
            p = self.parameters
            raise RuntimeError(
                f"film of {p.rows} x {p.columns} sites: {late.sum()} of {len(states)} states still "
                f"turned by up to {torques.max():.1e} T after {most_sweeps} sweeps downhill; give "
                f"a tolerance above {tolerance_T:g} T, or more sweeps"
            )
        return states

    def energies_meV(self) -> np.ndarray:
        """(replicas,) energy of each film."""
        return energies_meV(self.parameters, self.spins, self.anisotropy_map)


def falling(high_K: float, low_K: float, steps: int) -> np.ndarray:
    """(steps,) temperatures of an annealing, each the same fraction of the one before."""
    if not 0 < low_K <= high_K < np.inf or steps < 1:
        raise ValueError(
            f"annealing from {high_K:g} K to {low_K:g} K in {steps} steps: give two temperatures "
            "above 0, the higher first, and 1 step or more"
        )
    return np.geomspace(high_K, low_K, steps)


class FilmArrays(NamedTuple):
    """A film as the kernels take it, in double precision. See ``kernels_monte_carlo.SWEEPS``."""

    parameters: FilmParameters
    anisotropy_map: np.ndarray | None
    layout: Layout
    there: np.ndarray
    anisotropies: np.ndarray
    constants: np.ndarray

    @classmethod
    def of(
        cls, p: FilmParameters, sites: np.ndarray | None, anisotropy_map: np.ndarray | None
    ) -> "FilmArrays":
        layout, mu = Layout(p.rows, p.columns), p.moment_meV_per_T
        shape = (p.rows, p.columns)
        there = layout.flat(np.ones(shape, bool) if sites is None else sites, bool)
        k = np.ones(shape) if anisotropy_map is None else np.asarray(anisotropy_map, float)
        couplings = (p.exchange_meV / mu, p.dmi_meV / mu, p.interfacial_dmi_meV / mu)
        return cls(
            p,
            anisotropy_map,
            layout,
            there,
            layout.flat(2 * p.anisotropy_meV / mu * k, np.float64),
            np.array([*couplings, *p.easy_axis, *p.bias_T, 0.0, 1.0]),
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.parameters.rows, self.parameters.columns, self.layout.width

    def pack(self, spins: np.ndarray, dtype: Any) -> np.ndarray:
        """(replicas, 3, rows, columns) as the kernels have it, (size, 3, replicas)."""
        out = np.zeros((self.layout.size, 3, len(spins)), dtype)
        inner = self.layout.inner(np.moveaxis(out, 0, -1))
        inner[...] = np.moveaxis(spins, 0, 1)
        if self.parameters.periodic:
            from skyctl.simulators.lattice.kernels_monte_carlo import wrap

            wrap(out, *self.shape)
        return out

    def unpack(self, packed: np.ndarray) -> np.ndarray:
        """The opposite of ``pack``."""
        inner = self.layout.inner(np.moveaxis(packed, 0, -1))
        return np.ascontiguousarray(np.moveaxis(inner, 1, 0))


class _CpuEngine:
    """The replicas in groups of ``TOGETHER``, which threads share among them."""

    def __init__(self, film: FilmArrays, replicas: int, threads: int, key: np.ndarray) -> None:
        self.replicas, self._film, self._threads, self._key = replicas, film, threads, key
        self._firsts = range(0, replicas, TOGETHER)
        self._groups: list[np.ndarray] = []
        f4: Any = np.float32
        self._anisotropies = film.anisotropies.astype(f4)
        self._constants = film.constants.astype(f4)

    def read(self) -> np.ndarray:
        return np.concatenate([self._film.unpack(group) for group in self._groups])

    def write(self, spins: np.ndarray) -> None:
        self._groups = [
            self._film.pack(spins[first : first + TOGETHER], np.float32) for first in self._firsts
        ]

    def sweep(self, rule: Rule, reach: float, betas: np.ndarray, taken: int, sweeps: int) -> None:
        """``betas`` (replicas,), μ/k_BT in 1/T; ``taken`` : sweeps before these."""
        from skyctl.simulators.lattice.kernels_monte_carlo import SWEEPS

        f, one_sweep = self._film, SWEEPS[rule]
        waiting = iter(list(zip(self._groups, self._firsts, strict=True)))

        def work() -> None:
            for group, first in waiting:
                own = betas[first : first + TOGETHER].astype(np.float32)
                for step in range(taken, taken + sweeps):
                    one_sweep(
                        group, f.shape, f.there, self._anisotropies, self._constants, own,
                        np.float32(reach), self._key, step, first, f.parameters.periodic,
                    )  # fmt: skip

        others = [threading.Thread(target=work) for _ in range(1, self._threads)]
        for thread in others:
            thread.start()
        work()
        for thread in others:
            thread.join()


class _CudaEngine:
    """All replicas in one array on the current CUDA device."""

    def __init__(self, film: FilmArrays, replicas: int, key: np.ndarray) -> None:
        from numba import cuda

        from skyctl.simulators.physics.cuda import require_device

        require_device()
        self.replicas, self._film = replicas, film
        self._there = cuda.to_device(film.there)
        self._anisotropies = cuda.to_device(film.anisotropies.astype(np.float32))
        self._constants = cuda.to_device(film.constants.astype(np.float32))
        self._key = cuda.to_device(key)
        self._spins: Any = None

    def read(self) -> np.ndarray:
        return self._film.unpack(self._spins.copy_to_host())

    def write(self, spins: np.ndarray) -> None:
        from numba import cuda

        self._spins = cuda.to_device(self._film.pack(spins, np.float32))

    def sweep(self, rule: Rule, reach: float, betas: np.ndarray, taken: int, sweeps: int) -> None:
        """As ``_CpuEngine.sweep``."""
        from numba import cuda

        from skyctl.simulators.lattice.kernels_monte_carlo_cuda import HALF_SWEEPS

        rows, columns, _ = self._film.shape
        blocks = -(-rows * ((columns + 1) // 2) * self.replicas // _CUDA_BLOCK)
        kernel: Any = HALF_SWEEPS[rule]
        half_sweep = kernel[blocks, _CUDA_BLOCK]
        on_device = cuda.to_device(betas.astype(np.float32))
        for step in range(taken, taken + sweeps):
            for colour in range(2):
                half_sweep(
                    self._spins, self._film.shape, colour, self._there, self._anisotropies,
                    self._constants, on_device, np.float32(reach), self._key, step,
                    self._film.parameters.periodic,
                )  # fmt: skip


def relaxed(
    film: FilmArrays, spins: np.ndarray, tolerance_T: float, most_sweeps: int
) -> tuple[np.ndarray, np.ndarray]:
    """The nearest minima of spins (replicas, 3, rows, columns), and the largest torque in each, T:
    above ``tolerance_T`` where ``most_sweeps`` downhill did not lead there."""
    p = film.parameters
    done = np.empty(spins.shape)
    left, state = np.arange(len(spins)), film.pack(spins, np.float64)
    torques = np.full(len(spins), np.inf)
    for _ in range(0, most_sweeps, _LOOK_EVERY):
        downhill(film, state, _LOOK_EVERY, _BEYOND)
        now = film.unpack(state)
        field = effective_field_T(p, now, film.anisotropy_map)
        torque = np.linalg.norm(np.cross(now, field, axis=1), axis=1).max(axis=(1, 2))
        done[left], torques[left] = now, torque
        arrived = torque < tolerance_T
        if arrived.all():
            break
        if arrived.any():
            left, state = left[~arrived], film.pack(now[~arrived], np.float64)
    return done, torques


def downhill(film: FilmArrays, packed: np.ndarray, sweeps: int, go: float) -> np.ndarray:
    """Move packed spins (``FilmArrays.pack``, float64) downhill, in place; 1 as ``go`` lays each
    along its field, up to 2 goes beyond and arrives earlier."""
    from skyctl.simulators.lattice.kernels_monte_carlo import descend

    f8, p = np.float64, film.parameters
    for _ in range(sweeps):
        descend(
            packed, film.shape, film.there, film.anisotropies, film.constants, f8(1 - go), f8(go),
            f8(llg.TINY), p.periodic,
        )  # fmt: skip
    return packed
