"""Training and export, on movies made up so that the right answer is known."""

import numpy as np
import onnx
import pytest
import torch

from skyctl.errors import ModelError
from skyctl.inference.model import MovieClassifier
from skyctl.models.classifier import ExportedStep
from skyctl.models.dataset import CLASSES, Dataset
from skyctl.models.export import dataset_sha256, export_classifier, model_card
from skyctl.models.training import train_classifier

FEATURES = 16


def made_up_movies(per_class: int = 60) -> Dataset:
    """Movies whose class can be read off how high their S_z ends."""
    rng = np.random.default_rng(0)
    labels = np.tile(np.arange(len(CLASSES)), per_class)
    frames = np.full(len(labels), 34)
    ramp = np.linspace(0, 3, 34).clip(max=1)[None, :, None]
    level = np.linspace(-1, 1, len(CLASSES))[labels][:, None, None]
    noise = rng.normal(0, 0.02, (len(labels), 34, FEATURES))
    features = np.sort(-1 + ramp * (level + 1) + noise, axis=2).astype(np.float32)
    return Dataset(features, frames, np.full(len(labels), 40.0), labels)


@pytest.fixture(scope="module")
def trained():
    data = made_up_movies()
    return data, *train_classifier(data, hidden=32, epochs=60, learning_rate=3e-3)


def test_the_network_is_the_papers(trained):
    _, network, _ = trained
    assert sum(p.numel() for p in network.parameters()) == 16 * 32 + 32 * 32 + 32 * len(CLASSES)
    x, h = torch.randn(3, 16), torch.rand(3, 32)
    v, u, w = network.input.weight, network.recurrent.weight, network.output.weight
    logits, hidden = network.step(x, h)
    torch.testing.assert_close(hidden, 1 / (1 + torch.exp(-(x @ v.T + h @ u.T))))
    torch.testing.assert_close(logits, hidden @ w.T)


def test_frames_one_by_one_give_what_the_whole_movie_gives(trained):
    data, network, _ = trained
    movie = torch.from_numpy(data.features[:1])
    hidden = torch.zeros(1, 32)
    for t in range(34):
        logits, hidden = network.step(movie[:, t], hidden)
        torch.testing.assert_close(logits, network(movie)[:, t], atol=1e-5, rtol=1e-4)


def test_it_learns_what_can_be_learned(trained):
    _, _, report = trained
    assert report.held_out == 30
    assert report.accuracy > 0.9


def test_a_missing_class_is_named():
    data = made_up_movies(4)
    labels = np.where(data.labels == 3, -1, data.labels)
    with pytest.raises(ValueError, match="nucleation"):
        train_classifier(Dataset(data.features, data.frames, data.peak_ps, labels), epochs=1)


def test_export_agrees_with_torch_and_describes_itself(trained, tmp_path):
    data, network, report = trained
    path = tmp_path / "model.onnx"
    assert export_classifier(network, path, data) < 1e-5
    model = MovieClassifier(path)
    assert model.card.classes == CLASSES
    assert (model.card.features, model.card.hidden) == (16, 32)
    assert model.card.data_sha256 == dataset_sha256(data)
    text = path.read_bytes()
    assert b"site-packages" not in text
    assert b"/home/" not in text
    card = model_card(path, data, report, 1e-7)
    assert model.card.file_sha256 in card
    assert "| breathing | 60 |" in card


def test_export_takes_any_batch(trained, tmp_path):
    data, network, _ = trained
    path = tmp_path / "model.onnx"
    export_classifier(network, path, data)
    session = MovieClassifier(path).session
    x, h = torch.randn(7, 16), torch.rand(7, 32)
    got, hidden = session.run(None, {"features": x.numpy(), "hidden": h.numpy()})
    expected = ExportedStep(network)(x, h)
    np.testing.assert_allclose(got, expected[0].detach(), atol=1e-5)
    np.testing.assert_allclose(hidden, expected[1].detach(), atol=1e-5)


def test_a_model_that_differs_from_torch_is_not_kept(trained, tmp_path, monkeypatch):
    data, network, _ = trained
    monkeypatch.setattr("skyctl.models.export._PARITY", -1.0)
    path = tmp_path / "model.onnx"
    with pytest.raises(ModelError, match="differ"):
        export_classifier(network, path, data)
    assert not path.exists()


def test_the_shipped_model_and_its_card_belong_together():
    model = MovieClassifier()
    onnx.checker.check_model(str(model.path))
    card = model.path.with_suffix(".md").read_text()
    assert model.card.file_sha256 in card
    assert model.card.data_sha256 in card
    assert model.card.threshold == 0.8
