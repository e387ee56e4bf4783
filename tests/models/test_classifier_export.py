"""Export: the file computes what torch computes, describes itself, and is refused where not."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from skyctl.belief import Reliability
from skyctl.errors import ModelError
from skyctl.inference.model import MovieClassifier
from skyctl.inference.rules import Rules, Validity
from skyctl.models.calibration import Novelty
from skyctl.models.classifier import FilmWatcher, ProcessClassifier
from skyctl.models.classifier_export import ExportedStep, export_classifier, quantise
from skyctl.process import PROCESSES, process_probabilities
from skyctl.pulse import Pulse

COUNT = FilmWatcher.features
SHA = "5" * 64
VALID = Validity((1.0, 20.0), 0.0, 1.5, 20)
WORTH = Reliability(wrong=0.01, abstains=0.05)


@pytest.fixture(scope="module")
def parts():
    """A network that was never trained, and rules and a novelty to go with it."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    network = FilmWatcher(seen=16, hidden=12)
    network.temperature.fill_(1.7)
    network.mean.uniform_(-0.2, 0.2)
    network.deviation.uniform_(0.5, 1.5)
    with torch.no_grad():
        frames = network.standardised(torch.from_numpy(rng.uniform(-1, 1, (900, COUNT))).float())
    novelty = Novelty.fit(frames.numpy(), np.arange(900) < 300, axes=8, normals=3)
    least = tuple(np.linspace(0.2, 0.7, len(PROCESSES)))
    rules = Rules(least, 0.95, 0.9, 0.004, 0.95, 40.0)
    # What the axes leave is next to nothing in a network that was never trained.
    return network.eval(), rules, replace(novelty, limit=40.0, rest=1.0)


def write(parts, path, **changes):
    network, rules, novelty = parts
    return export_classifier(
        network,
        path,
        **{
            "classes": PROCESSES,
            "preprocessing": "cells",
            "data_sha256": SHA,
            "rules": rules,
            "novelty": novelty,
            "valid": VALID,
            "reliability": WORTH,
            **changes,
        },
    )


@pytest.fixture(scope="module")
def path(parts, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    assert write(parts, path) < 1e-5
    return path


def test_the_file_describes_itself_and_nothing_else(parts, path):
    _, rules, _ = parts
    card = MovieClassifier(path).card
    assert card.classes == PROCESSES
    assert (card.preprocessing, card.features, card.hidden) == ("cells", COUNT, 12)
    assert (card.valid, card.reliability) == (VALID, WORTH)
    assert card.data_sha256 == SHA
    assert card.rules == rules
    content = path.read_bytes()
    assert b"site-packages" not in content
    assert b"/home/" not in content


def test_a_batch_of_movies_gets_what_torch_computes(parts, path):
    network, _, novelty = parts
    session = MovieClassifier(path).session
    x, h = torch.randn(7, COUNT), torch.rand(7, 12)
    h[3] = 0  # a first frame among others
    names = ["probabilities", "next_hidden", "transitions", "novelty"]
    p, hidden, transitions, surprise = session.run(
        names, {"features": x.numpy(), "hidden": h.numpy()}
    )
    with torch.no_grad():
        expected = ExportedStep(network, novelty)(x, h)
        logits, _ = network.step(x, h)
    np.testing.assert_allclose(transitions, torch.softmax(logits, 1), atol=1e-5)
    np.testing.assert_allclose(p, process_probabilities(transitions), atol=1e-5)
    np.testing.assert_allclose(hidden, expected[1], atol=1e-5)
    first = np.arange(7) == 3
    ours = novelty.surprise(network.standardised(x).detach().numpy(), first)
    np.testing.assert_allclose(surprise[:, 0], ours, rtol=1e-4, atol=1e-3)


def test_the_papers_network_has_neither_rules_nor_novelty(tmp_path):
    path = tmp_path / "paper.onnx"
    network = ProcessClassifier(100, 8, 3)
    parity = export_classifier(
        network, path, classes=PROCESSES[:3], preprocessing="sorted", data_sha256=SHA, name="paper"
    )
    assert parity < 1e-5
    model = MovieClassifier(path)
    assert (model.card.name, model.card.rules, model.is_novel) == ("paper", None, False)
    p = model.step(np.zeros((10, 10), np.float32))
    assert not model.may_stop(p, 50.0)
    assert model.label(np.array([0.1, 0.85, 0.05])) == "switching"
    assert model.label(np.array([0.3, 0.6, 0.1])) is None


def test_rules_go_with_a_novelty(parts, tmp_path):
    with pytest.raises(ValueError, match="rules need a novelty"):
        write(parts, tmp_path / "model.onnx", novelty=None)


def test_a_model_that_differs_from_torch_is_not_kept(parts, tmp_path, monkeypatch):
    monkeypatch.setattr("skyctl.models.classifier_export._PARITY", -1.0)
    with pytest.raises(ModelError, match="differ"):
        write(parts, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("name", "value", "at_fault"),
    [
        ("rules", "{}", "least"),
        ("rules", "no json", "Expecting value"),
        ("rules", json.dumps({"least": [0.5, 0.5]}), "coverage"),
        ("preprocessing_parameters", json.dumps({"grid": 32}), "grid"),
        ("preprocessing_parameters", "{}", "grid"),
        ("valid", json.dumps({"interval_ps": [1]}), "unpack"),
        ("reliability", json.dumps({"wrong": 0.1, "abstains": 0.1, "base": [1]}), "shares"),
        ("features", str(COUNT + 1), "features has shape"),
    ],
)
def test_what_does_not_fit_is_refused_when_it_is_loaded(path, tmp_path, name, value, at_fault):
    model = onnx.load(str(path))
    meta = {entry.key: entry.value for entry in model.metadata_props}
    onnx.helper.set_model_props(model, {**meta, name: value})
    bad = tmp_path / "bad.onnx"
    onnx.save(model, str(bad))
    with pytest.raises(ModelError, match=at_fault):
        MovieClassifier(bad)


def test_rules_of_another_number_of_classes_are_refused(parts, tmp_path):
    _, rules, _ = parts
    with pytest.raises(ModelError, match="rules of 2 classes"):
        write(parts, tmp_path / "model.onnx", rules=replace(rules, least=(0.5, 0.5)))


def test_eight_bits_are_a_smaller_file_of_nearly_the_same_verdicts(path, tmp_path):
    small = tmp_path / "int8.onnx"
    quantise(path, small)
    assert small.stat().st_size < path.stat().st_size
    rng = np.random.default_rng(0)
    whole, eight = MovieClassifier(path), MovieClassifier(small)
    movie = rng.uniform(-1, 1, (8, 40, 40)).astype(np.float32)
    times_ps = [5.0 * index for index in range(8)]
    for one, other in zip(
        *(model.watch(movie, times_ps, Pulse(width_ps=8)) for model in (whole, eight)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=0.05)


def test_the_shipped_model_and_its_card_belong_together():
    model = MovieClassifier()
    onnx.checker.check_model(str(model.path))
    card = model.path.with_suffix(".md").read_text()
    assert model.card.file_sha256 in card
    assert model.card.data_sha256 in card
    assert model.card.rules is not None
