"""Export a trained classifier to ONNX, with all that an experiment must know inside the file."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from skyctl.errors import ModelError
from skyctl.inference.features import Preprocessing
from skyctl.inference.model import SHIPPED, MovieClassifier
from skyctl.models.classifier import ExportedStep, ProcessClassifier
from skyctl.models.dataset import CLASSES, Dataset
from skyctl.models.training import TrainingReport

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
    with warnings.catch_warnings():
        # Both inputs share the axis "batch", as they must; the exporter warns of it.
        warnings.filterwarnings("ignore", message="# The axis name: batch will not be used")
        # Torch deprecates what its own exporter uses.
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=DeprecationWarning)
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


def model_card(path: Path, data: Dataset, report: TrainingReport, parity: float) -> str:
    """The model card of an exported classifier, Markdown."""
    card = MovieClassifier(path).card
    counts = np.bincount(data.labels[data.labels >= 0], minlength=len(CLASSES))
    movies = "\n".join(f"| {name} | {n} |" for name, n in zip(CLASSES, counts, strict=True))
    return f"""# {card.name}, version {card.version}

Names the process in a movie of a skyrmion film, frame by frame, from S_z alone.

**Network.** {card.features} inputs ({card.preprocessing} of S_z, sorted), {card.hidden} sigmoid
units with a recurrent connection, softmax over {len(card.classes)} classes, no biases
(arXiv:1907.01814, appendix A and B). One frame in, probabilities out; the hidden state is carried
by the caller and starts at zero. The film is turned so that the background of the first frame is
-z. A class is named from probability {card.threshold:g}; below that the network abstains, which is
also its answer to mixed states, which it was not trained on.

**Trained on** simulated movies of the atomistic film of skyctl (100 × 100 sites, open edges,
0.6 μ_B): skyrmion start, 2 T, θ = 50°, widths 2–52 ps, damping 0.03–0.6, peak at 30–60 ps; empty
start, spot pulses of 1–12 T and weak uniform ones. Labels by topology, 125 ps after the peak. Each
batch sees its movies every 5, 10 or 15 ps and cut at a random length. Mixed movies are left out.

| class | movies |
|---|---|
{movies}

**Held out**: {report.accuracy:.1%} of {report.held_out} movies named right on their last frame
(every 15 ps, no threshold); best of {report.epochs} epochs.

**Not for** films with more than one skyrmion or with domains at the start, other materials, or
temperature above zero: it will still answer.

| | |
|---|---|
| training data sha256 | `{card.data_sha256}` |
| file sha256 | `{card.file_sha256}` |
| torch against ONNX Runtime, 50 carried steps | {parity:.1e} |
| train it again | `skyctl train classifier` |
"""


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
