"""Latent networks: their modes, their training, their files, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from skyctl.errors import ModelError
from skyctl.inference.latent_film import LatentFilm, OutsideModel
from skyctl.models.latent import LatentNetwork, Modes
from skyctl.models.latent_data import (
    LatentPlan,
    LatentSet,
    fill_latent_set,
    whole_of,
)
from skyctl.models.latent_export import LatentFacts, export_latent
from skyctl.models.latent_recipe import LatentRecipe, learn, make_latent
from skyctl.models.latent_scores import Predicted, score
from skyctl.models.latent_training import Coded, Stage, train_latent
from skyctl.simulators.thin.film import ThinFilmParameters

FILM = ThinFilmParameters(rows=8, columns=32, cell_nm=(15.6, 15.6, 3.0))
PLAN = LatentPlan(film=FILM, constant=6, sequences=2, frames=21)
RECIPE = LatentRecipe(
    PLAN, modes=12, latent=6, width=16,
    stages=(
        Stage(150, 32, 0, rate=(5e-3, 1e-3)),
        Stage(100, 32, 1, rate=(5e-3, 1e-3)),
        Stage(60, 8, 10, from_start=0.5, rate=(3e-3, 1e-3)),
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def trajectories(tmp_path_factory):
    with LatentSet(tmp_path_factory.mktemp("set") / "set.h5", PLAN) as there:
        fill_latent_set(there)
        return there.read()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    facts = make_latent(RECIPE, folder / "tiny-encoder.onnx", folder / "data")
    return folder, facts


def modes_of(trajectories, count):
    runs = range(len(trajectories.half))
    return Modes.of(np.concatenate([trajectories.magnetisation(run) for run in runs]), count)


def test_modes_are_those_of_a_singular_value_decomposition(trajectories):
    modes = modes_of(trajectories, 10)
    states = np.concatenate([trajectories.magnetisation(run) for run in range(8)])
    flat = states.reshape(len(states), -1) - modes.mean
    _, size, basis = np.linalg.svd(flat, full_matrices=False)
    np.testing.assert_allclose(
        modes.deviation, size[:10] / np.sqrt(len(flat) * modes.cells), rtol=1e-3
    )
    np.testing.assert_allclose(np.abs((modes.basis[:5] * basis[:5]).sum(1)), 1, atol=1e-3)
    np.testing.assert_allclose(modes.basis @ modes.basis.T, np.eye(10), atol=1e-5)


def test_coordinates_measure_cells_and_read_out_the_mean(trajectories):
    modes = modes_of(trajectories, 10)
    one, other = (trajectories.magnetisation(run)[15] for run in (0, 5))
    a, b = modes.coordinates(one), modes.coordinates(other)
    within = modes.half(a) - modes.half(b)
    assert np.square(a - b).sum() == pytest.approx(np.square(within).sum(0).mean(), rel=1e-4)
    weights, offset = modes.readout
    np.testing.assert_allclose(a @ weights + offset, modes.half(a).mean((1, 2)), atol=1e-5)
    with pytest.raises(ValueError, match="900 modes"):
        modes_of(trajectories, 900)


def test_the_linear_step_finds_linear_dynamics():
    rng = np.random.default_rng(0)
    network = LatentNetwork(
        np.ones(4, np.float32), (np.zeros((4, 3)), np.zeros(3)), members=1, latent=4, width=8
    )
    turn = torch.from_numpy(rng.normal(size=(7, 4)).astype(np.float32))
    z, fields = (torch.from_numpy(rng.normal(size=(1, 50, n)).astype(np.float32)) for n in (4, 3))
    network.begin_step(z, fields, z + torch.cat([z, fields], -1) @ turn)
    np.testing.assert_allclose(network.step_straight[0].detach(), turn, atol=1e-3)


def test_the_mean_of_latent_numbers_is_that_of_the_decoded_state():
    torch.manual_seed(0)
    modes, rng = 9, np.random.default_rng(0)
    readout = rng.normal(size=(modes, 3)), rng.normal(size=3)
    network = LatentNetwork(
        np.linspace(1, 0.1, modes, dtype=np.float32), readout, latent=5, width=7
    )
    z = torch.randn(2, 11, 5)
    np.testing.assert_allclose(
        network.mean_of_latent(z).detach(), network.mean(network.decode(z)).detach(), atol=1e-5
    )


def test_training_goes_on_from_its_checkpoint_as_if_never_stopped(tmp_path, trajectories):
    modes = modes_of(trajectories, 8)
    coordinates = np.stack([modes.coordinates(trajectories.magnetisation(r)) for r in range(8)])
    coded = Coded.of(coordinates, trajectories.fields_T)
    recipe = replace(RECIPE, modes=8, latent=4, width=8)
    stages = (Stage(6, 8, 0), Stage(6, 8, 1), Stage(4, 4, 5))

    class StoppedError(Exception):
        pass

    def stop(iteration, _):
        if iteration == 9:
            raise StoppedError

    whole, stopped = recipe.network(modes), recipe.network(modes)
    train_latent(whole, coded, stages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skyctl.models.latent_training._SAVE_S", 0.0)
        with pytest.raises(StoppedError):
            train_latent(stopped, coded, stages, checkpoint=tmp_path / "c.pt", progress=stop)
    again, seen = recipe.network(modes), []
    train_latent(
        again, coded, stages, checkpoint=tmp_path / "c.pt", progress=lambda i, _: seen.append(i)
    )
    assert seen == list(range(9, 16))
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other)


def test_a_trained_network_is_exported_judged_and_said_on_its_card(made):
    folder, facts = made
    film = LatentFilm(folder / "tiny-encoder.onnx", FILM.as_dict() | {"cell_nm": [15.6, 15.6, 3.0]})
    card = (folder / "tiny.md").read_text()
    assert film.card.horizon_ps == 200
    assert film.card.strongest_T == 0.041
    for said in ("200 ps", "41 mT", "8 × 32 cells", film.card.data_sha256, *film.card.files_sha256):
        assert said in card
    assert set(facts.scores) >= {"field_1", "field_2", "others_median", "changing_horizon_ps"}
    learned = learn(RECIPE, folder / "data")  # from its checkpoint
    start = learned.test.magnetisation(0)[:1]
    found = film.imagine(film.encode(whole_of(start)), learned.test.fields_T[:1]).mean[0]
    starts = learned.modes.coordinates(start)
    coordinates = learned.network.trajectories(starts, learned.test.fields_T[:1])[0]
    weights, offset = learned.modes.readout
    np.testing.assert_allclose(found, coordinates @ weights + offset, atol=5e-3)
    # Ten minutes of training are not to be had here: better than staying where it was, it must be.
    off = np.abs(found - learned.test.mean[0]).max()
    assert off < 0.5 * np.abs(learned.test.mean[0, 0] - learned.test.mean[0]).max()


def test_what_a_batch_imagines_each_imagines_alone(made):
    film = LatentFilm(made[0] / "tiny-encoder.onnx")
    start = learn(RECIPE, made[0] / "data").test.magnetisation(0)[:1]
    z = film.encode(whole_of(start))
    fields = np.random.default_rng(0).uniform(-0.02, 0.02, (5, 12, 3)) * [1, 1, 0]
    together = film.imagine(z, fields)
    alone = film.imagine(z, fields[3:4])
    np.testing.assert_allclose(together.mean[3], alone.mean[0], atol=1e-5)
    assert together.spread.shape == (5, 13)
    assert (np.diff(together.spread.mean(0)[[0, -1]]) > 0).all()
    m = film.decode(together.latent)
    assert m.shape == (5, 3, 8, 32)
    np.testing.assert_allclose(np.linalg.norm(m, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (np.full((1, 3, 3), np.nan), "NaN"),
        (np.tile([0.05, 0, 0], (1, 3, 1)), "up to 50 mT in the plane"),
        (np.tile([0, 0, 0.01], (1, 3, 1)), "10 mT across"),
        (np.zeros((1, 21, 3)), "21 steps of 10 ps"),
        (np.zeros((4, 3)), r"shape \(4, 3\)"),
    ],
)
def test_fields_and_times_outside_what_was_learned_are_refused(made, fields, says):
    film = LatentFilm(made[0] / "tiny-encoder.onnx")
    m = np.zeros((1, 3, 8, 32), np.float32)
    m[:, 0] = 1
    with pytest.raises(OutsideModel, match=says):
        film.imagine(film.encode(m), fields)


def test_states_of_another_film_are_refused_by_name(made):
    film = LatentFilm(made[0] / "tiny-encoder.onnx")
    m = np.zeros((1, 3, 8, 32))
    m[:, 0] = 1
    with pytest.raises(OutsideModel, match=r"needs \(batch, 3, 8, 32\)"):
        film.encode(m[..., :16])
    with pytest.raises(OutsideModel, match="length is off 1 by 1"):
        film.encode(2 * m)
    with pytest.raises(OutsideModel, match="NaN"):
        film.encode(np.full_like(m, np.nan))
    m[0, :, 1, 3] = (0, 0, 1)
    with pytest.raises(OutsideModel, match="half a turn"):
        film.encode(m)
    with pytest.raises(ModelError, match=r"another film, not one of \{'damping': 0.03\}"):
        LatentFilm(film.path, {**film.card.film, "damping": 0.03})


def test_files_of_several_networks_and_damaged_ones_are_refused(made, tmp_path):
    for part in ("encoder", "step", "decoder"):
        name = f"tiny-{part}.onnx"
        (tmp_path / name).write_bytes((made[0] / name).read_bytes())
    learned = learn(RECIPE, made[0] / "data")
    other = LatentFacts(replace(PLAN, seed=1), "another")
    export_latent(learned.network, learned.modes, tmp_path / "other-encoder.onnx", other)
    (tmp_path / "tiny-step.onnx").write_bytes((tmp_path / "other-step.onnx").read_bytes())
    with pytest.raises(ModelError, match="of several networks"):
        LatentFilm(tmp_path / "tiny-encoder.onnx")
    (tmp_path / "tiny-step.onnx").unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        LatentFilm(tmp_path / "tiny-encoder.onnx")
    with pytest.raises(ModelError, match=r"NAME-encoder\.onnx"):
        LatentFilm(tmp_path / "tiny-decoder.onnx")


def test_a_score_counts_what_is_off_from_50_ps_on_and_how_long_cells_are_near():
    rng = np.random.default_rng(0)
    true = rng.normal(size=(101, 3, 4, 6))
    true /= np.linalg.norm(true, axis=1, keepdims=True)
    mean = true.mean((2, 3))
    assert score(Predicted(mean, 3 * true), true).angles_deg == pytest.approx((0, 0), abs=1e-5)
    off = mean.copy()
    off[3] += 1  # before 50 ps
    off[30, 1] += 0.1
    off[60, 2] -= 0.2
    turned = true.copy()
    turned[41:] = true[41:, [1, 0, 2]]
    found = score(Predicted(off, turned), true)
    assert found.mean == pytest.approx(0.2)
    assert found.early == pytest.approx(0.1)
    assert found.horizon_ps == 400
