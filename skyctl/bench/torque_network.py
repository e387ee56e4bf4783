"""Benchmark of a torque on the itinerant magnet: network, truth, and the bare convolution."""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skyctl.bench.machine import machine
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models.torque import Architecture, EquivariantNetwork, new_network
from skyctl.models.torque_data import DATA_ELECTRONS
from skyctl.models.torque_export import (
    ExportedTorque,
    FixedConv,
    TorqueFacts,
    export_torque,
)
from skyctl.simulators.itinerant.electrons import (
    ORDER_PERIOD,
    equilibrium,
    perpendicular,
    random_spins,
)
from skyctl.simulators.itinerant.kernel_polynomial import KernelPolynomial

SIDES = (24, 48, 96, 192, 384, 512)
MOMENTS = 400
"""Enough for these electrons without a kernel: 300 to 900 give the same to four digits."""
_PROBES = (4, 2, 1)
_FEWEST_ROUNDS = 3


def torque_speed(
    model: Path | None,
    seconds: float,
    side: int = 48,
    say: Callable[[str], None] = lambda case: None,
) -> dict[str, Any]:
    """Seconds of the processor for one evaluation of the torque, all cases in one run.

    model : the network's file; None exports one without training, which is as fast
    seconds : for each case; the truth is evaluated once, however long that takes
    side : of the lattice on which the truth is timed, a multiple of 12

    Kernel polynomials probe sites that lie a quarter, half and all of the side apart; ``error`` is
    against diagonalisation, in units of the mean perpendicular field. The bare convolution is the
    network's filters in torch's own convolution, without padding, products and weights: a floor.
    Raises ValueError for a side that is not a multiple of 12, ModelError.
    """
    if side % ORDER_PERIOD:
        raise ValueError(f"side {side}: give a multiple of {ORDER_PERIOD}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _torque_speed(model, seconds, side, say)
    finally:
        torch.set_num_threads(threads)


def _torque_speed(
    model: Path | None, seconds: float, side: int, say: Callable[[str], None]
) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    network = EquivariantNetwork().eval()
    rows: list[dict[str, Any]] = []
    session = TorqueNetwork(model) if model else _untrained("equivariant")

    def add(what: str, size: int, took_s: float, **more: Any) -> None:
        rows.append({"what": what, "sites": size**2, "seconds": took_s, **more})

    def timed(once: Callable[[], object]) -> float:
        once()
        took: list[float] = []
        while len(took) < _FEWEST_ROUNDS or sum(took) < seconds:
            took.append(_processor_s(once))
        return statistics.median(took)

    for size in sorted({*SIDES, side}):
        say(f"network, {size} x {size}")
        spins = random_spins(size, size, rng).astype(np.float32)
        add("network, ONNX Runtime", size, timed(lambda spins=spins: session(spins)))
    own = next(row["seconds"] for row in rows if row["sites"] == side**2)
    spins = random_spins(side, side, rng)
    tensor = torch.from_numpy(spins.astype(np.float32))
    step = ExportedTorque(network, 1.0).eval()
    say("gradient network")
    other, single = _untrained("gradient"), tensor.numpy()
    add("gradient network, ONNX Runtime", side, timed(lambda: other(single)))
    with torch.no_grad():
        say("torch")
        add("equivariant network, torch", side, timed(lambda: step(tensor)))
        say("bare convolution")
        add("equivariant network's convolutions alone", side, timed(_bare(step, side)))
    say(f"diagonalisation, {side} x {side}")
    start = time.process_time()
    exact = equilibrium(DATA_ELECTRONS, spins).field
    add("diagonalisation", side, time.process_time() - start)
    mean = np.linalg.norm(perpendicular(spins, exact), axis=0).mean()
    KernelPolynomial(DATA_ELECTRONS, 2, 1)(spins)  # compiled
    for part in _PROBES:
        say(f"kernel polynomials, probes {side // part} sites apart")
        series = KernelPolynomial(DATA_ELECTRONS, MOMENTS, side // part, kernel="none")
        start = time.process_time()
        field = series(spins)
        took = time.process_time() - start
        off = np.linalg.norm(field - perpendicular(spins, exact), axis=0).mean()
        what = f"kernel polynomials ({MOMENTS} moments, {series.vectors} vectors)"
        add(what, side, took, error=float(off / mean))
    for row in rows:
        row["times_network"] = row["seconds"] / own if row["sites"] == side**2 else None
    return {"machine": machine(), "network": session.card.name, "threads": 1, "results": rows}


def _untrained(architecture: Architecture) -> TorqueNetwork:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "untrained.onnx"
        facts = TorqueFacts("untrained", architecture, DATA_ELECTRONS, 1.0, 24, "", 0, {})
        export_torque(new_network(architecture).eval(), path, facts)
        return TorqueNetwork(path)


def _processor_s(once: Callable[[], object]) -> float:
    start = time.process_time()
    once()
    return time.process_time() - start


def _bare(step: ExportedTorque, side: int) -> Callable[[], None]:
    """The filters of a step on arrays of their shapes, and nothing else."""
    filters = [layer for layer in step.modules() if isinstance(layer, FixedConv)]
    inputs = [
        torch.randn(3, layer.filters[0].shape[1], *2 * [side + 2 * layer.reach])
        for layer in filters
    ]

    def once() -> None:
        for x, layer in zip(inputs, filters, strict=True):
            for part in layer.filters:
                x = torch.nn.functional.conv2d(x, part)

    return once
