"""Process diagrams: one simulated shot a cell of pulse width × damping, named twice."""

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from skyctl.inference.model import MovieClassifier
from skyctl.inference.paper_label import paper_label
from skyctl.inference.pixels import into_gaps
from skyctl.models.movie_set import MovieSet
from skyctl.models.scale_out import fill
from skyctl.process import LETTERS, MIXED, letter_of
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import MovieSpec, process_in

TRUTH_PS = 165.0
"""Movie time at which topology names the process."""
_MIXED = LETTERS[MIXED]


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
        pairs = [(truth, named) for truth, named in self._cells() if truth != _MIXED]
        return sum(truth == named for truth, named in pairs), len(pairs)

    @property
    def abstention(self) -> tuple[int, int]:
        """Cells the classifier leaves unnamed, of those that are mixed in truth."""
        mixed = [named for truth, named in self._cells() if truth == _MIXED]
        return mixed.count(_MIXED), len(mixed)

    def _cells(self) -> list[tuple[str, str]]:
        return list(zip(chain(*self.truth), chain(*self.classifier), strict=True))


def classify_movie(
    frames: Iterator[np.ndarray], shot: MovieSpec, model: MovieClassifier
) -> tuple[str, str | None, list[np.ndarray]]:
    """Name what a film does: (truth, classifier's label or None, the frames it saw).

    frames : (3, H, W) each, of ``shot``, the first at 0 ps; the last is for the truth alone
    """
    *seen, last = frames
    label = _classify((spins[2] for spins in seen), shot, model)
    return process_in(shot, seen[0], last), label, seen


def _classify(images: Iterable[np.ndarray], shot: MovieSpec, model: MovieClassifier) -> str | None:
    """The classifier's label at the end of a movie; images of S_z, (H, W).

    Where there are no sites it is shown the nearest, as of the pixels that a camera lacks.
    """
    shown = list(images)
    if shot.sites is not None:
        shown = list(map(into_gaps(~shot.sites), shown))
    *_, last = model.watch(shown, shot.times_ps, shot.pulse)
    return paper_label(model, last, shown[-1])


def filmed_shot(
    damping: float,
    pulse: Pulse,
    movie: FrameSchedule,
    film: FilmParameters | None = None,
    sites: np.ndarray | None = None,
) -> MovieSpec:
    """A movie of a film with one skyrmion, and a last frame when topology names the process.

    film, sites : whatever its damping; None is the default one, and all of it
    """
    times = movie.times_ps
    own = replace(film or FilmParameters(), damping=damping)
    return MovieSpec(own, [*times, max(TRUTH_PS, times[-1])], pulse, sites=sites)


def process_diagram(
    theta: float,
    widths: Sequence[float],
    alphas: Sequence[float],
    movie: FrameSchedule | None = None,
    model: Path | None = None,
    progress: Callable[[], None] = lambda: None,
    *,
    pulse: Pulse | None = None,
    film: FilmParameters | None = None,
    sites: np.ndarray | None = None,
    data: Path | None = None,
    scheduler: str | None = None,
) -> Diagram:
    """Simulate the grid and name its cells; ``progress`` is called for each whose movie is there.

    Each cell starts from a relaxed skyrmion and gets a 2 T pulse at polar angle ``theta``, or
    another ``pulse``, of that angle and the cell's width, at another ``film`` with these ``sites``.
    ``data`` keeps the movies in that file, and takes from it those it has; ``scheduler`` as
    ``scale_out.fill``'s.

    Raises ModelError for the model, ValueError for pulses and films that cannot be, StateError for
    a file of other movies, ScaleOutError and OSError as ``fill``.
    """
    filmed = movie or FrameSchedule()
    classifier = MovieClassifier(model)  # a missing model is said before an hour of simulation
    shots = [
        filmed_shot(alpha, _of_width(pulse, theta, width), filmed, film, sites)
        for alpha in alphas
        for width in widths
    ]
    with tempfile.TemporaryDirectory(prefix="skyctl-") as folder:
        file = data or Path(folder) / "diagram.h5"
        with MovieSet.plan(file, shots, precision="f8") as movies:
            for _ in range(len(movies) - len(movies.missing())):
                progress()
            fill(movies, scheduler=scheduler, progress=progress)
            truth = [letter_of(label) for label in movies.labels]
            named = [
                letter_of(_classify(movies.sz(row)[:-1], shots[row], classifier))
                for row in range(len(movies))
            ]
    return Diagram(
        theta=theta,
        widths=[float(w) for w in widths],
        alphas=[float(a) for a in alphas],
        truth=_rows(truth, len(widths)),
        classifier=_rows(named, len(widths)),
    )


def _of_width(pulse: Pulse | None, theta: float, width: float) -> Pulse:
    told = pulse.model_dump() if pulse else {}
    return Pulse.model_validate({**told, "width_ps": width, "theta_deg": theta})


def _rows(cells: list[str], columns: int) -> list[list[str]]:
    return [cells[i : i + columns] for i in range(0, len(cells), columns)]
