"""Torque networks as ONNX files: any lattice, the same numbers, and refusals."""

import json

import numpy as np
import onnx
import pytest
import torch

from skyctl.errors import ModelError
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models.torque import EquivariantNetwork, GradientNetwork, PaperNetwork
from skyctl.models.torque_export import TorqueFacts, export_torque, torque_card
from skyctl.models.torque_training import TorqueScore
from skyctl.pulse import Pulse
from skyctl.simulators.itinerant.electrons import Electrons, random_spins
from skyctl.simulators.itinerant.film import ItinerantFilmParameters, TorqueFilm

ELECTRONS = Electrons(temperature=0.03)


def facts(architecture):
    scores = {"quench": TorqueScore(0.05, 0.97, 0.0, 576)}
    return TorqueFacts("made-up", architecture, ELECTRONS, 0.024, 24, "0" * 64, 8, scores)


@pytest.fixture(scope="module", params=["equivariant", "gradient", "paper"])
def exported(request, tmp_path_factory):
    torch.manual_seed(0)
    sizes = {"features": 2, "reaches": (2, 2, 1), "products": 2, "hidden": 4, "direct": 3}
    network = {
        "equivariant": lambda: EquivariantNetwork(**sizes),
        "gradient": lambda: GradientNetwork(**sizes),
        "paper": lambda: PaperNetwork((4, 6)),
    }[request.param]().eval()
    path = tmp_path_factory.mktemp("model") / "torque.onnx"
    difference = export_torque(network, path, facts(request.param))
    return request.param, network, path, difference


def test_onnx_gives_what_torch_gives_on_any_lattice(exported):
    _, network, path, difference = exported
    assert difference < 1e-4
    field = TorqueNetwork(path)
    for shape in ((12, 12), (9, 31), (48, 24)):
        spins = random_spins(*shape, np.random.default_rng(1)).astype(np.float32)
        with torch.no_grad():
            expected = network(torch.from_numpy(spins)[None])[0].numpy() * 0.024
        expected = expected - spins * (spins * expected).sum(0)
        np.testing.assert_allclose(field(spins), expected, atol=1e-6)


def test_the_graph_is_periodic(exported):
    _, _, path, _ = exported
    field, spins = TorqueNetwork(path), random_spins(12, 18, np.random.default_rng(2))
    rolled = field(np.roll(spins, (5, 7), (1, 2)))
    np.testing.assert_allclose(rolled, np.roll(field(spins), (5, 7), (1, 2)), atol=1e-6)


def test_file_and_card_describe_the_model(exported):
    architecture, network, path, difference = exported
    card = TorqueNetwork(path, electrons=ELECTRONS.as_dict()).card
    assert (card.architecture, card.mean_field, card.trained_side) == (architecture, 0.024, 24)
    assert card.electrons == ELECTRONS.as_dict()
    onnx.checker.check_model(str(path))
    content = path.read_bytes()
    assert b"site-packages" not in content
    parameters = sum(p.numel() for p in network.parameters())
    text = torque_card(path, facts(architecture), difference, parameters)
    assert card.file_sha256 in text
    assert f"{parameters:,} parameters" in text
    assert "| quench | 97.0% | 0.00% | 0.050 |" in text


def test_a_film_runs_on_the_file(exported):
    _, _, path, _ = exported
    parameters = ItinerantFilmParameters(rows=12, columns=12)
    film = TorqueFilm(TorqueNetwork(path), parameters)
    film.set_skyrmion_lattice()
    t0_ps = parameters.t0_ps
    pulse = Pulse(width_ps=2 * t0_ps, peak_ps=4 * t0_ps, amplitude_T=5)
    frames = list(film.frames(pulse, [0.0, 4 * t0_ps, 8 * t0_ps]))
    assert len(frames) == 3
    assert film.steps_taken >= 8
    np.testing.assert_allclose(np.linalg.norm(frames[-1], axis=0), 1, atol=1e-9)
    assert np.abs(frames[-1] - frames[0]).max() > 0.01


def test_a_model_that_differs_from_torch_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("skyctl.models.torque_export._PARITY", -1.0)
    path = tmp_path / "torque.onnx"
    with pytest.raises(ModelError, match="differ"):
        export_torque(PaperNetwork((2, 2)).eval(), path, facts("paper"))
    assert not path.exists()


def test_models_that_do_not_fit_are_refused(exported, tmp_path):
    _, _, path, _ = exported
    with pytest.raises(ModelError, match="trained for electrons"):
        TorqueNetwork(path, electrons=Electrons(temperature=0.5).as_dict())
    for name, value, message in (
        ("lattice", "square", "another lattice"),
        ("mean_field", "much", "damaged"),
    ):
        model = onnx.load(str(path))
        props = {p.key: p.value for p in model.metadata_props} | {name: value}
        onnx.helper.set_model_props(model, props)
        changed = tmp_path / f"{name}.onnx"
        onnx.save(model, str(changed))
        with pytest.raises(ModelError, match=message):
            TorqueNetwork(changed)
    with pytest.raises(ModelError, match="cannot be read"):
        TorqueNetwork(tmp_path / "none.onnx")
    with pytest.raises(ValueError, match="8 sites or more"):
        TorqueNetwork(path)(np.zeros((3, 4, 12)))
    assert json.dumps(TorqueNetwork(path).card.electrons)


def test_a_classifier_is_no_torque_network():
    from skyctl.inference.model import SHIPPED
    from skyctl.inference.session import shipped_model

    with pytest.raises(ModelError, match="a torque network takes spins"):
        TorqueNetwork(shipped_model(SHIPPED))
