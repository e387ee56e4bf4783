"""Export a trained classifier to ONNX, with all that an experiment must know inside the file."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from skyctl.models.classifier import ExportedStep, ProcessClassifier
from skyctl.models.dataset import CLASSES, Dataset

from skyctl.errors import ModelError
from skyctl.inference.features import Preprocessing
from skyctl.inference.model import SHIPPED, MovieClassifier

THRESHOLD = 0.8
"""Probability from which a class is named (arXiv:1907.01814)."""
_PARITY = 1e-5
_STEPS = 50


def dataset_sha256(data: Dataset) -> str:
    """Hash of the movies and labels a model was trained on."""
    digest = hashlib.sha256()
    for array in (data.features, data.frames, data.peak_ps, data.labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def export_classifier(
    network: ProcessClassifier,
    path: Path,
    data: Dataset,
    preprocessing: Preprocessing = "quantiles",
    version: str = "1",
) -> float:
    """Write ``network`` as a one-frame step with carried state; returns the largest difference
    between torch and ONNX Runtime over 50 carried steps.

    Raises ModelError when that difference is above 1e-5; then no file is left behind.
    """
    features, hidden = network.input.in_features, network.input.out_features
    example = (torch.zeros(2, features), torch.zeros(2, hidden))
    batch = torch.export.Dim("batch")
    program = torch.onnx.export(
        ExportedStep(network).eval(),
        example,
        dynamo=True,
        input_names=["features", "hidden"],
        output_names=["probabilities", "next_hidden"],
        dynamic_shapes={"features": {0: batch}, "hidden": {0: batch}},
        external_data=False,
        verbose=False,
    )
    if program is None:
        raise ModelError(f"model {path}: torch gave no ONNX program")
    program.save(str(path), external_data=False)
    model = onnx.load(str(path))
    metadata: dict[str, Any] = {
        "name": SHIPPED,
        "version": version,
        "classes": json.dumps(CLASSES),
        "preprocessing": preprocessing,
        "orientation": "background of the first frame turned to -z",
        "features": features,
        "hidden": hidden,
        "threshold": THRESHOLD,
        "calibration": "none",
        "data_sha256": dataset_sha256(data),
    }
    onnx.helper.set_model_props(model, {name: str(value) for name, value in metadata.items()})
    for node in model.graph.node:  # the exporter leaves this machine's paths in here
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, str(path))
    difference = _parity(network, path)
    if difference > _PARITY:
        path.unlink()
        raise ModelError(f"model {path}: ONNX Runtime and torch differ by {difference:.1e}")
    return difference


def _parity(network: ProcessClassifier, path: Path) -> float:
    session = MovieClassifier(path).session
    rng = np.random.default_rng(0)
    hidden = torch.zeros(1, network.input.out_features)
    carried = hidden.numpy()
    difference = 0.0
    step = ExportedStep(network)
    for _ in range(_STEPS):
        frame = np.sort(rng.uniform(-1, 1, (1, network.input.in_features))).astype(np.float32)
        with torch.no_grad():
            expected, hidden = step(torch.from_numpy(frame), hidden)
        got, carried = session.run(
            ["probabilities", "next_hidden"], {"features": frame, "hidden": carried}
        )
        difference = max(difference, float(np.abs(got - expected.numpy()).max()))
    return difference
