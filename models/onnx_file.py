"""Writing a network to an ONNX file: torch's exporter, quietly, and nothing of this machine."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from skyctl.errors import ModelError


def write_onnx(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: list[str],
    shapes: Mapping[str, dict[int, Any]],
    metadata: Mapping[str, object],
    path: Path,
) -> None:
    """Export ``module``, called with ``inputs`` in their order, to ``path``.

    shapes : of each input, the axes whose size is free, as ``torch.export.Dim``
    metadata : strings and numbers that the file says of itself

    Raises ModelError when torch gives no program, OSError where nothing can be written.
    """
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)  # it tells of torchvision, which nobody asked for
    try:
        with warnings.catch_warnings():
            # Inputs may share an axis, as batches must; the exporter warns of it.
            warnings.filterwarnings("ignore", message="# The axis name: .* will not be used")
            # Torch deprecates what its own exporter uses.
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", category=DeprecationWarning)
            program = torch.onnx.export(
                module,
                tuple(inputs.values()),
                dynamo=True,
                input_names=list(inputs),
                output_names=outputs,
                dynamic_shapes=dict(shapes),
                external_data=False,
                verbose=False,
            )
    finally:
        exporter.setLevel(level)
    if program is None:
        raise ModelError(f"model {path}: torch gave no ONNX program")
    program.save(str(path), external_data=False)
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    for node in model.graph.node:  # the exporter leaves this machine's paths in here
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.save(model, str(path))
