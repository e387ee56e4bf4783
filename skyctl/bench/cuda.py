"""Benchmark of the film on a CUDA device, beside its memory's floor."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from skyctl.bench.machine import median_rate
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.engines import make_engine
from skyctl.simulators.lattice.film import MAX_STEP_PS, Film, FilmParameters, analytic_skyrmion
from skyctl.simulators.physics.schemes import HEUN

CASES = ((100, 1), (100, 2048), (2000, 1))
"""Sites along a side, and films in a batch: one film, a batch far larger than the cache, and one
film that is."""
_COPIES = 10


def _cuda() -> Any:
    """numba's module, without its annotations, which are not what it takes."""
    from numba import cuda

    return cuda


def cuda_speed(
    seconds: float,
    cases: Sequence[tuple[int, int]] = CASES,
    span_ps: float = 5.0,
    copied_bytes: int = 2**30,
) -> list[dict[str, Any]]:
    """Rates of the Heun step on the CUDA device, beside its memory's floor; [] without a device.

    seconds : for each of the ``cases``; span_ps : that a film moves between two looks at the clock
    copied_bytes : as ``memory_floor``'s

    ``of_memory_floor`` compares the rate with that at which memory could pass the numbers that a
    step reads and writes (``Scheme.pass_values``), at the speed of a plain copy on the device
    in the same run. It can exceed 1 where films stay in the cache between the passes.
    """
    cuda = _cuda()
    if not cuda.is_available():
        return []
    name = getattr(cuda.get_current_device(), "name", "numba's simulator")
    copied = memory_floor(seconds, copied_bytes)
    rows = []
    for precision in ("f8", "f4"):
        for side, batch in cases:
            rate = _cuda_rate(precision, side, batch, seconds, span_ps)
            moved = HEUN.pass_values * np.dtype(precision).itemsize
            rows.append(
                {
                    "case": f"skyctl: {precision}, {batch} of {side} x {side}, {name}",
                    "engine": "skyctl",
                    "precision": precision,
                    "threads": 0,
                    "batch": batch,
                    "sites": side * side,
                    "device": name,
                    "site_steps_per_s": rate,
                    "bytes_per_site_step": moved,
                    "copy_GB_per_s": copied / 1e9,
                    "of_memory_floor": rate * moved / copied,
                }
            )
    return rows


def memory_floor(seconds: float, copied_bytes: int = 2**30) -> float:
    """Bytes a second, read and written, of a plain copy within the CUDA device's memory.

    copied_bytes : at once; a quarter of the free memory where that is less

    The median of rounds that share ``seconds``.
    """
    cuda = _cuda()
    size = int(min(copied_bytes, cuda.current_context().get_memory_info().free // 4))
    source = cuda.device_array(size, np.uint8)
    target = cuda.device_array(size, np.uint8)

    def once() -> int:
        for _ in range(_COPIES):
            target.copy_to_device(source)
        cuda.synchronize()
        return _COPIES * 2 * size

    once()
    return median_rate(once, seconds)


def _cuda_rate(precision: str, side: int, batch: int, seconds: float, span_ps: float) -> float:
    """Site-steps a second of a batch of films of side × side sites under a pulse."""
    parameters = FilmParameters(rows=side, columns=side)
    engine = make_engine(
        "cuda", side, side, films=batch, periodic=False, precision=precision, integrator="heun"
    )
    spins = analytic_skyrmion(side, side, radius=12)
    engine.write(np.broadcast_to(spins, (batch, *spins.shape)))
    span = Film(parameters).span(Pulse(width_ps=28), 40.0, span_ps, MAX_STEP_PS)

    def once() -> int:
        engine.advance([span] * batch)
        _cuda().synchronize()
        return span.steps * side * side * batch

    once()
    return median_rate(once, seconds)
