"""Process diagrams: one simulated shot a cell of pulse width × damping, named twice."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from skyctl.inference.features import background_sign
from skyctl.inference.model import MovieClassifier
from skyctl.pulse import Movie, Pulse
from skyctl.simulators.film import FilmParameters
from skyctl.simulators.movies import Shot, simulate_batch
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


def classify_movie(
    frames: Iterator[np.ndarray], model: MovieClassifier
) -> tuple[str, str | None, list[np.ndarray]]:
    """Name what a film does: (truth, classifier's label or None, the frames it saw).

    frames : (3, H, W) each, the first at 0 ps; the last is for the truth alone
    """
    *seen, last = frames
    model.reset(-background_sign(seen[0][2]))
    probabilities = np.zeros(len(model.card.classes))
    for spins in seen:
        probabilities = model.step(spins[2])
    return process_label(seen[0], last), model.label(probabilities), seen


def filmed_shot(damping: float, pulse: Pulse, movie: Movie) -> Shot:
    """A movie of a film with one skyrmion, and a last frame when topology names the process."""
    times = movie.times_ps
    return Shot(FilmParameters(damping=damping), [*times, max(TRUTH_PS, times[-1])], pulse)


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

    def name(shot: Shot, frames: Iterator[np.ndarray]) -> tuple[str, str]:  # noqa: ARG001
        truth, label, _ = classify_movie(frames, MovieClassifier(model))
        return LETTERS.get(truth, "M"), LETTERS.get(label or "", "M")

    cells = []
    shots = [
        filmed_shot(alpha, Pulse(width_ps=width, theta_deg=theta), filmed)
        for alpha in alphas
        for width in widths
    ]
    for cell in simulate_batch(shots, name, precision="f8"):
        cells.append(cell)
        progress()
    rows = [cells[i : i + len(widths)] for i in range(0, len(cells), len(widths))]
    return Diagram(
        theta=theta,
        widths=[float(w) for w in widths],
        alphas=[float(a) for a in alphas],
        truth=[[truth for truth, _ in row] for row in rows],
        classifier=[[label for _, label in row] for row in rows],
    )
