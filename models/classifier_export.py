"""Export a trained classifier to ONNX, with all that an experiment must know inside the file."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import Tensor, nn

from skyctl.belief import Reliability
from skyctl.errors import ModelError
from skyctl.inference import features as preprocessings
from skyctl.inference.features import Preprocessing
from skyctl.inference.model import SHIPPED, MovieClassifier
from skyctl.inference.rules import Rules, Validity
from skyctl.models.calibration import FIRST_MARK, Novelty
from skyctl.models.classifier import MovieNetwork
from skyctl.models.onnx_file import write_onnx
from skyctl.process import TRANSITIONS, process_probabilities

THRESHOLD = 0.8
"""Probability from which a class is named where there are no rules (arXiv:1907.01814)."""
_PARITY = 1e-5
_STEPS = 50


class ExportedStep(nn.Module):
    """What the ONNX file holds: one frame in; probabilities of classes and the next hidden state
    out; of a model with ``novelty``, that of transitions and how foreign the frame is as well."""

    def __init__(self, network: Any, novelty: Novelty | None = None) -> None:
        super().__init__()
        self.network = network
        self.has_novelty = novelty is not None
        if novelty:
            normals, k, _ = novelty.factors.shape
            constants = {
                "centre": novelty.centre,
                "axes": novelty.axes,
                "back": 1 / (novelty.axes**2).sum(axis=0),
                # All normals in one product: (B, k) by (k, normals · k).
                "factors": novelty.factors.transpose(1, 0, 2).reshape(k, normals * k),
                "means": np.einsum("mk,mkj->mj", novelty.means, novelty.factors).reshape(1, -1),
                "offsets": novelty.offsets,
            }
            constants["processes"] = process_probabilities(np.eye(TRANSITIONS))
            for name, value in constants.items():
                self.register_buffer(name, torch.from_numpy(value).float())
            self.normals, self.rest = normals, float(novelty.rest)

    def forward(self, features: Tensor, hidden: Tensor) -> tuple[Tensor, ...]:
        """(B, features), (B, hidden) → probabilities (B, C), hidden (B, hidden), transitions
        (B, TRANSITIONS), novelty (B, 1)."""
        logits, carried = self.network.step(features, hidden)
        probabilities = torch.softmax(logits, dim=1)
        if not self.has_novelty:
            return probabilities, carried
        # Only a movie's first frame meets the empty state.
        first = (hidden.abs().sum(1, keepdim=True) == 0).float()
        x = torch.cat([self.network.standardised(features), FIRST_MARK * first], dim=1)
        processes: Any = self.processes
        return probabilities @ processes, carried, probabilities, self._surprise(x)

    def _surprise(self, x: Tensor) -> Tensor:
        """``Novelty.surprise``, (B, 1)."""
        constants: Any = self
        centred = x - constants.centre
        z = centred @ constants.axes
        inside = (z * z * constants.back).sum(1, keepdim=True)
        rest = (centred * centred).sum(1, keepdim=True) - inside
        away = z @ constants.factors - constants.means
        square = (away * away).reshape(-1, self.normals, z.shape[1]).sum(2)
        surprise = -torch.logsumexp(constants.offsets - square / 2, dim=1, keepdim=True)
        return rest / self.rest + surprise


def export_classifier(
    network: MovieNetwork,
    path: Path,
    *,
    classes: Sequence[str],
    preprocessing: Preprocessing,
    data_sha256: str,
    name: str = SHIPPED,
    version: str = "3",
    threshold: float = THRESHOLD,
    rules: Rules | None = None,
    novelty: Novelty | None = None,
    valid: Validity | None = None,
    reliability: Reliability | None = None,
) -> float:
    """Write ``network`` as a one-frame step with carried state; returns the largest difference
    between torch and ONNX Runtime over 50 carried steps.

    data_sha256 : of the movies it was trained on (``content_sha256``)
    rules : with ``novelty``, and then of a network of transitions; or neither
    valid, reliability : what it is made for, and how far it can be trusted

    Raises ModelError when that difference is above 1e-5; then no file is left behind.
    """
    if (rules is None) != (novelty is None):
        raise ValueError(f"model {path}: rules need a novelty, and a novelty rules")
    step = ExportedStep(network, novelty).eval()
    outputs = ["probabilities", "next_hidden"]
    outputs += ["transitions", "novelty"] if novelty else []
    batch = torch.export.Dim("batch")
    metadata: dict[str, Any] = {
        "name": name,
        "version": version,
        "classes": json.dumps(list(classes)),
        "preprocessing": preprocessing,
        "preprocessing_parameters": json.dumps(preprocessings.parameters(preprocessing)),
        "orientation": "background of the first frame turned to -z",
        "features": network.features,
        "hidden": network.hidden,
        "threshold": threshold,
        "data_sha256": data_sha256,
    }
    if rules:
        metadata["rules"] = rules.as_json()
    if valid:
        metadata["valid"] = valid.as_json()
    if reliability:
        metadata["reliability"] = json.dumps(asdict(reliability))
    frame, hidden = torch.zeros(2, network.features), torch.zeros(2, network.hidden)
    shapes = {"features": {0: batch}, "hidden": {0: batch}}
    write_onnx(step, {"features": frame, "hidden": hidden}, outputs, shapes, metadata, path)
    difference = _parity(step, path)
    if not difference <= _PARITY:
        path.unlink()
        raise ModelError(f"model {path}: ONNX Runtime and torch differ by {difference:.1e}")
    return difference


def quantise(path: Path, out: Path) -> None:
    """The model of ``path`` with its weights as 8-bit integers, activations quantised as they come
    (dynamic): a quarter of the size. Raises ModelError for no such classifier."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    MovieClassifier(path)
    model = onnx.load(str(path))
    # The exporter's notes of shapes are those of before its own optimiser.
    del model.graph.value_info[:]
    quantize_dynamic(model, str(out), weight_type=QuantType.QInt8)


@torch.no_grad()
def _parity(step: ExportedStep, path: Path) -> float:
    """Largest difference of any output over carried steps; of the novelty, relative to its size."""
    session = MovieClassifier(path).session
    names = [output.name for output in session.get_outputs()]
    rng = np.random.default_rng(0)
    hidden = torch.zeros(1, step.network.hidden)
    carried = hidden.numpy()
    difference = 0.0
    for _ in range(_STEPS):
        frame = np.sort(rng.uniform(-1, 1, (1, step.network.features))).astype(np.float32)
        expected = step(torch.from_numpy(frame), hidden)
        got = session.run(names, {"features": frame, "hidden": carried})
        hidden, carried = expected[1], got[1]
        for ours, theirs in zip(expected, got, strict=True):
            scale = max(1.0, float(ours.abs().max()))
            difference = max(difference, float(np.abs(theirs - ours.numpy()).max()) / scale)
    return difference
