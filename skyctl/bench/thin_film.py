"""Benchmark of the thin film: standard problem 4 beside magnum.np."""

import importlib.util
import logging
import statistics
import time
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.simulators.thin.film import MU0_T_M_PER_A, SP4_FIELDS_T, ThinFilmParameters
from skyctl.simulators.thin.standard_problem import (
    reference_s_state,
    reference_series,
    run_standard_problem,
)


def thin_film_speed(peer_ps: float) -> dict[str, Any]:
    """Wall time of 1 ns of standard problem 4, field 1, on one thread: median of three.

    The peer, magnum.np, runs the first ``peer_ps`` where it is installed (at most 1 ns; its steps
    are bounded by stability, so that the rest takes in proportion). Both start from the reference's
    S-state on the same mesh.
    """
    times_ps, reference = reference_series(1)
    walls, run = [], run_standard_problem(1, start="reference")
    for _ in range(3):
        start = time.perf_counter()
        run_standard_problem(1, start="reference")
        walls.append(time.perf_counter() - start)
    results: list[dict[str, Any]] = [
        {
            "what": "skyctl",
            "tolerance": run.tolerance,
            "simulated_ps": float(times_ps[-1]),
            "field_evaluations": run.demag_evaluations,
            "difference": run.difference,
            "s_per_ns": statistics.median(walls),
        }
    ]
    peer = "not installed"
    if importlib.util.find_spec("magnumnp"):
        results.append(_magnumnp(min(peer_ps, float(times_ps[-1])), times_ps, reference))
        for row in results:
            row["times_peer"] = results[-1]["s_per_ns"] / row["s_per_ns"]
        whole = results[-1]["simulated_ps"] == times_ps[-1]
        peer = "in the same run, " + ("the whole of it" if whole else "extrapolated to 1 ns")
    return {"machine": machine(), "threads": 1, "peer": peer, "results": results}


def _magnumnp(span_ps: float, times_ps: np.ndarray, reference: np.ndarray) -> dict[str, Any]:
    """magnum.np as the reference series was made: double, RKF45, tolerance 1e-6."""
    import magnumnp  # pyright: ignore[reportMissingImports] a peer, not a dependency
    import torch

    p, tolerance = ThinFilmParameters(), 1e-6
    logging.getLogger("magnum.np").setLevel(logging.ERROR)
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    magnumnp.constants.gamma = p.gamma_m_per_As
    mesh = magnumnp.Mesh((p.columns, p.rows, 1), tuple(edge * 1e-9 for edge in p.cell_nm))
    state = magnumnp.State(mesh)
    state.material = {
        "Ms": p.magnetisation_A_per_m,
        "A": p.exchange_J_per_m,
        "alpha": p.damping,
    }
    state.m = torch.tensor(reference_s_state().transpose(2, 1, 0)[:, :, None].copy())
    applied = magnumnp.ExternalField([b / MU0_T_M_PER_A for b in SP4_FIELDS_T[1]])
    demag = magnumnp.DemagField()
    evaluations = 0

    def counted(state: Any) -> Any:
        nonlocal evaluations
        evaluations += 1
        return magnumnp.DemagField.h(demag, state)

    counted(state)  # its tensor is not part of the time
    demag.h, evaluations = counted, 0
    solver = magnumnp.LLGSolver(
        [demag, magnumnp.ExchangeField(), applied], atol=tolerance, rtol=tolerance
    )
    difference, start, now_ps = 0.0, time.perf_counter(), 0.0
    for time_ps, expected in zip(times_ps[1:].tolist(), reference[1:], strict=True):
        if time_ps > span_ps:
            break
        solver.step(state, (time_ps - now_ps) * 1e-12)
        now_ps = time_ps
        difference = max(difference, np.abs(state.m.mean((0, 1, 2)).numpy() - expected).max())
    wall = time.perf_counter() - start
    return {
        "what": "magnum.np",
        "tolerance": tolerance,
        "simulated_ps": now_ps,
        "field_evaluations": evaluations,
        "difference": float(difference),
        "s_per_ns": wall * 1e3 / now_ps,
    }
