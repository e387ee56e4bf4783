"""Benchmark of `characterise`: how far its estimates are from the truth, on samples never seen."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from bluesky import RunEngine

from skyctl.beamline import simulated_beamline
from skyctl.bench.machine import machine
from skyctl.inference.model import MovieClassifier
from skyctl.plans.characterise import characterise
from skyctl.rehearsal import twin_mean_sz
from skyctl.simulators.instrument.imaging import Imaging
from skyctl.simulators.instrument.spread import DrawnSample, SampleSpread

CONDITIONS = {
    "0 K": (0.0, 0.0),
    "0 K, 5 % camera noise": (0.0, 0.05),
    "1 K, 5 % camera noise": (1.0, 0.05),
}
"""Temperature in K, camera noise in units of S_z."""
_REPORTED = ("damping", "anisotropy_field_T", "field_calibration")


def characterising(
    samples: int, seed: int, progress: Callable[[dict[str, Any]], None] = lambda result: None
) -> dict[str, Any]:
    """`characterise` on the samples ``seed`` … ``seed + samples - 1`` of `SampleSpread`.

    progress : given the result so far, after each sample

    Returns ``metrics``: of each quantity and condition the relative error, and how many of its
    own standard deviations that is; and all ``runs``.
    """
    runs: list[dict[str, Any]] = []
    model = MovieClassifier()
    for name, (temperature_K, noise) in CONDITIONS.items():
        for number in range(samples):
            sample = SampleSpread().draw(seed + number)
            runs.append(_one(sample, seed + number, name, temperature_K, noise, model))
            progress(_result(runs))
    return _result(runs)


def _result(runs: list[dict[str, Any]]) -> dict[str, Any]:
    metrics = [
        {"name": f"{quantity}, relative error, {name}", **_errors(runs, quantity, name)}
        for name in CONDITIONS
        for quantity in _REPORTED
    ]
    return {"machine": machine(), "metrics": metrics, "runs": runs}


def _one(
    sample: DrawnSample,
    seed: int,
    name: str,
    temperature_K: float,
    noise: float,
    model: MovieClassifier,
) -> dict[str, Any]:
    p = sample.parameters
    truth = {
        "damping": p.damping,
        "anisotropy_field_T": 2 * p.anisotropy_meV / p.moment_meV_per_T,
        "field_calibration": sample.field_calibration,
    }
    engine = RunEngine({}, call_returns_result=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        simulated_beamline(
            Path(folder),
            parameters=replace(p, temperature_K=temperature_K),
            model=model,
            imaging=Imaging(gaussian_noise=noise, seed=seed) if noise else None,
            field_calibration=sample.field_calibration,
            seed=seed,
        ) as line,
    ):
        result: Any = engine(characterise(line, twin_mean_sz))
        report = result.plan_result
    run: dict[str, Any] = {
        "sample_seed": seed,
        "condition": name,
        "truth": truth,
        "reason": report.reason,
        "pulses": report.emptied + report.shots,
    }
    if report.found:
        run["misfit"] = report.found.misfit
        run["estimates"] = {
            quantity: {"value": e.value, "deviation": e.deviation, "before": e.before}
            for quantity, e in report.found.estimates.items()
        }
    return run


def _errors(runs: list[dict[str, Any]], quantity: str, condition: str) -> dict[str, Any]:
    chosen = [run for run in runs if run["condition"] == condition and "estimates" in run]
    if not chosen:
        return {"samples": 0}
    value, deviation, before, truth = (
        np.array(numbers)
        for numbers in zip(
            *((*run["estimates"][quantity].values(), run["truth"][quantity]) for run in chosen),
            strict=True,
        )
    )
    off = np.abs(value / truth - 1)
    return {
        "samples": len(chosen),
        "median": float(np.median(off)),
        "p90": float(np.percentile(off, 90)),
        "max": float(off.max()),
        "bias": float(np.mean(value / truth - 1)),
        "within_2_deviations": float(np.mean(np.abs(value - truth) <= 2 * deviation)),
        "baselines": {"before any shot": {"deviation": float(np.mean(before / truth))}},
    }
