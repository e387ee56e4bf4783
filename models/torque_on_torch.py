"""A torque network that torch evaluates: for films on a GPU where ONNX Runtime has no CUDA."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import torch
from torch import Tensor

from skyctl.errors import ModelError
from skyctl.inference.torque_network import FEWEST_SITES, TorqueNetwork
from skyctl.models.torque import new_network
from skyctl.models.torque_export import ExportedTorque


class TorqueOnTorch:
    """The network of a ``.onnx`` file on torch: a ``BoundField``, for a ``TorqueFilm``.

    path : a file that ``torque_export`` wrote; device : "cpu" or "cuda"

    Raises ModelError for a file that is not one, RuntimeError where torch has no such device.
    """

    def __init__(self, path: Path | str, device: Literal["cpu", "cuda"] = "cuda") -> None:
        self.device: str = device
        self.card = TorqueNetwork(path).card
        self._network = _read(Path(path), self.card.architecture, self.card.mean_field).to(device)

    def __call__(self, spins: np.ndarray) -> np.ndarray:
        """As ``TorqueNetwork.__call__``."""
        _check_sides(*np.shape(spins)[1:])
        tensor = torch.from_numpy(np.ascontiguousarray(spins, np.float32)).to(self.device)
        return self._field(tensor).cpu().numpy()

    def bind(self, spins: int, field: int, rows: int, columns: int) -> Callable[[], None]:
        """As ``TorqueNetwork.bind``."""
        _check_sides(rows, columns)
        among, into = (_at(address, (3, rows, columns), self.device) for address in (spins, field))

        def evaluate() -> None:
            into.copy_(self._field(among))
            if self.device == "cuda":
                torch.cuda.current_stream().synchronize()

        return evaluate

    @torch.no_grad()
    def _field(self, spins: Tensor) -> Tensor:
        # Convolutions of a GPU would else round to ten bits.
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self._network(spins)


def _check_sides(rows: int, columns: int) -> None:
    if min(rows, columns) < FEWEST_SITES:
        raise ValueError(
            f"lattice of {rows} x {columns} sites: give sides of {FEWEST_SITES} or more"
        )


def _read(path: Path, architecture: str, scale: float) -> ExportedTorque:
    """The network of a file: its weights have the names there that they have in torch."""
    weights = {
        array.name: torch.from_numpy(onnx.numpy_helper.to_array(array).copy())
        for array in onnx.load(path).graph.initializer
        if array.name.startswith("network.")
    }
    firsts = sorted(name for name in weights if name.endswith(".first.weight"))
    widths = [len(weights[name]) for name in firsts]
    pattern = r"network\.(filters|last)\..*filters\.0"
    filters = sorted(name for name in weights if re.fullmatch(pattern, name))
    reaches = [weights[name].shape[-1] // 2 for name in filters]
    try:
        network = new_network(architecture, widths, reaches)  # pyright: ignore[reportArgumentType]
        exported = ExportedTorque(network, scale)
        # A file holds one of two equal arrays: a symmetric filter is its own adjoint, and what sums
        # rows is the same for all filters of a reach.
        for name, own in exported.state_dict().items():
            twin = name.replace(".back.", ".filters.")
            if name in weights:
                continue
            if twin in weights:
                weights[name] = weights[twin]
            elif name.endswith((".filters.1", ".back.1")):
                weights[name] = own
        exported.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise ModelError(
            f"torque model {path}: not a network of models.torque ({error}). Give a file that "
            "models.torque_export wrote."
        ) from error
    return exported.eval()


class _Memory:
    """float32 at an address, as numpy and torch ask for it."""

    def __init__(self, address: int, shape: tuple[int, ...], device: str) -> None:
        described = {"shape": shape, "typestr": "<f4", "data": (address, False), "version": 3}
        name = "__cuda_array_interface__" if device == "cuda" else "__array_interface__"
        setattr(self, name, described)


def _at(address: int, shape: tuple[int, ...], device: str) -> Tensor:
    """The memory at an address as a tensor, without a copy."""
    memory = _Memory(address, shape, device)
    if device == "cuda":
        return torch.as_tensor(memory, device=device)
    return torch.from_numpy(np.asarray(memory))
