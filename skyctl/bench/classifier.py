"""Benchmark of classifiers: accuracy on movies nobody has seen, and how long a frame takes."""

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.bench.machine import machine
from skyctl.errors import ModelError
from skyctl.inference.features import background_sign, frame_features
from skyctl.inference.model import SHIPPED, MovieClassifier, shipped_model
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import fill
from skyctl.models.shots import classifier_shots
from skyctl.models.truth import truth_of
from skyctl.models.views import View

RATE = 100.0
"""Frames a second of the duty cycle: between two of them the caches are somebody else's."""
_STRIDE = 3
_BLOCK = 25
_SEED = 77
_WARM_UP = 20


def classifier_table(
    models: Sequence[Path],
    movies: int = 140,
    frames: int = 500,
    say: Callable[[str], None] = lambda what: None,
) -> dict[str, Any]:
    """A row for each model: the shipped ones, ``models``, and each with 8-bit weights as well.

    movies : how many are simulated to measure the accuracy; a model is asked for those of its own
        classes and size, a frame every 15 ps, as the film is and at 10 % noise and 4 × binning
    frames : timed at RATE, and in a hot loop

    Latency is one frame of 100 × 100 sites, features and ONNX Runtime, on one thread. The variants
    take turns, so that whatever else the machine does disturbs all of them.
    """
    with (
        tempfile.TemporaryDirectory(prefix="skyctl-") as folder,
        _variants(models, Path(folder)) as variants,
    ):
        say(f"simulating {movies} movies")
        with MovieSet.plan(
            Path(folder) / "movies.h5", list(classifier_shots(movies, _SEED))
        ) as set_:
            fill(set_)
            say("accuracy")
            rows = [
                {"model": name, "kB": model.path.stat().st_size // 1000, **_accuracy(model, set_)}
                for name, model in variants.items()
            ]
        say("latency")
        timed = _latency(list(variants.values()), frames)
    for row, latency in zip(rows, timed, strict=True):
        row.update(latency)
    return {"machine": machine(), "rate": RATE, "movies": movies, "results": rows}


@contextmanager
def _variants(models: Sequence[Path], folder: Path) -> Iterator[dict[str, MovieClassifier]]:
    """By name: each model as it is, and with 8-bit weights where the training extra is there."""
    try:
        from skyctl.models.export import quantise
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


def _accuracy(model: MovieClassifier, movies: MovieSet) -> dict[str, float | None]:
    from skyctl.simulators.imaging import Imaging

    truth = truth_of(movies)
    right: dict[str, list[bool]] = {"accuracy": [], "accuracy_binned": []}
    for row in range(len(movies)):
        sz = movies.sz(row)[::_STRIDE]
        side = sz.shape[1]
        sorts = model.card.preprocessing == "sorted"
        if truth[row] not in model.card.classes or (sorts and sz[0].size != model.card.features):
            continue
        right["accuracy"].append(_named(model, sz) == truth[row])
        if not sorts:
            imaging = Imaging(pixels=(side // 4, side // 4), gaussian_noise=0.1, seed=row)
            images = np.stack(list(View(imaging).images(sz)))
            right["accuracy_binned"].append(_named(model, images) == truth[row])
    return {
        "asked": len(right["accuracy"]),
        **{name: float(np.mean(got)) if got else None for name, got in right.items()},
    }


def _named(model: MovieClassifier, sz: np.ndarray) -> str:
    """The likeliest class at the end of a movie."""
    model.reset(-background_sign(sz[0]))
    probabilities = [model.step(frame) for frame in sz]
    return model.card.classes[int(np.argmax(probabilities[-1]))]


def _latency(models: list[MovieClassifier], frames: int) -> list[dict[str, float]]:
    """p50 and p99 of one step in microseconds, of each model."""
    rng = np.random.default_rng(0)
    sz = np.clip(rng.normal(-0.9, 0.1, (100, 100)), -1, 1).astype(np.float32)

    def step(model: MovieClassifier) -> float:
        start = time.perf_counter_ns()
        model.step(sz)
        return (time.perf_counter_ns() - start) / 1e3

    def extract(model: MovieClassifier) -> float:
        card = model.card
        start = time.perf_counter_ns()
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
