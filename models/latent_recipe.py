"""How a latent network is made: trajectories, their modes, training, three files and a card."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from skyctl.inference.latent_film import LatentFilm, latent_files
from skyctl.models.latent import LatentNetwork, Modes
from skyctl.models.latent_data import LatentPlan, Trajectories, filled_set, judging_plan
from skyctl.models.latent_export import LatentFacts, export_latent, latent_card
from skyctl.models.latent_scores import predictions_of, scored, spread_rank, table_row
from skyctl.models.latent_training import Coded, Stage, train_latent

Progress = Callable[[str, int], Callable[[], None]]
"""Called with what begins and its steps; returns what to call after each."""
_EVERY = 3
"""Frames apart that modes are computed from: 10 ps apart states are alike."""

STAGES = (
    Stage(1000, 256, 0, rate=(2e-3, 1e-3)),
    Stage(2000, 128, 1, noise=0.05, rate=(2e-3, 5e-4)),
    Stage(1200, 64, 8, from_start=0.1, noise=0.02, rate=(1.5e-3, 1e-3)),
    Stage(1500, 48, 30, from_start=0.3, rate=(1e-3, 1e-3)),
    Stage(4000, 24, 110, from_start=1.0, rate=(1e-3, 2e-5)),
)
"""Coding, a step from noisy states, then longer and longer rollouts, at last from the start."""


def no_progress(_what: str, _steps: int) -> Callable[[], None]:
    """Tells nobody."""
    return lambda: None


@dataclass(frozen=True)
class LatentRecipe:
    """What a network is made of.

    plan : of the trajectories to learn; modes : that coordinates are kept of
    members, latent, width : as of ``LatentNetwork``; stages : of training
    """

    plan: LatentPlan = field(default_factory=LatentPlan)
    modes: int = 96
    members: int = 2
    latent: int = 64
    width: int = 192
    stages: tuple[Stage, ...] = STAGES
    seed: int = 0

    def scaled(self, effort: float) -> "LatentRecipe":
        """The same with ``effort`` times as many iterations in each stage, one at least."""
        stages = tuple(
            replace(stage, iterations=max(1, round(effort * stage.iterations)))
            for stage in self.stages
        )
        return replace(self, stages=stages)

    def coding_only(self, latent: int) -> "LatentRecipe":
        """One that codes into ``latent`` numbers and learns no step, in four times the batches."""
        stages = tuple(
            replace(stage, iterations=4 * stage.iterations)
            for stage in self.stages
            if not stage.steps
        )
        return replace(self, latent=latent, stages=stages, members=1)

    def network(self, modes: Modes) -> LatentNetwork:
        """As it is before training, the same for the same seed."""
        torch.manual_seed(self.seed)
        return LatentNetwork(
            modes.deviation, modes.readout, members=self.members, latent=self.latent,
            width=self.width,
        )  # fmt: skip


@dataclass(frozen=True)
class Learned:
    """A network with what it learned from, and what it is judged by.

    coordinates : (runs, frames, modes) of the training trajectories
    """

    network: LatentNetwork
    modes: Modes
    training: Trajectories
    test: Trajectories
    coordinates: np.ndarray


def learn(
    recipe: LatentRecipe,
    data: Path,
    *,
    scheduler: str = "here",
    device: str = "cpu",
    progress: Progress = no_progress,
) -> Learned:
    """Simulate, find the modes, train. What is in the folder ``data`` is not done again: the same
    call goes on where one was stopped.

    Raises StateError for a folder of other trajectories, ScaleOutError, OSError.
    """
    data.mkdir(parents=True, exist_ok=True)
    judged = judging_plan(recipe.plan)
    advance = progress("trajectories", recipe.plan.runs + judged.runs)
    training = filled_set(data / "training.h5", recipe.plan, scheduler, advance)
    test = filled_set(data / "test.h5", judged, scheduler, advance)
    modes, coordinates = _modes(recipe, training, data, progress)
    network = recipe.network(modes).to(device)
    advance = progress("training", sum(stage.iterations for stage in recipe.stages))
    said = json.dumps(asdict(recipe), sort_keys=True) + training.sha256
    key = hashlib.sha256(said.encode()).hexdigest()[:12]
    train_latent(
        network,
        Coded.of(coordinates, training.fields_T).to(device),
        recipe.stages,
        seed=recipe.seed,
        checkpoint=data / f"training-{key}.pt",
        progress=lambda _iteration, _loss: advance(),
    )
    return Learned(network.cpu().eval(), modes, training, test, coordinates)


def make_latent(
    recipe: LatentRecipe,
    out: Path,
    data: Path,
    *,
    scheduler: str = "here",
    device: str = "cpu",
    progress: Progress = no_progress,
) -> LatentFacts:
    """Learn, and write the encoder ``out``, NAME-encoder.onnx, step and decoder beside it, and
    their card, NAME.md. Arguments as of ``learn``.

    Raises as ``learn``; ModelError for another name or networks that ONNX Runtime computes
    differently.
    """
    files = latent_files(out)
    learned = learn(recipe, data, scheduler=scheduler, device=device, progress=progress)
    facts = LatentFacts(recipe.plan, learned.training.sha256)
    parity = export_latent(learned.network, learned.modes, out, facts)
    film = LatentFilm(out)
    predictions, spread = predictions_of(film, learned.test)
    scores = scored(predictions, learned.test)
    facts = replace(
        facts,
        scores=table_row(scores, learned.test.constants),
        spread=spread_rank(predictions, spread, learned.test),
    )
    size = sum(path.stat().st_size for path in files.values())
    out.with_name(f"{film.card.name}.md").write_text(latent_card(film.card, facts, parity, size))
    return facts


def _modes(
    recipe: LatentRecipe, training: Trajectories, data: Path, progress: Progress
) -> tuple[Modes, np.ndarray]:
    """The modes, kept in a file named after what they are of, and all coordinates."""
    path = data / f"modes-{recipe.modes}-{training.sha256[:12]}.npz"
    runs = range(len(training.half))
    if path.exists():
        with np.load(path) as kept:
            modes = Modes(training.half.shape[2:], kept["mean"], kept["basis"], kept["deviation"])
            return modes, kept["coordinates"]
    advance = progress("modes", 1)
    some = np.concatenate([training.magnetisation(run)[::_EVERY] for run in runs])
    modes = Modes.of(some, recipe.modes)
    coordinates = np.stack([modes.coordinates(training.magnetisation(run)) for run in runs])
    partial = path.with_suffix(".part.npz")
    np.savez(
        partial, mean=modes.mean, basis=modes.basis, deviation=modes.deviation,
        coordinates=coordinates,
    )  # fmt: skip
    partial.replace(path)
    advance()
    return modes, coordinates
