"""Training movies: simulated shots, labelled by topology."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from skyctl.inference.features import Preprocessing, frame_features
from skyctl.pulse import Movie, Pulse, Spot
from skyctl.simulators.film import FilmParameters
from skyctl.simulators.movies import Shot, simulate_batch
from skyctl.simulators.topology import MIXED, process_label

LABEL_AFTER_PEAK_PS = 125.0
"""A movie is labelled by its state this long after the peak (165 ps for a peak at 40 ps)."""
FRAME_PS = 5.0
CLASSES = ("breathing", "switching", "collapse", "nucleation", "nothing")
_CENTRE = 49.5
_REGIONS = (((2, 48), (0.03, 0.6)), ((2, 16), (0.03, 0.6)), ((24, 52), (0.03, 0.45)))
"""Where skyrmion shots are drawn from: ranges of pulse width (ps) and damping."""


@dataclass(frozen=True)
class Dataset:
    """Labelled movies.

    features : (movies, frames, count) float32, a frame every FRAME_PS from t = 0 to
        LABEL_AFTER_PEAK_PS after the latest peak
    frames : (movies,) frames of each movie that are filled
    peak_ps : (movies,) time of the pulse peak
    labels : (movies,) index into CLASSES, -1 for mixed
    """

    features: np.ndarray
    frames: np.ndarray
    peak_ps: np.ndarray
    labels: np.ndarray

    def save(self, path: Path) -> None:
        """Write the movies to an ``.npz`` file."""
        np.savez(path, **self.__dict__)

    @classmethod
    def load(cls, path: Path) -> "Dataset":
        """Read what ``save`` wrote. Raises ValueError when the file is something else."""
        try:
            with np.load(path) as file:
                return cls(**{name: file[name] for name in cls.__dataclass_fields__})
        except (OSError, KeyError, ValueError) as error:
            raise ValueError(
                f"training data {path}: not a skyctl data set ({error}); make it again with "
                "`skyctl train classifier`"
            ) from error


def training_shots(skyrmion: int, empty: int, seed: int) -> Iterator[Shot]:
    """Random shots to train on: θ near 50° at a film with a skyrmion, spots at an empty film.

    Pulse widths and damping cover the process map (4–48 ps, 0.04–0.6), with two shots in three
    where breathing, and where switching and collapse are. The peak time varies so that the
    network does not learn the clock; a fifth of the empty films get a uniform pulse.
    """
    rng = np.random.default_rng(seed)
    for i in range(skyrmion):
        widths, dampings = _REGIONS[i % len(_REGIONS)]
        damping, width_ps = rng.uniform(*dampings), rng.uniform(*widths)
        pulse = Pulse(width_ps=width_ps, theta_deg=50, peak_ps=rng.uniform(30, 60))
        yield training_shot(damping, pulse, "skyrmion")
    for _ in range(empty):
        uniform = rng.random() < 0.2
        spot = Spot(
            x=_CENTRE + rng.uniform(-15, 15), y=_CENTRE + rng.uniform(-15, 15),
            sigma=rng.uniform(4, 8),
        )  # fmt: skip
        damping = rng.uniform(0.1, 0.6)
        pulse = Pulse(
            amplitude_T=rng.uniform(0.5, 3) if uniform else rng.uniform(1, 12),
            width_ps=rng.uniform(4, 40) if uniform else rng.uniform(4, 28),
            theta_deg=rng.uniform(20, 60),
            peak_ps=rng.uniform(30, 60),
            spot=None if uniform else spot,
        )
        yield training_shot(damping, pulse, "empty")


def training_shot(
    damping: float, pulse: Pulse, start: Literal["skyrmion", "empty"] = "skyrmion"
) -> Shot:
    """A shot filmed from the start to LABEL_AFTER_PEAK_PS after the pulse's peak."""
    movie = Movie(duration_ps=pulse.peak_ps + LABEL_AFTER_PEAK_PS, interval_ps=FRAME_PS)
    return Shot(FilmParameters(damping=damping), movie.times_ps, pulse, start)


def labelled_features(
    frames: Iterator[np.ndarray], count: int, kind: Preprocessing = "quantiles"
) -> tuple[np.ndarray, int]:
    """A movie as (features (frames, count), label index or -1); its first frame is at 0 ps."""
    before = spins = next(frames)
    features = [frame_features(before[2], count, kind)]
    for spins in frames:
        features.append(frame_features(spins[2], count, kind))
    label = process_label(before, spins)
    return np.stack(features), -1 if label == MIXED else CLASSES.index(label)


def make_dataset(
    shots: list[Shot],
    count: int,
    kind: Preprocessing = "quantiles",
    threads: int = 2,
    device: Literal["cpu", "cuda"] = "cpu",
    progress: Callable[[], None] = lambda: None,
) -> Dataset:
    """Simulate ``shots`` on ``threads`` cores, or a CUDA device; ``progress`` after each."""
    movies = []
    for movie in simulate_batch(
        shots, lambda _, frames: labelled_features(frames, count, kind), threads=threads,
        device=device,
    ):  # fmt: skip
        movies.append(movie)
        progress()
    frames = np.array([len(features) for features, _ in movies])
    padded = np.zeros((len(movies), frames.max(), count), np.float32)
    for row, (features, _) in zip(padded, movies, strict=True):
        row[: len(features)] = features
    return Dataset(
        features=padded,
        frames=frames,
        peak_ps=np.array([shot.pulse.peak_ps if shot.pulse else 0.0 for shot in shots]),
        labels=np.array([label for _, label in movies]),
    )
