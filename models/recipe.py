"""From lives to a model file and its card: training, calibration, test."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from skyctl.belief import Reliability
from skyctl.inference.model import MovieClassifier
from skyctl.inference.rules import Rules, Validity
from skyctl.models import calibration
from skyctl.models.calibration import Early, Novelty, Watched
from skyctl.models.card_text import model_card
from skyctl.models.classifier import FilmWatcher
from skyctl.models.classifier_export import export_classifier
from skyctl.models.lives import BROAD, Lives, Movies
from skyctl.models.training import (
    LATEST_PS,
    Batch,
    Settings,
    draw_batch,
    probabilities,
    train_classifier,
)
from skyctl.process import PROCESS_OF, PROCESSES, TRANSITIONS, process_probabilities

NOISES = (0.0, 0.2, 0.5, 1.0, 1.5)
"""Of a camera's pixels; what a model does is told for each."""
VALID = Validity(
    interval_ps=(0.1, 20.5), first_after_peak_ps=-LATEST_PS, noise=1.7, pixels=20, level=0.2
)
_BATCH = 64
_NOVELTY_FRAMES = 10_000
"""First ones, and others."""
_LEAST_WRONG = 0.002


def batches(
    movies: Movies, seed: int, noise: float | None = None
) -> Iterator[tuple[np.ndarray, Batch]]:
    """Each movie once, by a random camera at a random interval: (index (B,), batch)."""
    rng = np.random.default_rng(seed)
    generator = torch.Generator().manual_seed(seed)
    order = rng.permutation(len(movies))
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        yield chosen, draw_batch(movies.at(chosen), rng, generator, noise)


def watch(network: FilmWatcher, movies: Movies, seed: int, noise: float | None = None) -> Watched:
    """Show each movie to the network once; ``seed`` and ``noise`` as ``batches``'s."""
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]] = []
    for chosen, batch in batches(movies, seed, noise):
        first = (batch.times_ps < batch.peak_ps[:, None]).sum(axis=1)
        parts.append((chosen, probabilities(network, batch), batch.there.sum(axis=1), first))
    longest = max(p.shape[1] for _, p, _, _ in parts)
    transitions = np.zeros((len(movies), longest, TRANSITIONS), np.float32)
    frames, firsts = np.zeros((2, len(movies)), int)
    for chosen, p, count, first in parts:
        transitions[chosen, : p.shape[1]] = p
        frames[chosen], firsts[chosen] = count, first
    return Watched(transitions, movies.labels, frames, np.minimum(firsts, frames - 1))


def calibrate(
    network: FilmWatcher, training: Movies, held_out: Movies
) -> tuple[Rules, Novelty, Early, Reliability]:
    """Fit temperature (in ``network``), conformal sets, early stopping, novelty, and what a verdict
    is worth. Each movie of ``held_out`` counts once, by one camera; all but the novelty is fitted
    to narrow lives, which are what the loop sees."""
    loops = held_out.at(held_out.lives >= BROAD)
    seen = watch(network, loops, seed=1)
    network.temperature.fill_(
        calibration.fit_temperature(np.log(np.maximum(seen.last, 1e-12)), seen.labels)
    )
    seen = watch(network, loops, seed=1)
    processes = PROCESS_OF[seen.labels]
    floors = calibration.conformal_floors(process_probabilities(seen.last), processes)
    early = calibration.fit_early(seen, floors)
    novelty = fit_novelty(network, training, held_out)
    rules = Rules(
        least=floors,
        coverage=calibration.COVERAGE,
        early=early.threshold,
        early_wrong=calibration.EARLY_WRONG,
        confidence=calibration.CONFIDENCE,
        novelty=novelty.limit,
        steady=calibration.STEADY,
    )
    return rules, novelty, early, reliability(seen, rules, training)


def reliability(seen: Watched, rules: Rules, training: Movies) -> Reliability:
    """What verdicts of calibration movies are worth, and how often each transition was learned.

    The probabilities of a verdict that is not sure are taken at their word: they are calibrated.
    """
    _, at = calibration.stop_at(seen, rules.least, rules.early)
    p = seen.transitions[np.arange(len(at)), at]
    inside = process_probabilities(p) >= np.array(rules.least)
    named = inside.sum(axis=1) == 1
    sure = named & (p.max(axis=1) >= (rules.early or 1.0))
    wrong = p[sure].argmax(axis=1) != seen.labels[sure]
    counts = np.bincount(training.labels, minlength=TRANSITIONS) + 1.0
    return Reliability(
        wrong=max(float((wrong.sum() + 1) / (sure.sum() + 2)), _LEAST_WRONG),
        abstains=float(((~named).sum() + 1) / (len(named) + 2)),
        base=tuple((counts / counts.sum()).tolist()),
    )


def fit_novelty(network: FilmWatcher, training: Movies, held_out: Movies) -> Novelty:
    """Learn what frames look like from ``training``, and how far ``held_out`` movies go."""
    looked = [_looked(network, batch) for _, batch in batches(training, seed=2)]
    frames = np.concatenate([x[there] for x, there in looked])
    network.mean.copy_(torch.from_numpy(frames.mean(axis=0)))
    network.deviation.copy_(torch.from_numpy(np.maximum(frames.std(axis=0), 0.05)))
    first = np.concatenate([_firsts(there)[there] for _, there in looked])
    rng = np.random.default_rng(0)
    chosen = np.concatenate(
        [rng.permutation(np.flatnonzero(those))[:_NOVELTY_FRAMES] for those in (first, ~first)]
    )
    novelty = Novelty.fit(_standardised(network, frames[chosen]), first[chosen])
    return novelty.limited(most_novel(network, novelty, held_out))


def most_novel(network: FilmWatcher, novelty: Novelty, movies: Movies) -> np.ndarray:
    """The surprise of the most surprising frame of each movie, (n,)."""
    most = np.zeros(len(movies))
    for chosen, batch in batches(movies, seed=3):
        looked, there = _looked(network, batch)
        surprise = np.full(there.shape, -np.inf)
        x = _standardised(network, looked[there])
        surprise[there] = novelty.surprise(x, _firsts(there)[there])
        most[chosen] = surprise.max(axis=1)
    return most


@torch.no_grad()
def _looked(network: FilmWatcher, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """What the convolutions make of each frame, (B, T, k), and which are there."""
    features = batch.features
    looked = network.look(features.flatten(0, 1)).unflatten(0, features.shape[:2])
    return looked.numpy(), batch.there


@torch.no_grad()
def _standardised(network: FilmWatcher, looked: np.ndarray) -> np.ndarray:
    x = (torch.from_numpy(looked) - network.mean) / network.deviation
    return x.clamp(-8.0, 8.0).numpy()


def _firsts(there: np.ndarray) -> np.ndarray:
    first = np.zeros_like(there)
    first[:, 0] = True
    return first


def judge(network: FilmWatcher, rules: Rules, novelty: Novelty, test: Movies) -> dict[str, Any]:
    """What a calibrated network does on lives it never met, for card and ``--json``.

    Random intervals, first frames and cameras; and the same at each of NOISES, of all lives and of
    the narrow ones alone.
    """
    seen = watch(network, test, seed=4)
    loops = test.at(test.lives >= BROAD)
    return {
        "movies": len(test),
        **_figures(seen, rules),
        "loops": {
            f"{noise:g}": _figures(watch(network, loops, seed=5, noise=noise), rules)
            for noise in NOISES
        },
        "novel": float((most_novel(network, novelty, test) > rules.novelty).mean()),
        "by_noise": {
            f"{noise:g}": _figures(watch(network, test, seed=5, noise=noise), rules)
            for noise in NOISES
        },
    }


def _figures(seen: Watched, rules: Rules) -> dict[str, Any]:
    p = process_probabilities(seen.last)
    truth = PROCESS_OF[seen.labels]
    size = len(PROCESSES)
    inside = p >= np.array(rules.least)
    named = inside.sum(axis=1) == 1
    says = np.where(named, inside.argmax(axis=1), -1)
    confusion = np.zeros((size, size + 1), int)
    np.add.at(confusion, (truth, says), 1)
    right = says == truth
    early, _ = calibration.stop_at(seen, rules.least, rules.early)

    def by_class(values: np.ndarray) -> dict[str, float]:
        return dict(zip(PROCESSES, values.tolist(), strict=True))

    counts = np.bincount(truth, minlength=size)
    return {
        "accuracy": float((p.argmax(axis=1) == truth).mean()),
        "transitions_right": float((seen.last.argmax(axis=1) == seen.labels).mean()),
        "named": float(named.mean()),
        "accuracy_named": float(right[named].mean()) if named.any() else 1.0,
        "recall": by_class(confusion.diagonal() / np.maximum(counts, 1)),
        "recall_of_named": by_class(
            confusion.diagonal() / np.maximum(confusion[:, :size].sum(axis=1), 1)
        ),
        "coverage": by_class(
            np.array([inside[truth == c, c].mean() if counts[c] else 1.0 for c in range(size)])
        ),
        "confusion": confusion.tolist(),
        "calibration_error": calibration.calibration_error(p, truth),
        "early": {**asdict(early), "wrong_of_stopped": early.wrong / max(early.stopped, 1e-9)},
    }


def make_classifier(
    lives: Lives,
    out: Path,
    *,
    settings: Settings | None = None,
    device: Literal["cpu", "cuda"] = "cpu",
    command: str = "skyctl train classifier",
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> dict[str, Any]:
    """Train on lives, calibrate, test, and write ``out`` (.onnx) and its card.

    A checkpoint lies beside ``out`` until it is written: run again after a kill, it goes on.
    ``progress`` gets what is done, how much of it, and of how much.

    Raises ModelError for a model that ONNX Runtime computes differently, or a foreign checkpoint,
    ValueError for lives that lack a kind of film.
    """
    settings = settings or Settings()
    progress("reading lives", 0, len(lives))
    movies = Movies.read(lives)
    training, held_out, test = map(movies.part, ("training", "calibration", "test"))
    checkpoint = out.with_suffix(".checkpoint")

    def trained(epoch: int, accuracy: float) -> None:
        what = f"training ({accuracy:.1%} of held-out movies)"
        progress(what, epoch, settings.epochs * settings.cycles)

    network, report = train_classifier(
        training, settings, device=device, checkpoint=checkpoint, progress=trained
    )
    rules, novelty, early, worth = calibrate(network, training, held_out)
    parity = export_classifier(
        network,
        out,
        classes=PROCESSES,
        preprocessing="cells",
        data_sha256=movies.content_sha256,
        rules=rules,
        novelty=novelty,
        valid=VALID,
        reliability=worth,
    )
    card = MovieClassifier(out).card
    truth = PROCESS_OF[movies.labels]
    results = {
        "settings": asdict(settings),
        "lives": len(lives),
        "movies": {name: int((truth == i).sum()) for i, name in enumerate(PROCESSES)},
        "training_movies": len(training),
        "calibration_movies": len(held_out),
        "training": asdict(report),
        "temperature": float(network.temperature),
        "rules": asdict(rules),
        "valid": asdict(VALID),
        "reliability": asdict(worth),
        "early_on_calibration": asdict(early),
        "test": judge(network, rules, novelty, test),
        "parity": parity,
        "file_sha256": card.file_sha256,
        "data_sha256": card.data_sha256,
        "command": command,
    }
    out.with_suffix(".md").write_text(model_card(card, results))
    checkpoint.unlink(missing_ok=True)
    return results
