"""The VAE paper done again, in miniature: figures, a control beside every γ, and resumption."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.studies import generator_paper
from skyctl.studies.generator_judged import k_spread, radial_distribution, same_mean, spreads
from skyctl.studies.generator_paper import PRESETS, angles_deg, reproduce_generator

TINY = replace(
    PRESETS["quick"], side=24, states=20, sweeps=100, filters=(4, 6), hidden=8, latents=4,
    batch=4, first_steps=2, steps=1, betas=(1e-6, 1e-3), gammas=(1.0, 1e4), collapse=(1e4,),
    collapse_steps=1, seeds=2, samples=4,
)  # fmt: skip


def never_at_rest(*_, **__):
    raise RuntimeError("still pulled")


def quiet(_what, _steps):
    return lambda: None


def test_it_is_done_again_and_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(generator_paper, "_TARGET_STEPS", 2)
    monkeypatch.setattr(
        generator_paper,
        "least_energy_path",
        lambda *a, **k: (_ for _ in ()).throw(RuntimeError("no")),
    )
    result = reproduce_generator(TINY, tmp_path, progress=quiet)
    for name in ("figure2.png", "figure3.png", "figure4.png", "figure5.png", "note_s2.png"):
        assert (tmp_path / name).stat().st_size > 5000
    assert [row["beta"] for row in result["betas"]] == [1e-6, 1e-3]
    assert all("control" in row for row in result["gammas"])
    assert {(row["seed"], row["gamma"]) for row in result["collapse"]} == {
        (0, 0.0), (0, 1e4), (1, 0.0), (1, 1e4),
    }  # fmt: skip
    first, last = result["interpolation"]["charges"]
    assert abs(first) == pytest.approx(abs(last) + 1)
    assert result["annealed"]["energy"] >= result["lowest_meV_per_site"] - 1e-9

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr(generator_paper, "train_stage", never)
    again = reproduce_generator(TINY, tmp_path, progress=quiet)
    assert again["gammas"] == result["gammas"]


def test_measures_on_states_that_one_knows():
    film = PRESETS["quick"].film
    up = np.zeros((3, 32, 32))
    up[2] = 1.0
    assert angles_deg(film, up).max() < 1e-6
    tilted = np.stack([np.full((32, 32), np.sin(1e-4)), up[0], np.full((32, 32), np.cos(1e-4))])
    # In 2.2 T, of which 2 T turn with the spins.
    assert angles_deg(film, tilted).mean() == pytest.approx(np.degrees(1e-4) * 0.2 / 4.2, rel=1e-3)
    some = np.random.default_rng(0).standard_normal((5, 8, 8))
    pairs = [
        ((np.abs(np.fft.fft2(a, norm="ortho")) - np.abs(np.fft.fft2(b, norm="ortho"))) ** 2).mean()
        for i, a in enumerate(some)
        for b in some[:i]
    ]
    assert k_spread(some) == pytest.approx(np.mean(pairs))
    rolled = np.stack([np.roll(some[0], k, (0, 1)) for k in range(4)])
    assert k_spread(rolled) == pytest.approx(0, abs=1e-12)
    rng = np.random.default_rng(1)
    assert same_mean(rng.normal(0, 1, (40, 3)), rng.normal(2, 1, (40, 3)), 200) < 0.01
    assert same_mean(rng.normal(0, 1, (40, 3)), rng.normal(0, 1, (40, 3)), 200) > 0.05


def test_the_ratio_of_two_spreads_has_an_error():
    rng = np.random.default_rng(1)
    one, other = rng.standard_normal((2, 48, 8, 8))
    alike, half = spreads(one, other), spreads(one, 0.5 * other)
    assert abs(alike["ratio"] - 1) < 4 * alike["ratio_error"] < 0.4
    assert half["ratio"] == pytest.approx(alike["ratio"] / 4)
    assert half["ratio_error"] == pytest.approx(alike["ratio_error"] / 4)


def test_radial_distribution_of_a_lattice_has_its_peak_at_the_spacing():
    spins = np.zeros((3, 48, 48))
    spins[2] = 1.0
    spins[2, 6::12, 6::12] = -1.0
    g = radial_distribution(spins, bins=24)
    # Up to half of the film, in bins of a site.
    assert g[:12].max() == 0
    assert g.argmax() == 12
