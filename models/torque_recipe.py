"""How a torque network is made: truth, training, its own states labelled, training again."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models.torque import REDUCED_WIDTHS, Architecture, new_network
from skyctl.models.torque_data import (
    KINDS,
    TorquePlan,
    TorqueSet,
    TorqueStates,
    fill_torque_set,
)
from skyctl.models.torque_export import TorqueFacts, export_torque, torque_card
from skyctl.models.torque_training import (
    FEWEST_STEPS,
    Precision,
    predict,
    score,
    train_torque,
)

DRIVEN_STATES = "network-driven"
"""Name of the score on states that a network drove to."""
EARLY_STATES = "of the first 5 t0"
"""Name of the score on the states of the truth's plan that were held out."""
LEARNING_RATES: dict[Architecture, float] = {
    "equivariant": 8e-3,
    "gradient": 8e-3,
    "paper": 1e-3,
}
"""At 5e-3 the paper's network, which has no normalisation, falls to predicting nothing."""
TEST_SEED = 1000
"""Added to a plan's seed: the runs of the test are nobody else's."""
_FEWEST_RUNS = 8
_DECIDES = ("architecture", "widths", "steps", "batch", "learning_rate", "precision", "seed")
"""What of a recipe decides the weights, beside the states."""
Progress = Callable[[str, int], Callable[[], None]]
"""Called with what begins and its steps; returns what to call after each."""


def no_progress(_what: str, _steps: int) -> Callable[[], None]:
    """Tells nobody."""
    return lambda: None


@dataclass(frozen=True)
class TorqueRecipe:
    """What a network is made of.

    widths : of the paper's network; the equivariant one has none
    plan : of the states that the truth drives to; steps : of training, in each round
    learning_rate : the highest; None is what the architecture bears (``LEARNING_RATES``)
    precision : in training; bfloat16 takes two thirds of the time where a processor has it
    test_runs, test_steps, test_step_t0 : of runs that the truth drives as the paper's, by which the
        network is judged and from which it never learns. Steps of 10 t0 would heat them
    rounds : in how many the equivariant network, trained so far, drives ``driven_runs`` runs, of
        which ``driven_states`` states each, up to ``longest_t0``, are then labelled, with
        ``boundaries`` (``TorquePlan``), and learned as well; by either architecture, so that both
        learn from the same states

    Raises ValueError for what cannot be.
    """

    architecture: Architecture = "equivariant"
    widths: tuple[int, ...] = REDUCED_WIDTHS
    plan: TorquePlan = field(default_factory=TorquePlan)
    test_runs: int = 4
    test_steps: int = 50
    test_step_t0: float = 5.0
    steps: int = 2000
    batch: int = 2
    learning_rate: float | None = None
    precision: Precision = "single"
    rounds: int = 1
    driven_runs: int = 24
    driven_states: int = 8
    longest_t0: float = 500.0
    boundaries: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        fewest = min(self.batch, self.driven_states)
        if self.steps < FEWEST_STEPS or fewest < 1 or self.rounds < 0:
            raise ValueError(
                f"torque recipe: {self.steps} steps, batches of {self.batch}, "
                f"{self.driven_states} states a driven run, {self.rounds} rounds: give 1 or more, "
                f"{FEWEST_STEPS} steps or more, and 0 rounds or more"
            )
        if min(self.plan.runs, self.driven_runs) < _FEWEST_RUNS:
            raise ValueError(
                f"torque recipe: {self.plan.runs} runs of the truth, {self.driven_runs} of the "
                f"network: give {_FEWEST_RUNS} or more, of which one of either kind is held out"
            )

    @property
    def test_plan(self) -> TorquePlan:
        """The runs by which the network is judged."""
        return replace(
            self.plan,
            runs=self.test_runs,
            steps=self.test_steps,
            step_t0=self.test_step_t0,
            seed=self.plan.seed + TEST_SEED,
        )

    def network(self) -> nn.Module:
        """The network as it is before training, the same for the same seed."""
        torch.manual_seed(self.seed)
        return new_network(self.architecture, self.widths)


def make_torque_network(
    recipe: TorqueRecipe,
    out: Path,
    data: Path,
    *,
    driver: Path | None = None,
    labelled: Sequence[Path] = (),
    scheduler: str = "here",
    progress: Progress = no_progress,
) -> tuple[nn.Module, TorqueFacts]:
    """Simulate, train, export to ``out`` and write its card beside it.

    data : folder of the labelled states and of each round's weights, made where there is none.
        What is in it is not done again: the same call goes on where one was stopped
    driver : an .onnx file that drives the first round; left out, what is trained before it
    labelled : torque sets, driven by networks, that are learned from too
    scheduler : where runs are simulated and labelled, as in ``fill_torque_set``

    Returns the network and what its file says of itself. Raises ValueError for labelled sets of
    another lattice or other electrons, StateError for a folder of other
    states, ModelError, ScaleOutError, OSError.
    """
    data.mkdir(parents=True, exist_ok=True)
    truth = filled_set(data / "truth.h5", recipe.plan, scheduler, progress)
    test = filled_set(data / "test.h5", recipe.test_plan, scheduler, progress)
    held_out = {str(kind): TorqueStates.joined([*test]).of_kind(kind) for kind in KINDS}
    training, held_out[EARLY_STATES] = truth
    scale = training.mean_field
    driven = [labelled_set(path, recipe.plan) for path in labelled]
    drives = replace(recipe, architecture="equivariant")
    network = drives.network()
    for number in range(recipe.rounds):
        if number or driver is None:
            learned = learned_states(training, driven)
            trained(drives, number, network, learned, scale, data, progress)
            driver = data / f"{drives.architecture}-{number}.onnx"
            export_torque(network, driver, _facts(drives, network, scale, learned, held_out))
        driven.append(_driven(recipe, number, TorqueNetwork(driver), data, scheduler, progress))
    training = learned_states(training, driven)
    if driven:
        held_out[DRIVEN_STATES] = TorqueStates.joined([kept for _, kept in driven])
    if recipe.architecture != drives.architecture:
        network = recipe.network()
    trained(recipe, recipe.rounds, network, training, scale, data, progress)
    facts = _facts(recipe, network, scale, training, held_out)
    difference = export_torque(network, out, facts)
    parameters = sum(p.numel() for p in network.parameters())
    out.with_suffix(".md").write_text(torque_card(out, facts, difference, parameters))
    return network, facts


def trained(
    recipe: TorqueRecipe,
    number: int,
    network: nn.Module,
    training: TorqueStates,
    scale: float,
    data: Path,
    progress: Progress,
) -> None:
    """A round of training; its weights are kept in ``data``, and taken where they are there.

    scale : mean field of the training states, hoppings, which the network learns as 1
    """
    said = json.dumps([getattr(recipe, name) for name in _DECIDES]) + training.sha256
    key = hashlib.sha256(said.encode()).hexdigest()[:12]
    weights = data / f"{recipe.architecture}-{number}-{key}.pt"
    if weights.exists():
        network.load_state_dict(torch.load(weights, weights_only=True))
        return
    advance = progress(f"training, round {number + 1}", recipe.steps)
    kept = weights.with_suffix(".training")
    train_torque(
        network,
        training.spins,
        training.fields / scale,
        steps=recipe.steps,
        batch=recipe.batch,
        learning_rate=recipe.learning_rate or LEARNING_RATES[recipe.architecture],
        augment=recipe.architecture == "paper",
        precision=recipe.precision,
        seed=recipe.seed + number,
        kept=kept,
        progress=lambda _step, _loss: advance(),
    )
    partial = weights.with_suffix(".part")
    torch.save(network.state_dict(), partial)
    partial.replace(weights)
    kept.unlink(missing_ok=True)


def filled_set(
    path: Path,
    plan: TorquePlan,
    scheduler: str,
    progress: Progress,
    driver: TorqueNetwork | None = None,
) -> tuple[TorqueStates, TorqueStates]:
    """The set of a plan, filled: its states to learn from, and to be held out."""
    with TorqueSet(path, plan) as states:
        advance = progress(f"states driven by {plan.driver}", int((~states.done).sum()))
        fill_torque_set(states, driver=driver, scheduler=scheduler, progress=advance)
        return states.split()


def _driven(
    recipe: TorqueRecipe,
    number: int,
    driver: TorqueNetwork,
    data: Path,
    scheduler: str,
    progress: Progress,
) -> tuple[TorqueStates, TorqueStates]:
    """States that the network drives to, labelled: to learn, and to be held out."""
    # Named after its weights: trained otherwise, it drives elsewhere.
    name = f"{driver.card.architecture}-{driver.card.file_sha256[:12]}"
    plan = replace(
        recipe.plan,
        driver=name,
        runs=recipe.driven_runs,
        steps=recipe.driven_states,
        longest_t0=recipe.longest_t0,
        boundaries=recipe.boundaries,
        seed=recipe.plan.seed + 1 + number,
    )
    return filled_set(data / f"{name}-{plan.seed}.h5", plan, scheduler, progress, driver)


def labelled_set(path: Path, plan: TorquePlan) -> tuple[TorqueStates, TorqueStates]:
    """A torque set that was filled before: to learn, and to be held out."""
    with TorqueSet(path) as states:
        if (states.plan.side, states.plan.electrons) != (plan.side, plan.electrons):
            raise ValueError(
                f"torque set {path}: {states.plan.side} sites along a side and "
                f"{states.plan.electrons}, not {plan.side} and {plan.electrons}. Give another set."
            )
        if states.plan.driver == "truth":
            raise ValueError(
                f"torque set {path}: driven by the truth. Give one that a network drove."
            )
        return states.split()


def learned_states(
    truth: TorqueStates, driven: Sequence[tuple[TorqueStates, TorqueStates]]
) -> TorqueStates:
    """All states to learn from: the truth's, and of the sets that networks drove."""
    return TorqueStates.joined([truth, *(learned for learned, _ in driven)])


def _facts(
    recipe: TorqueRecipe,
    network: nn.Module,
    scale: float,
    training: TorqueStates,
    held_out: dict[str, TorqueStates],
) -> TorqueFacts:
    return TorqueFacts(
        name=f"itinerant-torque-{recipe.architecture}",
        architecture=recipe.architecture,
        electrons=recipe.plan.electrons,
        scale=scale,
        side=recipe.plan.side,
        data_sha256=training.sha256,
        states=len(training.spins),
        scores={
            name: score(predict(network, states.spins) * scale, states.fields)
            for name, states in held_out.items()
        },
    )
