"""The latent paper's networks, the baselines it lacks, and all of it done once, small."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skyctl.models.latent import Modes
from skyctl.models.latent_data import LatentPlan, half_of, simulate_trajectory, whole_of
from skyctl.models.latent_recipe import LatentRecipe
from skyctl.models.latent_training import Stage
from skyctl.simulators.thin.film import ThinFilmParameters
from skyctl.studies import latent_paper
from skyctl.studies.latent_baselines import (
    Interpolation,
    KernelDynamics,
    LinearDynamics,
    ProjectedPhysics,
)
from skyctl.studies.latent_paper_networks import (
    PaperAutoencoder,
    PaperPredictor,
    autoencoder_loss,
    predictor_loss,
)

FILM = ThinFilmParameters(rows=8, columns=32, cell_nm=(15.6, 15.6, 3.0))
FIELD = np.array([-0.0246, 0.0043, 0.0])


def test_table_1_has_the_papers_shapes():
    coder = PaperAutoencoder(64).eval()
    shapes = []
    for layer in coder.encoder:
        layer.register_forward_hook(lambda _, __, out: shapes.append(tuple(out.shape[1:])))
    m = torch.zeros(1, 3, 64, 256)
    assert coder(m).shape == m.shape
    assert shapes[0] == (16, 32, 128)
    assert (512, 1, 4) in shapes
    assert (2048,) in shapes
    assert shapes[-1] == (16,)


def test_the_losses_are_as_meant():
    true = torch.zeros(1, 3, 2, 2)
    true[:, 0] = 1
    shrunk = true * 0.9  # costs its 0.1 in L1 and again in L2: printed, the two cancel
    assert autoencoder_loss(shrunk, true) == pytest.approx(4 * 0.2, rel=1e-5)
    up = true.clone()
    up[:, 2, 0, 0] = 0.1
    assert autoencoder_loss(up, true) == pytest.approx(1 + np.hypot(1, 0.1) - 1, rel=1e-4)
    predictor = PaperPredictor().eval()
    states, fields = torch.randn(2, 12, 16), torch.randn(2, 2)
    ahead = predictor.ahead(fields, states[:, :4], 8)
    first = predictor(torch.cat([fields, states[:, :4].flatten(1)], 1))
    second = predictor(torch.cat([fields, states[:, 1:4].flatten(1), first], 1))
    torch.testing.assert_close(ahead[:, 1], second)
    expected = (ahead - states[:, 4:]).square().sum((1, 2)).mean()
    torch.testing.assert_close(predictor_loss(predictor, fields, states), expected)


def test_fewer_states_than_the_predictor_needs_are_refused():
    with pytest.raises(ValueError, match="3 states, and it needs 4"):
        PaperPredictor().ahead(torch.zeros(1, 2), torch.zeros(1, 3, 16), 1)


def test_interpolation_is_exact_where_it_knows_and_knows_no_changing_fields():
    rng = np.random.default_rng(0)
    fields = np.concatenate([rng.uniform(-0.04, 0.04, (20, 2)), np.zeros((20, 1))], 1)
    linear = fields @ rng.normal(size=(3, 60)).reshape(3, -1)
    over = Interpolation(fields, linear.reshape(20, 10, 6))
    held = np.tile(fields[:5].mean(0), (9, 1))
    np.testing.assert_allclose(over.run(held).ravel(), linear[:5].mean(0), atol=1e-6)
    held[4:] = 0
    assert over.run(held) is None


@pytest.mark.parametrize("kind", [LinearDynamics, KernelDynamics])
def test_learned_dynamics_follow_a_damped_turn(kind):
    angle, rng = 0.3, np.random.default_rng(0)
    turn = 0.97 * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    runs = [rng.normal(size=(40, 2))]
    for _ in range(30):
        runs.append(runs[-1] @ turn)
    coordinates, fields = np.stack(runs, 1), np.zeros((40, 30, 3))
    found = kind(coordinates[1:], fields[1:], modes=2).run(coordinates[0, 0], fields[0])
    np.testing.assert_allclose(found, np.clip(coordinates[0], -2, 2), atol=0.05)


def test_projected_physics_in_all_modes_is_the_film_itself():
    half = simulate_trajectory(FILM, np.tile(FIELD, (5, 1)))
    modes = half[0].size
    everything = Modes(
        half.shape[1:], np.zeros(modes, np.float32), np.eye(modes, dtype=np.float32), np.ones(1)
    )
    start = everything.coordinates(half[0])
    physics = ProjectedPhysics(everything, FILM, step_ps=0.5)
    found = everything.half(physics.run(start, np.tile(FIELD, (5, 1))))
    np.testing.assert_allclose(found, half, atol=2e-2)
    assert np.abs(half[5] - half[0]).max() > 0.3
    assert np.array_equal(half_of(whole_of(half[2])), half[2])


@pytest.mark.slow
def test_the_paper_is_done_again_small(tmp_path, monkeypatch):
    stages = (Stage(40, 16, 0), Stage(30, 8, 1), Stage(5, 4, 10))
    plan = LatentPlan(film=FILM, constant=6, sequences=2, frames=101)
    recipe = LatentRecipe(plan, modes=20, latent=6, width=16, stages=stages)
    tiny = latent_paper.LatentPreset(recipe, recipe.coding_only(4), 1.0, 1)
    monkeypatch.setitem(latent_paper.PRESETS, "quick", tiny)
    result = latent_paper.reproduce_latent("quick", tmp_path)
    assert set(result["predicted"]) >= {latent_paper.OURS, latent_paper.INTERPOLATION}
    assert result["predicted"][latent_paper.INTERPOLATION]["changing_horizon_ps"] is None
    for number in range(1, 6):
        assert (tmp_path / f"figure-{number}.png").stat().st_size > 5000
    assert (tmp_path / "result.json").exists()
    assert replace(recipe, seed=1) != recipe
