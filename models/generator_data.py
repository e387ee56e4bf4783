"""What the generator learns from: films cooled down from disorder and relaxed, in one file."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from skyctl.simulators.lattice.files import MovieFile
from skyctl.simulators.lattice.film import FilmParameters, energies_meV
from skyctl.simulators.lattice.monte_carlo import TOGETHER, FilmArrays, MonteCarlo, falling, relaxed
from skyctl.simulators.lattice.places import centres
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import topological_charge

_HOT, _COLD = 1.0, 0.005
"""k_BT/J at which annealing begins and ends."""
_TOLERANCE_T = 1e-2
_MOST_SWEEPS = 4000


@dataclass(frozen=True)
class AnnealPlan:
    """Which films: J = 1, without anisotropy, a moment of 1 meV/T.

    side : sites; dmi : D/J; lowest, highest, fields : of B in units of D²/J, and how many
    replicas : of each field; sweeps : of an annealing

    Raises ValueError for what cannot be.
    """

    side: int = 64
    dmi: float = 0.6
    lowest: float = 0.45
    highest: float = 0.7
    fields: int = 6
    replicas: int = 64
    sweeps: int = 1000
    seed: int = 0
    periodic: bool = True

    def __post_init__(self) -> None:
        numbers = self.side, self.fields, self.replicas, self.sweeps
        if min(numbers) < 1 or self.side % 4 or self.seed < 0:
            raise ValueError(
                f"anneal plan {self}: give 1 or more of everything, a side that 4 divides, a seed "
                "of 0 or more"
            )
        if not (0 < self.dmi < np.inf and 0 < self.lowest <= self.highest < np.inf):
            raise ValueError(f"anneal plan {self}: give D/J and fields above 0, the lower first")

    @property
    def scaled_fields(self) -> np.ndarray:
        """(fields,) B J/D²."""
        return np.linspace(self.lowest, self.highest, self.fields)

    def film(self, scaled_field: float, side: int | None = None) -> FilmParameters:
        """A film in this field, of the plan's side or another."""
        side = side or self.side
        return FilmParameters(
            rows=side,
            columns=side,
            exchange_meV=1.0,
            dmi_meV=self.dmi,
            anisotropy_meV=0.0,
            moment_muB=1 / llg.MU_B_MEV_PER_T,
            periodic=self.periodic,
            bias_T=(0.0, 0.0, float(scaled_field) * self.dmi**2),
        )


@dataclass(frozen=True)
class AnnealedStates:
    """spins (states, 3, side, side) float32; fields (states,) B J/D²; charges, energies (states,),
    meV a site; places : of each, (number, 2); sha256 : of spins and fields."""

    spins: np.ndarray
    fields: np.ndarray
    charges: np.ndarray
    energies: np.ndarray
    places: list[np.ndarray]
    sha256: str

    @property
    def numbers(self) -> np.ndarray:
        """(states,) how many islands each has."""
        return np.array([len(places) for places in self.places])

    @property
    def of_skyrmions(self) -> np.ndarray:
        """(states,) bool: every island has charge 1, so that places say all."""
        return self.numbers == np.abs(np.round(self.charges))


def annealed_states(
    path: Path, plan: AnnealPlan, advance: Callable[[], object] = lambda: None
) -> AnnealedStates:
    """The states of a plan, those that ``path`` has not yet annealed now; ``advance`` is called
    after each field's replicas. The same plan gives the same states, bit for bit.

    Raises StateError for a file of another plan.
    """
    shape = 3, plan.side, plan.side
    with MovieFile(path, shape, {"annealed": asdict(plan)}) as file:
        for number, field in enumerate(plan.scaled_fields):
            there = len(file) - number * plan.replicas
            if there < plan.replicas:
                for spins, facts in _anneal(plan, number, float(field))[max(there, 0) :]:
                    file.append(spins, facts)
            advance()
        states = [*file]
    spins = np.stack([state for state, _ in states])
    fields, charges, energies = (
        np.array([facts[name] for _, facts in states]) for name in ("field", "charge", "energy")
    )
    digest = hashlib.sha256(spins.tobytes() + fields.tobytes()).hexdigest()
    places = [centres(state, plan.periodic) for state in spins]
    return AnnealedStates(spins, fields, charges, energies, places, digest)


def _anneal(plan: AnnealPlan, number: int, field: float) -> list[tuple[np.ndarray, dict]]:
    film = plan.film(field)
    kelvin = film.exchange_meV / llg.K_B_MEV_PER_K
    out = []
    for first in range(0, plan.replicas, TOGETHER):
        count = min(TOGETHER, plan.replicas - first)
        seed = int(np.random.SeedSequence([plan.seed, number, first]).generate_state(1)[0])
        films = MonteCarlo(film, count, seed=seed)
        films.anneal(falling(_HOT * kelvin, _COLD * kelvin, plan.sweeps))
        spins, _ = relaxed(FilmArrays.of(film, None, None), films.spins, _TOLERANCE_T, _MOST_SWEEPS)
        spins = spins.astype(np.float32)
        energies = energies_meV(film, spins) / plan.side**2
        for state, energy in zip(spins, energies, strict=True):
            charge = topological_charge(state, plan.periodic)
            out.append((state, {"field": field, "charge": charge, "energy": float(energy)}))
    return out
