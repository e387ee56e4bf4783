"""How the generator is made: states annealed, its decoder trained, its places fitted, exported."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from skyctl.errors import ModelError
from skyctl.inference.state_generator import BEST_ORDER, HEATED_BY, STRIDE, WIDTHS, StateGenerator
from skyctl.models.generator import Decoder
from skyctl.models.generator_data import AnnealedStates, AnnealPlan, annealed_states
from skyctl.models.generator_training import one_thread, train_decoder
from skyctl.models.onnx_file import write_onnx
from skyctl.simulators.lattice.film import FilmParameters, energies_meV
from skyctl.simulators.lattice.monte_carlo import MonteCarlo
from skyctl.simulators.physics import llg
from skyctl.simulators.physics.topology import topological_charge

_PARITY = 1e-4
_ORDERS = (5, 10, 15, 20, 30, 40, 60, 80, 120, 160, 240)
_CROWDING = np.arange(0.7, 1.11, 0.05)
_HOT = (0.05, 0.1, 0.15, 0.2, 0.3)
"""k_BT/J that are tried."""
_FILMS = 8
_RELAX = 400
Progress = Callable[[str, int], Callable[[], None]]
"""Called with what begins and its steps; returns what to call after each."""


def no_progress(_what: str, _steps: int) -> Callable[[], None]:
    """Tells nobody."""
    return lambda: None


@dataclass(frozen=True)
class GeneratorRecipe:
    """What a generator is made of.

    plan : of the annealed states; features : of the decoder; steps, batch, learning_rate : Adam's
    weight : of the energy beside the distance from the annealed states

    Raises ValueError for what cannot be.
    """

    plan: AnnealPlan = field(default_factory=AnnealPlan)
    features: int = 16
    steps: int = 1200
    batch: int = 8
    learning_rate: float = 1e-2
    weight: float = 100.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.features, self.steps, self.batch) < 1 or self.seed < 0:
            raise ValueError(
                f"generator recipe: {self.features} features, {self.steps} steps, batches of "
                f"{self.batch}, seed {self.seed}: give 1 or more, and a seed of 0 or more"
            )
        if self.plan.fields < 2 or not self.plan.periodic:
            raise ValueError("generator recipe: give periodic films at two fields or more")
        for name in ("learning_rate", "weight"):
            if not 0 <= getattr(self, name) < np.inf:
                raise ValueError(f"generator recipe {name} = {getattr(self, name)}: give 0 or more")


def make_generator(
    recipe: GeneratorRecipe, out: Path, data: Path, progress: Progress
) -> StateGenerator:
    """Anneal, train, fit, export to ``out`` and write its card beside it.

    data : folder of the annealed states and of the weights, made where there is none; what is in
        it is not done again

    Raises ValueError, StateError for a folder of other states, ModelError, OSError.
    """
    data.mkdir(parents=True, exist_ok=True)
    plan = recipe.plan
    states = annealed_states(data / "annealed.h5", plan, progress("annealing", plan.fields))
    network, draft = _trained(recipe, states, data, progress)
    told = _first_card(recipe, states)
    _say(draft, draft, told)
    told |= _fitted(StateGenerator(draft), states, plan, progress("fitting", plan.fields))
    _say(draft, out, told)
    parity = _parity(network, out)
    generator = StateGenerator(out)
    out.with_suffix(".md").write_text(_card(generator, recipe, states, network, parity))
    return generator


def _trained(
    recipe: GeneratorRecipe, states: AnnealedStates, data: Path, progress: Progress
) -> tuple[nn.Module, Path]:
    """The trained decoder and its ONNX file, without a card; both are kept, and taken where they
    are there."""
    torch.manual_seed(recipe.seed)
    network = Decoder(recipe.features).eval()
    said = json.dumps(asdict(recipe), sort_keys=True) + states.sha256
    weights = data / f"decoder-{hashlib.sha256(said.encode()).hexdigest()[:12]}.pt"
    graph = weights.with_suffix(".onnx")
    if weights.exists():
        network.load_state_dict(torch.load(weights, weights_only=True))
        return network, graph
    advance = progress("training", recipe.steps)
    with one_thread():
        train_decoder(
            network, states, recipe.plan, steps=recipe.steps, batch=recipe.batch,
            weight=recipe.weight, learning_rate=recipe.learning_rate, seed=recipe.seed,
            advance=lambda _loss: advance(),
        )  # fmt: skip
    films = torch.export.Dim("films", min=1)
    rows, columns = (torch.export.Dim(side, min=2) for side in ("rows", "columns"))
    shapes = {"maps": {0: films, 2: rows, 3: columns}}
    inputs = {"maps": torch.zeros(2, 1 + len(WIDTHS), 8, 10)}
    write_onnx(network, inputs, ["spins"], shapes, {}, graph)
    partial = weights.with_suffix(".part")
    torch.save(network.state_dict(), partial)
    partial.replace(weights)
    return network, graph


def _first_card(recipe: GeneratorRecipe, states: AnnealedStates) -> dict[str, Any]:
    """What the states alone tell of annealed films."""
    plan = recipe.plan
    means, scatters = [], []
    for scaled in plan.scaled_fields:
        numbers = states.numbers[states.fields == scaled]
        means.append(float(numbers.mean()))
        scatters.append(float(numbers.std() / np.sqrt(numbers.mean())))
    # A parabola through all fields: the films of one tell their mean number to a percent only.
    course = np.polyfit(plan.scaled_fields, means, min(2, plan.fields - 1))
    density = [float(mean) / plan.side**2 for mean in np.polyval(course, plan.scaled_fields)]
    return {
        "name": "skyrmion-states",
        "version": "2",
        "dmi": plan.dmi,
        "fields": [float(scaled) for scaled in plan.scaled_fields],
        "density": density,
        "best_density": density,
        "scatter": float(np.mean(scatters)),
        "order": _ORDERS[0],
        "hottest": 0.0,
        "trained_side": plan.side,
        "data_sha256": states.sha256,
    }


def _fitted(
    generator: StateGenerator,
    states: AnnealedStates,
    plan: AnnealPlan,
    advance: Callable[[], object],
) -> dict[str, Any]:
    """Best densities, the order of annealed films and the highest temperature, by drawing."""
    best, gaps = [], np.zeros(len(_ORDERS))
    for k, scaled in enumerate(plan.scaled_fields):
        film, annealed = plan.film(scaled), states.fields == scaled
        mean = states.numbers[annealed].mean()
        crowds = sorted({max(1, round(mean * share)) for share in _CROWDING})
        lowest = _mean_energies(generator, film, k, [(n, BEST_ORDER) for n in crowds])
        best.append(crowds[int(np.argmin(lowest))] / plan.side**2)
        drawn = _mean_energies(generator, film, k, [(None, order) for order in _ORDERS])
        gaps += drawn - states.energies[annealed].mean()
        advance()
    order = _ORDERS[int(np.argmin(np.abs(gaps)))]
    return {"best_density": best, "order": order, "hottest": _hottest(generator, plan)}


def _mean_energies(
    generator: StateGenerator, film: FilmParameters, seed: int, kinds: list[tuple[int | None, int]]
) -> np.ndarray:
    """A site, of relaxed films of each (number, order); all at once, as a core likes it."""
    places = [
        some
        for number, order in kinds
        for some in generator.places(
            film, _FILMS, number=number, as_annealed=True, order=order, seed=seed
        )
    ]
    spins = generator.states_at(film, places, _RELAX)
    energies = energies_meV(film, spins).reshape(len(kinds), _FILMS)
    return energies.mean(1) / (film.rows * film.columns)


def _hottest(generator: StateGenerator, plan: AnnealPlan) -> float:
    """The highest k_BT/J tried at which no film loses or gains a skyrmion in the sweeps that a
    draw takes, at the lowest field and the highest."""
    kept = 0.0
    for hot in _HOT:
        for scaled in (plan.lowest, plan.highest):
            film = plan.film(scaled)
            cold = generator.draw(film, _FILMS)
            films = MonteCarlo(film, _FILMS)
            films.spins = cold
            films.sweep(HEATED_BY, hot * film.exchange_meV / llg.K_B_MEV_PER_K)
            after = films.relax(1e-1)
            charges = [[round(topological_charge(s, True)) for s in some] for some in (cold, after)]
            if charges[0] != charges[1]:
                return kept
        kept = hot
    return kept


def _say(graph: Path, path: Path, told: dict[str, Any]) -> None:
    """Write the network of a file to another, with what it says of itself."""
    model = onnx.load(str(graph))
    onnx.helper.set_model_props(model, {"generator": json.dumps(told)})
    onnx.save(model, str(path))


def _parity(network: nn.Module, path: Path) -> float:
    """The largest difference of a spin's component between torch and ONNX Runtime. Raises
    ModelError when it is above 1e-4; then no file is left behind."""
    generator, rng = StateGenerator(path), np.random.default_rng(0)
    maps = rng.uniform(0, 1, (1, 1 + len(WIDTHS), 9, 12)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(maps)).numpy()
    difference = float(np.abs(generator.run(maps) - expected).max())
    if difference > _PARITY:
        path.unlink()
        raise ModelError(f"model {path}: ONNX Runtime and torch differ by {difference:.1e}")
    return difference


def _card(
    generator: StateGenerator,
    recipe: GeneratorRecipe,
    states: AnnealedStates,
    network: nn.Module,
    parity: float,
) -> str:
    card, plan = generator.card, recipe.plan
    rows = "\n".join(
        f"| {scaled:.3g} | {density * plan.side**2:.1f} | {best * plan.side**2:.1f} |"
        for scaled, density, best in zip(card.fields, card.density, card.best_density, strict=True)
    )
    parameters = sum(p.numel() for p in network.parameters())
    return f"""# {card.name}, version {card.version}

Draws states of a film: skyrmions at places in, a unit vector at every site out.

**Network.** Three 3 × 3 convolutions on pixels of {STRIDE} × {STRIDE} sites, {parameters:,}
parameters; periodic films of any size. Places come from a repulsion, not from the network.

**Film.** J = 1, D = {card.dmi:g}, no anisotropy, B J/D² from {card.fields[0]:g} to
{card.fields[-1]:g}. Others without anisotropy are drawn by scale (lengths in helix periods) and
symmetry (interfacial DMI, field along -z); open edges by relaxing.

**Trained on** {len(states.spins)} films of {plan.side} × {plan.side} sites, cooled from k_BT = J in
{plan.sweeps} sweeps and relaxed, of which {states.of_skyrmions.mean():.1%} are of skyrmions alone
and were learned from; and on the energy of drawn places, {recipe.weight:g} times the energy a site.
{recipe.steps} steps of {recipe.batch} films, {recipe.features} features.

| B J/D² | skyrmions of annealed films | of the best ordered |
|---|---|---|
{rows}

Annealed films are as ordered as {card.order} steps of the repulsion make them, and their number
scatters by {card.scatter:.2f} √number. Up to k_BT = {card.hottest:g} J drawn films keep their
skyrmions.

**Not for** films with anisotropy or a tilted field, stripes, or a film whose stray field matters.

Made again by `skyctl train generator`. How good it is: `skyctl bench generator`, docs/generator.md.

| | |
|---|---|
| training data sha256 | `{card.data_sha256}` |
| file sha256 | `{card.file_sha256}` |
| torch against ONNX Runtime, of a spin | {parity:.1e} |
"""
