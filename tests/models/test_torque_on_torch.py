"""The torque networks on torch: the field of ONNX Runtime, at addresses too, and on a GPU."""

import importlib.resources
from pathlib import Path

import numpy as np
import pytest
import torch
from numba import cuda

from skyctl.errors import ModelError
from skyctl.inference.torque_network import FEWEST_SITES, TorqueNetwork
from skyctl.models import torque_on_torch
from skyctl.models.torque import EquivariantNetwork, GradientNetwork
from skyctl.models.torque_export import TorqueFacts, export_torque
from skyctl.models.torque_on_torch import TorqueOnTorch
from skyctl.pulse import Pulse, Spot
from skyctl.simulators.itinerant.electrons import Electrons, random_spins
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm

SHIPPED = sorted(Path(str(importlib.resources.files("skyctl.models"))).glob("*torque*.onnx"))
both = pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)


def spins_of(rows, columns, seed=0):
    return random_spins(rows, columns, np.random.default_rng(seed)).astype(np.float32)


@both
@pytest.mark.parametrize("shape", [(24, 24), (17, 30)])
def test_the_field_is_that_of_onnx_runtime(path, shape):
    expected, field = TorqueNetwork(path), TorqueOnTorch(path, "cpu")
    assert field.card == expected.card
    spins = spins_of(*shape)
    difference = np.abs(field(spins) - expected(spins)).max()
    assert difference < 1e-4 * field.card.mean_field


@pytest.mark.slow  # to export one is; the one that is shipped is read in the test before
def test_a_gradient_networks_file_is_read_too(tmp_path):
    path, facts = tmp_path / "gradient.onnx", ("g", "gradient", Electrons(), 0.02, 24, "", 0, {})
    torch.manual_seed(0)
    export_torque(GradientNetwork().eval(), path, TorqueFacts(*facts))
    spins = spins_of(12, 9)
    field = TorqueNetwork(path)(spins)
    np.testing.assert_allclose(TorqueOnTorch(path, "cpu")(spins), field, atol=1e-6)
    assert np.abs(field).max() > 1e-3


@both
def test_a_bound_evaluation_works_on_the_arrays_themselves(path):
    network = TorqueOnTorch(path, "cpu")
    spins, field = spins_of(9, 14), np.zeros((3, 9, 14), np.float32)
    evaluate = network.bind(spins.ctypes.data, field.ctypes.data, 9, 14)
    for seed in (0, 1):
        spins[:] = spins_of(9, 14, seed)
        evaluate()
        np.testing.assert_array_equal(field, network(spins))
    assert np.abs(field).max() > 0.01


def test_lattices_that_are_too_small_are_refused():
    network = TorqueOnTorch(SHIPPED[0], "cpu")
    with pytest.raises(ValueError, match=f"{FEWEST_SITES} or more"):
        network.bind(0, 0, FEWEST_SITES - 1, 12)
    with pytest.raises(ValueError, match=f"{FEWEST_SITES} or more"):
        network(spins_of(12, FEWEST_SITES - 1))


def test_another_architecture_is_refused(monkeypatch):
    equivariant = next(path for path in SHIPPED if "equivariant" in path.stem)
    smaller = EquivariantNetwork(hidden=8)
    monkeypatch.setattr(torque_on_torch, "new_network", lambda *_: smaller)
    with pytest.raises(ModelError, match=r"not a network of models\.torque"):
        TorqueOnTorch(equivariant, "cpu")


def pulsed(torque, device):
    """Frames of a warm film under a pulse on a spot."""
    parameters = ItinerantFilmParameters(rows=48, columns=36, temperature_K=2.0)
    film = TorqueFilm(torque, parameters, device=device, seed=1)
    film.set_skyrmion_lattice()
    pulse = Pulse(
        amplitude_T=5, width_ps=0.1, peak_ps=0.2, theta_deg=70, spot=Spot(x=9, y=7, sigma=5)
    )
    return list(film.frames(pulse, [0.0, 0.2, 0.4]))


@pytest.mark.gpu
@pytest.mark.skipif(
    not torch.cuda.is_available() or not cuda.is_available(),
    reason="no CUDA GPU that both numba and torch can use on this machine",
)
@both
class TestOnTheGpu:
    def test_the_field_is_the_cpus(self, path):
        expected, field = (TorqueOnTorch(path, device) for device in ("cpu", "cuda"))
        spins = spins_of(48, 36)
        difference = np.abs(field(spins) - expected(spins)).max()
        assert difference < 1e-4 * field.card.mean_field

    def test_a_film_moves_as_on_the_cpu(self, path):
        on_cpu = pulsed(TorqueNetwork(path), "cpu")
        on_cuda = pulsed(TorqueOnTorch(path), "cuda")
        np.testing.assert_allclose(on_cuda, on_cpu, atol=1e-4, rtol=0)
        assert np.abs(on_cuda[-1] - on_cuda[0]).max() > 0.1
