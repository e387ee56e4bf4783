"""Benchmark of a torque on the itinerant magnet: network, truth, and the bare convolution."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from skyctl.bench.machine import machine, median_rate
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models.torque import EquivariantNetwork
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


def torque_speed(
    model: Path | None,
    seconds: float,
    side: int = 48,
    say: Callable[[str], None] = lambda case: None,
) -> dict[str, Any]:
    """Seconds of one evaluation of the torque, one thread, all cases in one run.

    model : the network's file; None exports one without training, which is as fast
    seconds : for each case; the truth is evaluated once, however long that takes
    side : of the lattice on which the truth is timed, a multiple of 12

    Kernel polynomials probe sites that lie a quarter, half and all of the side apart; ``error`` is
    against diagonalisation, in units of the mean perpendicular field. The bare convolution is the
    network's multiplications in torch's own convolution, without padding, products and weights: a
    floor.
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
    with tempfile.TemporaryDirectory() as folder:
        path = model
        if path is None:
            path = Path(folder) / "untrained.onnx"
            facts = TorqueFacts("untrained", "equivariant", DATA_ELECTRONS, 1.0, 24, "", 0, {})
            export_torque(network, path, facts)
        session = TorqueNetwork(path)

    def add(what: str, size: int, took_s: float, **more: Any) -> None:
        rows.append({"what": what, "sites": size**2, "seconds": took_s, **more})

    def timed(once: Callable[[], object]) -> float:
        def work() -> float:
            once()
            return 1.0

        once()
        return 1 / median_rate(work, seconds)

    for size in sorted({*SIDES, side}):
        say(f"network, {size} x {size}")
        spins = random_spins(size, size, rng).astype(np.float32)
        add("network, ONNX Runtime", size, timed(lambda spins=spins: session(spins)))
    own = next(row["seconds"] for row in rows if row["sites"] == side**2)
    spins = random_spins(side, side, rng)
    tensor = torch.from_numpy(spins.astype(np.float32))
    step = ExportedTorque(network, 1.0).eval()
    with torch.no_grad():
        say("torch")
        add("equivariant network, torch", side, timed(lambda: step(tensor)))
        say("bare convolution")
        add("equivariant network's convolutions alone", side, timed(_bare(step, side)))
    say(f"diagonalisation, {side} x {side}")
    start = time.perf_counter()
    exact = equilibrium(DATA_ELECTRONS, spins).field
    add("diagonalisation", side, time.perf_counter() - start)
    mean = np.linalg.norm(perpendicular(spins, exact), axis=0).mean()
    KernelPolynomial(DATA_ELECTRONS, 2, 1)(spins)  # compiled
    for part in _PROBES:
        say(f"kernel polynomials, probes {side // part} sites apart")
        series = KernelPolynomial(DATA_ELECTRONS, MOMENTS, side // part, kernel="none")
        start = time.perf_counter()
        field = series(spins)
        took = time.perf_counter() - start
        off = np.linalg.norm(field - perpendicular(spins, exact), axis=0).mean()
        what = f"kernel polynomials ({MOMENTS} moments, {series.vectors} vectors)"
        add(what, side, took, error=float(off / mean))
    for row in rows:
        row["times_network"] = row["seconds"] / own if row["sites"] == side**2 else None
    return {"machine": machine(), "network": session.card.name, "threads": 1, "results": rows}


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
