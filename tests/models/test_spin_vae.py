"""The spin VAE: unit vectors, losses by hand, symmetries, training that follows β and γ."""

import numpy as np
import pytest
import torch

from skyctl.models.generator_data import AnnealPlan
from skyctl.models.spin_vae import SpinVAE
from skyctl.models.spin_vae_training import (
    SpinEnergy,
    evaluate,
    losses_of,
    samples,
    train_stage,
    turned,
)
from skyctl.simulators.lattice.film import energies_meV

FILM = SpinEnergy(0.6, 0.2)


def states(count=8, side=16):
    spins = np.random.default_rng(0).standard_normal((count, 3, side, side)).astype(np.float32)
    return spins / np.linalg.norm(spins, axis=1, keepdims=True)


def network():
    torch.manual_seed(0)
    return SpinVAE(16, (4, 6), 16, 5)


def test_it_makes_unit_vectors_and_the_paper_fits():
    drawn = samples(network(), 3)
    assert drawn.shape == (3, 3, 16, 16)
    assert np.linalg.norm(drawn, axis=1) == pytest.approx(1, abs=1e-6)
    whole = SpinVAE(128, (6, 12, 24, 48), 512, 100)
    assert whole.encoder[0].out_features == 3072  # the paper's dense layer
    with pytest.raises(ValueError, match="multiple of 16"):
        SpinVAE(40, (6, 12, 24, 48), 512, 100)


def test_the_losses_are_those_of_the_paper():
    spins = torch.from_numpy(states())
    vae = network().eval()
    torch.manual_seed(1)
    with torch.no_grad():
        reconstruction, latent, energy = losses_of(vae, spins, FILM)
        torch.manual_seed(1)
        made, mean, log_variance = vae(spins)
    gap = ((made - spins) ** 2).sum() / (8 * 16 * 16)
    assert float(reconstruction) == pytest.approx(float(gap), rel=1e-5)
    variance = log_variance.exp()
    kl = 0.5 * (mean**2 + variance - 1 - log_variance).sum() / 8
    assert float(latent) == pytest.approx(float(kl), rel=1e-5)
    film = AnnealPlan().film(0.2 / 0.36, 16)
    whole = energies_meV(film, made.numpy()).mean() / 256
    assert float(energy) == pytest.approx(whole + 2, abs=1e-5)


def test_an_open_edge_is_the_films():
    spins = states(side=8)
    film = AnnealPlan(periodic=False).film(0.2 / 0.36, 8)
    mine = SpinEnergy(0.6, 0.2, open=True).energies(torch.from_numpy(spins)).numpy()
    assert mine == pytest.approx(energies_meV(film, spins) / 64, abs=1e-5)


def test_turned_and_rolled_states_keep_their_energy():
    spins, film = states(), AnnealPlan().film(0.5, 16)
    others = turned(spins, np.random.default_rng(3))
    assert (others != spins).any()
    assert energies_meV(film, others) == pytest.approx(energies_meV(film, spins), rel=1e-6)


def test_training_follows_what_is_weighed():
    spins = np.zeros((16, 3, 16, 16), np.float32)
    spins[:, 2] = -1.0  # against the field: high energy
    like, low = network(), network()
    train_stage(like, spins, FILM, beta=1e-3, gamma=0.0, steps=60, batch=8)
    train_stage(low, spins, FILM, beta=1e-3, gamma=1e4, steps=60, batch=8)
    assert evaluate(like, spins, FILM).reconstruction < 0.1
    assert evaluate(low, spins, FILM).energy < evaluate(like, spins, FILM).energy - 0.1
    again = network()
    train_stage(again, spins, FILM, beta=1e-3, gamma=0.0, steps=60, batch=8)
    assert (samples(again, 2) == samples(like, 2)).all()


@pytest.mark.parametrize(
    "numbers", [{"beta": float("nan"), "gamma": 0.0}, {"beta": 0.0, "gamma": -1.0}]
)
def test_weights_that_are_none_are_refused(numbers):
    with pytest.raises(ValueError, match="give a number of 0 or more"):
        train_stage(network(), states(), FILM, steps=1, **numbers)
