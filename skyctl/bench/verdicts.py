"""Benchmark of classifiers: accuracy on movies nobody has seen, and how long a frame takes."""

import itertools
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.errors import ModelError
from skyctl.inference.features import frame_features, on_grid
from skyctl.inference.model import SHIPPED, MovieClassifier
from skyctl.inference.session import shipped_model
from skyctl.models.lives import FRAME_PS, Movies, fill_lives
from skyctl.process import PROCESS_OF, PROCESSES
from skyctl.pulse import Pulse

RATE = 100.0
"""Frames a second of the duty cycle: between two of them the caches are somebody else's."""
_STRIDE = 15
_NOISE = 0.5
_INTERVAL_PS = 5.0
_BLOCK = 25
_SEED = 77
_WARM_UP = 20


def classifier_table(
    models: Sequence[Path],
    lives: int = 14,
    frames: int = 500,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """A row for each model: the shipped ones, ``models``, and each with 8-bit weights as well.

    lives : how many are simulated to measure the accuracy (`skyctl.models.lives`), ten movies each;
        a model is asked for those of its own classes, a frame every 15 ps, on 50 × 50 cells, as the
        film is and at a noise of 0.5 a cell
    frames : timed at RATE, and in a hot loop

    Latency is one frame of 100 × 100 sites, features and ONNX Runtime, on one thread. The variants
    take turns, so that whatever else the machine does disturbs all of them.
    """
    with (
        tempfile.TemporaryDirectory(prefix="skyctl-") as folder,
        _variants(models, Path(folder)) as variants,
    ):
        say(f"simulating {lives} lives")
        movies = Movies.read(fill_lives(Path(folder) / "lives", lives, _SEED, judges=0))
        say("accuracy")
        rows = [
            {"model": name, "kB": model.path.stat().st_size // 1000, **_accuracy(model, movies)}
            for name, model in variants.items()
        ]
        say("latency")
        timed = _latency(list(variants.values()), frames)
    for row, latency in zip(rows, timed, strict=True):
        row.update(latency)
    return {"machine": machine(), "rate": RATE, "movies": len(movies), "results": rows}


@contextmanager
def _variants(models: Sequence[Path], folder: Path) -> Iterator[dict[str, MovieClassifier]]:
    """By name: each model as it is, and with 8-bit weights where the training extra is there."""
    try:
        from skyctl.models.classifier_export import quantise
    except ImportError:
        quantise = None
    found: dict[str, MovieClassifier] = {}
    for path in (*_shipped(), *models):
        model = MovieClassifier(path)
        kind = f"{path.stem}, {model.card.preprocessing}"
        found[f"{kind}, fp32"] = model
        if quantise:
            small = folder / f"{path.stem}-int8.onnx"
            quantise(path, small)
            found[f"{kind}, int8"] = MovieClassifier(small)
    yield found


def _shipped() -> list[Path]:
    """Classifiers among the models that come with skyctl; others are refused when loaded."""
    classifiers = []
    for path in sorted(shipped_model(SHIPPED).parent.glob("*.onnx")):
        try:
            MovieClassifier(path)
        except ModelError:
            continue
        classifiers.append(path)
    return classifiers


def _accuracy(model: MovieClassifier, movies: Movies) -> dict[str, float | None]:
    right: dict[str, list[bool]] = {"accuracy": [], "accuracy_noisy": []}
    for i, shot in enumerate(movies.shots):
        truth = PROCESSES[PROCESS_OF[movies.labels[i]]]
        if truth not in model.card.classes or model.card.preprocessing == "sorted":
            continue
        sz = shot.cells[::_STRIDE].astype(np.float32) / 127 - 1
        times_ps = np.arange(len(sz)) * _STRIDE * FRAME_PS
        right["accuracy"].append(_named(model, sz, times_ps, shot.pulse) == truth)
        noise = np.random.default_rng(i).normal(0, _NOISE, sz.shape)
        noisy = np.clip(sz + noise, -1, 1).astype(np.float32)
        right["accuracy_noisy"].append(_named(model, noisy, times_ps, shot.pulse) == truth)
    return {
        "asked": len(right["accuracy"]),
        **{name: float(np.mean(got)) if got else None for name, got in right.items()},
    }


def _named(model: MovieClassifier, sz: np.ndarray, times_ps: np.ndarray, pulse: Pulse) -> str:
    """The likeliest class at the end of a movie."""
    *_, last = model.watch(sz, times_ps.tolist(), pulse)
    return model.card.classes[int(np.argmax(last))]


def _latency(models: list[MovieClassifier], frames: int) -> list[dict[str, float]]:
    """p50 and p99 of one step in microseconds, of each model."""
    rng = np.random.default_rng(0)
    sz = np.clip(rng.normal(-0.9, 0.1, (100, 100)), -1, 1).astype(np.float32)

    clock = itertools.count()

    def step(model: MovieClassifier) -> float:
        time_ps = next(clock) * _INTERVAL_PS
        start = time.perf_counter_ns()
        model.step(sz, time_ps)
        return (time.perf_counter_ns() - start) / 1e3

    def extract(model: MovieClassifier) -> float:
        card = model.card
        start = time.perf_counter_ns()
        if card.preprocessing == "cells":
            on_grid(sz)
        else:
            frame_features(sz, card.features, card.preprocessing, 1.0)
        return (time.perf_counter_ns() - start) / 1e3

    hot = [[step(model) for _ in range(_WARM_UP + frames)][_WARM_UP:] for model in models]
    cold: list[list[float]] = [[] for _ in models]
    for first in range(0, frames, _BLOCK):
        for model, taken in zip(models, cold, strict=True):
            for _ in range(min(_BLOCK, frames - first)):
                time.sleep(1 / RATE)
                taken.append(step(model))
    extraction = [[extract(model) for _ in range(frames)] for model in models]
    return [
        {
            "features_us": float(np.median(e)),
            "hot_p50_us": float(np.median(h)),
            "p50_us": float(np.median(c)),
            "p99_us": float(np.quantile(c, 0.99)),
        }
        for e, h, c in zip(extraction, hot, cold, strict=True)
    ]
