"""The generator's decoder: energies as the film's, training that resumes, and its file."""

import numpy as np
import pytest
import torch

from skyctl.errors import ModelError
from skyctl.inference.state_generator import StateGenerator
from skyctl.models import generator_data, generator_recipe
from skyctl.models.generator_data import AnnealPlan, annealed_states
from skyctl.models.generator_recipe import GeneratorRecipe, make_generator, no_progress
from skyctl.models.generator_training import energies
from skyctl.simulators.lattice.files import StateError
from skyctl.simulators.lattice.film import energies_meV

PLAN = AnnealPlan(side=24, fields=2, replicas=3, sweeps=60)


def test_the_energy_that_is_lowered_is_the_films():
    spins = np.random.default_rng(0).standard_normal((2, 3, 16, 16))
    spins /= np.linalg.norm(spins, axis=1, keepdims=True)
    for field in (0.5, 0.6):
        film = PLAN.film(field, 16)
        mine = energies(
            torch.from_numpy(spins), PLAN.dmi, torch.full((2,), field * PLAN.dmi**2).double()
        )
        assert mine.numpy() == pytest.approx(energies_meV(film, spins) / 256, abs=1e-8)


def test_what_was_annealed_is_kept_and_gone_on_with(tmp_path, monkeypatch):
    whole = annealed_states(tmp_path / "a.h5", PLAN)
    assert whole.spins.shape == (6, 3, 24, 24)
    assert np.linalg.norm(whole.spins, axis=1) == pytest.approx(1, abs=1e-5)
    assert annealed_states(tmp_path / "a.h5", PLAN).sha256 == whole.sha256

    # Killed in the middle of the first field, and called again.
    anneal = generator_data._anneal

    def killed(plan, number, field):
        yield from anneal(plan, number, field)[:2]
        raise KeyboardInterrupt

    monkeypatch.setattr(generator_data, "_anneal", lambda *a: _Lazy(killed(*a)))
    with pytest.raises(KeyboardInterrupt):
        annealed_states(tmp_path / "b.h5", PLAN)
    monkeypatch.setattr(generator_data, "_anneal", anneal)
    assert annealed_states(tmp_path / "b.h5", PLAN).sha256 == whole.sha256
    with pytest.raises(StateError, match="of another kind"):
        annealed_states(tmp_path / "b.h5", AnnealPlan(side=24, fields=2, replicas=3, sweeps=61))


class _Lazy:
    """States that come one by one."""

    def __init__(self, states):
        self.states = states

    def __getitem__(self, _):
        return self.states


def test_a_generator_is_made_draws_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(generator_recipe, "_ORDERS", (5, 40))
    monkeypatch.setattr(generator_recipe, "_FILMS", 2)
    monkeypatch.setattr(generator_recipe, "_CROWDING", (0.8, 1.0))
    monkeypatch.setattr(generator_recipe, "_RELAX", 20)
    monkeypatch.setattr(generator_recipe, "_HOT", ())
    recipe = GeneratorRecipe(PLAN, features=4, steps=3, batch=2)
    out = tmp_path / "made.onnx"
    made = make_generator(recipe, out, tmp_path / "data", no_progress)
    assert made.card.data_sha256 in out.with_suffix(".md").read_text()
    assert made.card.fields == (0.45, 0.7)
    drawn = made.draw(PLAN.film(0.5, 32), 2, relax=0)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1, abs=1e-12)

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(generator_data, "_anneal", never)
    monkeypatch.setattr(generator_recipe, "train_decoder", never)
    again = make_generator(recipe, tmp_path / "again.onnx", tmp_path / "data", no_progress)
    assert (again.draw(PLAN.film(0.5, 32), 2, relax=0) == drawn).all()


def test_files_that_are_no_generator_are_refused(tmp_path):
    from skyctl.inference.session import shipped_model

    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(ModelError, match="cannot load it"):
        StateGenerator(tmp_path / "text.onnx")
    with pytest.raises(ModelError, match="metadata are missing"):
        StateGenerator(shipped_model("itinerant-torque-equivariant"))


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ({"lowest": float("nan")}, "fields above 0"),
        ({"side": 30}, "a side that 4 divides"),
        ({"dmi": float("inf")}, "D/J and fields above 0"),
    ],
)
def test_plans_that_cannot_be_are_refused(numbers, complaint):
    with pytest.raises(ValueError, match=complaint):
        AnnealPlan(**numbers)


def test_a_weight_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="weight = nan"):
        GeneratorRecipe(weight=float("nan"))
