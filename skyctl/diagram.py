"""Process diagrams: one simulated shot a cell of pulse width × damping, named twice."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from skyctl.inference.features import background_sign
from skyctl.inference.model import MovieClassifier
from skyctl.pulse import Movie, Pulse
from skyctl.simulators.film import Film, FilmParameters
from skyctl.simulators.topology import process_label

TRUTH_PS = 165.0
"""Movie time at which topology names the process."""
LETTERS = {"breathing": "B", "switching": "S", "collapse": "C"}


@dataclass(frozen=True)
class Diagram:
    """Labels over damping (rows) and pulse width (columns), as letters B, S, C, M.

    M of the truth is a mixed final state; M of the classifier is an abstention, or a class that
    a film with a skyrmion cannot have.
    """

    theta: float
    widths: list[float]
    alphas: list[float]
    truth: list[list[str]]
    classifier: list[list[str]]

    @property
    def agreement(self) -> tuple[int, int]:
        """Cells the classifier names as the truth does, of those that are B, S or C in truth."""
        pairs = [(truth, named) for truth, named in self._cells() if truth != "M"]
        return sum(truth == named for truth, named in pairs), len(pairs)

    @property
    def abstention(self) -> tuple[int, int]:
        """Cells the classifier leaves unnamed, of those that are mixed in truth."""
        mixed = [named for truth, named in self._cells() if truth == "M"]
        return mixed.count("M"), len(mixed)

    def _cells(self) -> list[tuple[str, str]]:
        return list(zip(chain(*self.truth), chain(*self.classifier), strict=True))


def classify_film(
    film: Film, pulse: Pulse, movie: Movie, model: MovieClassifier
) -> tuple[str, str | None, list[np.ndarray]]:
    """Fire at a film and name what happens: (truth, classifier's label or None, the frames).

    The truth is read ``TRUTH_PS`` into the movie, whenever the camera stops.
    """
    before = film.spins
    times = movie.times_ps
    *frames, last = film.frames(pulse, [*times, max(TRUTH_PS, times[-1])])
    model.reset(-background_sign(frames[0][2]))
    probabilities = np.zeros(len(model.card.classes))
    for spins in frames:
        probabilities = model.step(spins[2])
    return process_label(before, last), model.label(probabilities), frames


def process_diagram(
    theta: float,
    widths: Sequence[float],
    alphas: Sequence[float],
    movie: Movie | None = None,
    model: Path | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Diagram:
    """Simulate the grid on all cores; ``progress`` is called after each cell.

    Each cell starts from a relaxed skyrmion and gets a 2 T pulse at polar angle ``theta``.
    """
    filmed = movie or Movie()
    MovieClassifier(model)  # a missing model is said before an hour of simulation

    def cell(alpha: float, width: float) -> tuple[str, str]:
        film = Film(FilmParameters(damping=alpha))
        film.set_skyrmion()
        pulse = Pulse(width_ps=width, theta_deg=theta)
        truth, label, _ = classify_film(film, pulse, filmed, MovieClassifier(model))
        progress()
        return LETTERS.get(truth, "M"), LETTERS.get(label or "", "M")

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = [[pool.submit(cell, alpha, width) for width in widths] for alpha in alphas]
        rows = [[future.result() for future in row] for row in futures]
    return Diagram(
        theta=theta,
        widths=[float(w) for w in widths],
        alphas=[float(a) for a in alphas],
        truth=[[truth for truth, _ in row] for row in rows],
        classifier=[[label for _, label in row] for row in rows],
    )
