"""Export of torque networks to ONNX, with all that a simulation must know inside the file."""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skyctl.errors import ModelError
from skyctl.inference.torque_network import FEWEST_SITES, LATTICE, TorqueNetwork
from skyctl.models.onnx_file import write_onnx
from skyctl.models.torque import (
    GradientNetwork,
    HexagonConv,
    adjoint_of,
    factors,
    filtered,
)
from skyctl.models.torque_training import TorqueScore
from skyctl.simulators.itinerant.electrons import Electrons, random_spins

_PARITY = 1e-4  # of the mean field: ONNX Runtime adds in another order


@dataclass(frozen=True)
class TorqueFacts:
    """What a model file says of itself.

    architecture : of ``torque.Architecture``; scale : mean perpendicular field of the training
        states, hoppings; side : of the lattices it was trained on, sites
    scores : by name, on held-out states
    """

    name: str
    architecture: str
    electrons: Electrons
    scale: float
    side: int
    data_sha256: str
    states: int
    scores: dict[str, TorqueScore]
    version: str = "1"


class FixedConv(nn.Module):
    """A HexagonConv whose filters are plain numbers: the graph need not build them.

    both_ways : with its adjoint, which a ``GradientNetwork`` asks for
    """

    def __init__(self, free: HexagonConv, both_ways: bool) -> None:
        super().__init__()
        self.reach = free.reach
        filters = free.filters().detach()
        self.filters = _fixed(factors(filters))
        self.back = _fixed(factors(adjoint_of(filters)) if both_ways else [])

    def forward(self, x: Tensor) -> Tensor:
        return filtered(x, self.reach, self.filters)

    def adjoint(self, y: Tensor) -> Tensor:
        """As ``HexagonConv.adjoint``."""
        return filtered(y, self.reach, self.back)


def _fixed(filters: list[Tensor]) -> nn.ParameterList:
    return nn.ParameterList(part.contiguous() for part in filters)


class ExportedTorque(nn.Module):
    """What the ONNX file holds: spins (3, rows, columns) → perpendicular field in hoppings."""

    def __init__(self, network: nn.Module, scale: float) -> None:
        super().__init__()
        self.network, self.scale = copy.deepcopy(network), scale
        both_ways = isinstance(network, GradientNetwork)
        for module in list(self.network.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, HexagonConv):
                    setattr(module, name, FixedConv(child, both_ways))

    def forward(self, spins: Tensor) -> Tensor:
        return self.scale * self.network(spins[None])[0]


def export_torque(network: nn.Module, path: Path, facts: TorqueFacts) -> float:
    """Write ``network`` for lattices of any size; returns the largest difference between torch and
    ONNX Runtime, in units of the mean field, on lattices of several sizes.

    Raises ModelError when it is above 1e-4; then no file is left behind.
    """
    step = ExportedTorque(network, facts.scale).eval()
    rows, columns = (torch.export.Dim(side, min=FEWEST_SITES) for side in ("rows", "columns"))
    metadata: dict[str, Any] = {
        "name": facts.name,
        "version": facts.version,
        "architecture": facts.architecture,
        "lattice": LATTICE,
        "electrons": json.dumps(facts.electrons.as_dict()),
        "mean_field": facts.scale,
        "trained_side": facts.side,
        "data_sha256": facts.data_sha256,
    }
    spins, shapes = torch.zeros(3, 24, 36), {"spins": {1: rows, 2: columns}}
    write_onnx(step, {"spins": spins}, ["field"], shapes, metadata, path)
    difference = _parity(step, path, facts.scale)
    if difference > _PARITY:
        path.unlink()
        raise ModelError(f"model {path}: ONNX Runtime and torch differ by {difference:.1e}")
    return difference


@torch.no_grad()
def _parity(step: Callable[[Tensor], Tensor], path: Path, scale: float) -> float:
    field = TorqueNetwork(path)
    rng = np.random.default_rng(0)
    difference = 0.0
    for rows, columns in ((24, 24), (17, 30)):
        spins = random_spins(rows, columns, rng).astype(np.float32)
        expected = step(torch.from_numpy(spins)).numpy()
        difference = max(difference, float(np.abs(field(spins) - expected).max()) / scale)
    return difference


def torque_card(path: Path, facts: TorqueFacts, parity: float, parameters: int) -> str:
    """The model card of an exported torque network, Markdown."""
    file_sha256 = TorqueNetwork(path).card.file_sha256
    e = facts.electrons
    rows = "\n".join(
        f"| {name} | {s.within_10_deg:.1%} | {s.beyond_30_deg:.2%} | {s.error:.3f} |"
        for name, s in facts.scores.items()
    )
    kind = {
        "paper": "Four ResNet blocks and two more 5 × 5 convolutions, in a reduced width "
        "(X. Cheng et al., Phys. Rev. Research 5, 033188 (2023)); its symmetry is learned.",
        "equivariant": "D6-symmetric filters on vector features, weighted by functions of their "
        "scalar products: equivariant under O(3) and D6 by construction.",
        "gradient": "D6-symmetric filters on vector features, weighted by functions of their "
        "scalar products, make an energy, whose gradient is the torque: equivariant under O(3) and "
        "D6, and keeping that energy, by construction.",
    }[facts.architecture]
    return f"""# {facts.name}, version {facts.version}

What of the electrons' field on the spins of an itinerant magnet is perpendicular to them, from the
spins alone: its torque.

**Network.** {kind} {parameters:,} parameters. Spins (3, rows, columns) of a periodic triangular
lattice of any size in, field in units of the hopping out.

**Electrons.** t1 = {e.nearest_hopping:g}, t3 = {e.third_hopping:g}, J = {e.coupling:g},
μ = {e.chemical_potential:g}, T = {e.temperature:g}. The model is for these alone.

**Trained on** {facts.states} states of lattices of {facts.side} × {facts.side} sites: quenches from
random spins and perturbed skyrmion lattices, driven by the truth and by networks,
labelled by exact diagonalisation (mean over four twisted boundaries; those of `--boundaries 1` by
one of them, whose error of 6 % the row of network-driven states counts in).

**Held out**, runs that training did not see:

| states | angle < 10° | > 30° | mean error / mean field |
|---|---|---|---|
{rows}

**Not for** other electrons, spins far from those of a quench or a skyrmion lattice, or forces on
the length of a spin: it will still answer.

| | |
|---|---|
| training data sha256 | `{facts.data_sha256}` |
| file sha256 | `{file_sha256}` |
| torch against ONNX Runtime, of the mean field | {parity:.1e} |
"""
