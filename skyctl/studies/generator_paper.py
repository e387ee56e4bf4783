"""The energy-minimising VAE of spin states (Adv. Sci. 8, 2004795 (2021)) done again, and judged.

Beside every γ stands a control that went on at γ = 0 for as long; beside the collapsed networks,
random fields relaxed; beside the interpolation, the path of least energy.
"""

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skyctl.bench.machine import machine
from skyctl.models.generator_data import AnnealedStates, AnnealPlan, annealed_states
from skyctl.models.generator_training import one_thread
from skyctl.models.spin_vae import SpinVAE
from skyctl.models.spin_vae_training import SpinEnergy, evaluate, samples, train_stage
from skyctl.simulators.lattice.elastic_band import least_energy_path
from skyctl.simulators.lattice.film import (
    FilmParameters,
    bloch_or_neel,
    effective_field_T,
    energies_meV,
)
from skyctl.simulators.lattice.ground_states import SAME_MEV, ground_state, random_field
from skyctl.simulators.lattice.monte_carlo import FilmArrays, relaxed
from skyctl.simulators.lattice.places import centres
from skyctl.simulators.physics.topology import topological_charge
from skyctl.strict_json import strict_json
from skyctl.studies import generator_paper_figures as figures
from skyctl.studies.generator_judged import k_spread

Progress = Callable[[str, int], Callable[[], None]]
_TOLERANCE_T, _MOST_SWEEPS = 1e-3, 20_000
_HELD_OUT = 0.1
_TARGET_STEPS, _TARGET_RATE = 400, 0.05
_BETWEEN = 81


@dataclass(frozen=True)
class VaePreset:
    """How much is trained, and on what.

    side, dmi, field : of the periodic films, J = 1; states, sweeps : annealed ones
    filters, hidden, latents : of the network (``SpinVAE``); batch, steps : of a stage, first_steps
        of the first one, at the least β
    betas : one after another at γ = 0; gammas : one after another at ``beta``
    collapse : γ at which ``seeds`` networks go on from γ = 0 at once, for collapse_steps; samples :
        drawn of each
    """

    side: int
    dmi: float
    field: float
    states: int
    sweeps: int
    filters: tuple[int, ...]
    hidden: int
    latents: int
    batch: int
    first_steps: int
    steps: int
    betas: tuple[float, ...]
    beta: float
    gammas: tuple[float, ...]
    collapse: tuple[float, ...]
    collapse_steps: int
    seeds: int
    samples: int

    @property
    def film(self) -> FilmParameters:
        """The film, periodic."""
        return self.plan().film(self.field / self.dmi**2)

    def plan(self, periodic: bool = True) -> AnnealPlan:
        """Of the annealed states."""
        scaled = self.field / self.dmi**2
        return AnnealPlan(
            self.side, self.dmi, scaled, scaled, 1, self.states, self.sweeps, periodic=periodic
        )


_BETAS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
_GAMMAS = tuple(10.0**power for power in range(-4, 7))
PRESETS = {
    "quick": VaePreset(
        side=32, dmi=0.6, field=0.2, states=1000, sweeps=1000,
        filters=(12, 24, 48), hidden=256, latents=64, batch=32, first_steps=300, steps=120,
        betas=(1e-6, 1e-3, 1e-2, 1.0), beta=1e-3, gammas=(1e-4, 1.0, 1e2, 1e4, 1e6),
        collapse=(1e4,), collapse_steps=300, seeds=5, samples=50,
    ),
    "paper": VaePreset(
        side=128, dmi=0.3, field=0.05, states=39_300, sweeps=1000,
        filters=(6, 12, 24, 48), hidden=512, latents=100, batch=100, first_steps=30_000,
        steps=30_000, betas=_BETAS, beta=1e-3, gammas=_GAMMAS,
        collapse=(500.0, 1e3, 1.5e3, 2e3, 5e3), collapse_steps=30_000, seeds=5, samples=100,
    ),
}  # fmt: skip


class _Stages:
    """Networks after each stage of training, kept in a folder: what is there is not trained again.

    spins : to learn from; film : of the energy
    """

    def __init__(
        self,
        preset: VaePreset,
        folder: Path,
        spins: np.ndarray,
        film: SpinEnergy,
        progress: Progress,
    ) -> None:
        self.preset, self.folder, self.spins, self.film = preset, folder, spins, film
        self.progress = progress
        folder.mkdir(parents=True, exist_ok=True)
        self.data = hashlib.sha256(spins.tobytes()).hexdigest()

    def fresh(self, seed: int) -> SpinVAE:
        """A network before training."""
        p = self.preset
        torch.manual_seed(seed)
        return SpinVAE(p.side, p.filters, p.hidden, p.latents).eval()

    def trained(
        self, before: str, beta: float, gamma: float, steps: int, seed: int
    ) -> tuple[SpinVAE, str]:
        """The network that went on from stage ``before`` ("" is a fresh one); and its stage."""
        said = [before, beta, gamma, steps, seed, self.data, asdict(self.preset), self.film.open]
        name = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]
        path, network = self.folder / f"{name}.pt", self.fresh(seed)
        if path.exists():
            network.load_state_dict(torch.load(path, weights_only=True))
            return network, name
        if before:
            network.load_state_dict(torch.load(self.folder / f"{before}.pt", weights_only=True))
        train_stage(
            network, self.spins, self.film, beta=beta, gamma=gamma, steps=steps,
            batch=self.preset.batch, seed=seed,
            advance=self.progress(f"β {beta:g}, γ {gamma:g}, seed {seed}", steps),
        )  # fmt: skip
        partial = path.with_suffix(".part")
        torch.save(network.state_dict(), partial)
        partial.replace(path)
        return network, name


@one_thread()
def reproduce_generator(
    preset: VaePreset, out: Path, *, progress: Progress, seed: int = 0
) -> dict[str, Any]:
    """Anneal, train all stages, judge, draw Figures 2 to 5 and Note S2; result.json in ``out``.

    What an interrupted call annealed and trained is kept. Raises StateError for a folder of
    another preset, OSError.
    """
    begun, wall = time.process_time(), time.perf_counter()
    states = annealed_states(out / f"annealed-{preset.side}.h5", preset.plan())
    held = round(len(states.spins) * _HELD_OUT)
    film = SpinEnergy(preset.dmi, preset.field)
    stages = _Stages(preset, out / "stages", states.spins[held:], film, progress)
    judged = _Judge(preset, states, held)
    result: dict[str, Any] = {"machine": machine(), "preset": asdict(preset), **judged.baselines()}
    result["betas"], base = _betas(stages, judged, seed)
    result["gammas"] = _gammas(stages, judged, base, seed)
    result["interpolation"] = _interpolation(stages, judged, base, seed, out)
    result["collapse"] = _collapse(stages, judged, seed, out)
    result["confined"] = _confined(preset, out, progress, seed)
    figures.losses(out / "figure2.png", result)
    figures.angles(out / "figure3.png", result)
    result |= {"core_s": time.process_time() - begun, "seconds": time.perf_counter() - wall}
    (out / "result.json").write_text(strict_json(result, indent=2) + "\n", encoding="utf-8")
    return result


class _Judge:
    """Energies, angles, spread and hits of what networks make."""

    def __init__(self, preset: VaePreset, states: AnnealedStates, held: int) -> None:
        self.preset, self.film, self.states, self.held = preset, preset.film, states, held
        self.sites = preset.side**2
        self.ground = ground_state(self.film, random_fields=0, anneals=0)
        self.lowest = self.ground.energy_meV / self.sites

    def baselines(self) -> dict[str, Any]:
        """The annealed states, and random fields relaxed: what a network has to be better than."""
        rng = np.random.default_rng(0)
        begun = time.process_time()
        fields = [random_field(self.film, rng, k).spins for k in range(self.preset.samples)]
        relaxed_fields = self.below(np.stack(fields))
        relaxed_fields["core_s_a_state"] = (time.process_time() - begun) / self.preset.samples
        return {
            "lowest_meV_per_site": self.lowest,
            "annealed": self.told(self.states.spins[: self.held].astype(np.float64)),
            "random_fields": relaxed_fields,
        }

    def told(self, spins: np.ndarray) -> dict[str, float]:
        """Of states (states, 3, side, side): mean energy a site, angle between spin and its field
        in degrees, spread in k-space."""
        energies = energies_meV(self.film, spins) / self.sites
        return {
            "energy": float(energies.mean()),
            "lowest": float(energies.min()),
            "angle_deg": float(angles_deg(self.film, spins).mean()),
            "k_spread": k_spread(spins[:, 2]),
            "mean_sz": float(spins[:, 2].mean()),
        }

    def below(self, spins: np.ndarray) -> dict[str, Any]:
        """Of the minima below states: mean excess over the ground state, and how many are it."""
        minima, _ = relaxed(FilmArrays.of(self.film, None, None), spins, _TOLERANCE_T, _MOST_SWEEPS)
        excess = energies_meV(self.film, minima) / self.sites - self.lowest
        return {
            "mean_excess": float(excess.mean()),
            "least_excess": float(excess.min()),
            "hits": int((excess < SAME_MEV).sum()),
            "of": len(excess),
        }

    def network(self, network: SpinVAE) -> dict[str, Any]:
        """Losses on held-out and on learned states, and of reconstructions and samples what
        ``told`` tells."""
        film = SpinEnergy(self.preset.dmi, self.preset.field)
        unseen, seen = self.states.spins[: self.held], self.states.spins[self.held :][: self.held]
        with torch.no_grad():
            made = network.decode(network.encode(torch.from_numpy(unseen))[0]).numpy()
        return {
            "held_out": asdict(evaluate(network, unseen, film)),
            "learned": asdict(evaluate(network, seen, film)),
            "reconstructed": self.told(made.astype(np.float64)),
            "sampled": self.told(samples(network, self.preset.samples)),
        }


def angles_deg(film: FilmParameters, spins: np.ndarray) -> np.ndarray:
    """(…, rows, columns) between each spin and its field. Of single precision, from the cosine,
    angles under 0.03° would be 0."""
    field = effective_field_T(film, spins)
    sine = np.linalg.norm(np.cross(spins, field, axis=-3), axis=-3)
    return np.degrees(np.arctan2(sine, (spins * field).sum(-3)))


def _betas(stages: _Stages, judged: _Judge, seed: int) -> tuple[list[dict[str, Any]], str]:
    """One β after another, as the paper; and the stage from which γ begins."""
    p, before, base, rows = stages.preset, "", "", []
    for beta in sorted(p.betas):
        steps = p.steps if before else p.first_steps
        network, before = stages.trained(before, beta, 0.0, steps, seed)
        rows.append({"beta": beta, **judged.network(network)})
        base = before if beta <= p.beta else base
    return rows, base


def _gammas(stages: _Stages, judged: _Judge, base: str, seed: int) -> list[dict[str, Any]]:
    """One γ after another, each beside a control of as many steps at γ = 0."""
    p, rows, before, control = stages.preset, [], base, base
    for gamma in p.gammas:
        network, before = stages.trained(before, p.beta, gamma, p.steps, seed)
        other, control = stages.trained(control, p.beta, 0.0, p.steps, seed)
        rows.append(
            {
                "gamma": gamma,
                **judged.network(network),
                "minima": judged.below(samples(network, p.samples)),
                "control": judged.network(other),
            }
        )
    return rows


def _interpolation(
    stages: _Stages, judged: _Judge, base: str, seed: int, out: Path
) -> dict[str, Any]:
    """Energies on the way from a lattice with an interstitial to one without, in latent space at
    γ = 0 and at 100, and on the path of least energy."""
    p, film = stages.preset, judged.film
    last = judged.ground.spins
    first = _with_interstitial(film, last)
    told: dict[str, Any] = {"charges": [topological_charge(s, True) for s in (first, last)]}
    courses = {}
    for gamma in (0.0, 100.0):
        network, _ = stages.trained(base, p.beta, gamma, p.steps, seed)
        ends = [_inverted(network, state) for state in (first, last)]
        shares = torch.linspace(0, 1, _BETWEEN)[:, None]
        with torch.no_grad():
            way = network.decode(ends[0] + shares * (ends[1] - ends[0])).numpy()
        energies = energies_meV(film, way.astype(np.float64))
        courses[f"γ = {gamma:g}"] = energies
        told[f"gamma {gamma:g}"] = _barrier(energies)
    try:
        path = least_energy_path(film, first, last, images=24, tolerance_T=2e-2, most_steps=4000)
        energies = np.interp(
            np.linspace(0, path.distances[-1], _BETWEEN), path.distances, path.energies_meV
        )
        courses["least energy"] = energies
        told["least energy"] = _barrier(energies)
    except RuntimeError as error:
        told["least energy"] = str(error)
    figures.interpolation(out / "figure4.png", courses, first, last)
    return told


def _with_interstitial(film: FilmParameters, lattice: np.ndarray) -> np.ndarray:
    """The state with one skyrmion more, put where it has most room, relaxed."""
    places = centres(lattice, True)
    row, column = np.mgrid[: film.rows, : film.columns]
    away = np.stack([column, row], -1)[:, :, None] - places
    away = away - film.rows * np.round(away / film.rows)
    r = np.hypot(away[..., 0], away[..., 1]).min(-1)
    y, x = np.unravel_index(r.argmax(), r.shape)
    dx, dy = ((d + film.rows / 2) % film.rows - film.rows / 2 for d in (column - x, row - y))
    own = bloch_or_neel(dx, dy, r.max() / 2, 1, film.dmi_meV, film.interfacial_dmi_meV)
    start = np.where(np.hypot(dx, dy) < r.max(), own, lattice)
    return relaxed(FilmArrays.of(film, None, None), start[None], _TOLERANCE_T, _MOST_SWEEPS)[0][0]


def _inverted(network: SpinVAE, state: np.ndarray) -> torch.Tensor:
    """The latent numbers (1, latents) whose state is nearest to a given one, by descent from what
    it is encoded to."""
    target = torch.from_numpy(state[None].astype(np.float32))
    with torch.no_grad():
        z = network.encode(target)[0].clone()
    z.requires_grad_(True)
    optimizer = torch.optim.Adam([z], lr=_TARGET_RATE)
    for _ in range(_TARGET_STEPS):
        optimizer.zero_grad()
        (network.decode(z) - target).square().mean().backward()
        optimizer.step()
    return z.detach()


def _barrier(energies: np.ndarray) -> dict[str, float]:
    """Over the higher end, meV; and how many of _BETWEEN steps are above half of it."""
    above = energies - np.linspace(energies[0], energies[-1], len(energies))
    return {
        "barrier_meV": float(energies.max() - max(energies[0], energies[-1])),
        "steps_above_half": int((above > above.max() / 2).sum()),
        "first_end_meV": float(energies[0]),
        "last_end_meV": float(energies[-1]),
    }


def _collapse(stages: _Stages, judged: _Judge, seed: int, out: Path) -> list[dict[str, Any]]:
    """Networks of several seeds, trained at γ = 0 and then at once at each γ that may collapse
    them; the spread of their samples in k-space, and how often those relax to the ground state."""
    p, rows, shown = stages.preset, [], []
    for own in range(seed, seed + p.seeds):
        _, base = stages.trained("", p.beta, 0.0, p.first_steps, own)
        for gamma in (0.0, *p.collapse):
            network, _ = stages.trained(base, p.beta, gamma, p.collapse_steps, own)
            drawn = samples(network, p.samples)
            rows.append(
                {
                    "seed": own,
                    "gamma": gamma,
                    **judged.told(drawn),
                    "minima": judged.below(drawn),
                    "mean_charge": float(np.mean([topological_charge(s, True) for s in drawn])),
                }
            )
            if own < seed + 2:
                shown.append((f"seed {own}, γ = {gamma:g}", drawn[:4, 2]))
    annealed = k_spread(judged.states.spins[: judged.held, 2])
    figures.collapse(out / "figure5.png", rows, shown, annealed)
    return rows


def _confined(preset: VaePreset, out: Path, progress: Progress, seed: int) -> dict[str, Any]:
    """Note S2: a square with open edges; the lowest of what collapsed networks' samples relax to,
    beside the best of 32 anneals."""
    plan = preset.plan(periodic=False)
    film = plan.film(plan.lowest)
    spins = annealed_states(out / f"annealed-open-{preset.side}.h5", plan).spins
    energy = SpinEnergy(preset.dmi, preset.field, open=True)
    stages = _Stages(preset, out / "stages", spins, energy, progress)
    _, base = stages.trained("", preset.beta, 0.0, preset.first_steps, seed)
    network, _ = stages.trained(
        base, preset.beta, max(preset.collapse), preset.collapse_steps, seed
    )
    minima, _ = relaxed(
        FilmArrays.of(film, None, None), samples(network, 32), _TOLERANCE_T, _MOST_SWEEPS
    )
    best = ground_state(film, random_fields=0, anneals=32, seed=seed)
    sites = preset.side**2
    found = energies_meV(film, minima) / sites
    figures.confined(out / "note_s2.png", minima[found.argmin()], best.spins)
    return {
        "network_lowest": float(found.min()),
        "network_mean": float(found.mean()),
        "best_of_32_anneals": best.energy_meV / sites,
        "charges": [topological_charge(minima[found.argmin()]), best.charge],
    }
