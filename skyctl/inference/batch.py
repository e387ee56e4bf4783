"""Many movies side by side, a frame of each in one call."""

from collections.abc import Sequence

import numpy as np

from skyctl.inference.card import NOVELTY_OUTPUT
from skyctl.inference.model import MovieClassifier
from skyctl.inference.movie import MoviePlace
from skyctl.pulse import Pulse


class MovieBatch:
    """Many movies side by side, a frame of each in one call: what a GPU is for.

    model : its session and card are used, not its own movie; streams : how many movies

    ``novelty``, (streams,), as ``MovieClassifier.novelty`` of each.
    """

    def __init__(self, model: MovieClassifier, streams: int) -> None:
        self._model = model
        self._movies: list[MoviePlace | None] = [None] * streams
        self._hidden = np.zeros((streams, model.card.hidden), np.float32)
        self.novelty = np.full(streams, -np.inf)

    def begin(self, stream: int, first: np.ndarray, pulse: Pulse | None = None) -> None:
        """Forget the movie of one stream, as ``MovieClassifier.begin``."""
        self._movies[stream] = MoviePlace(self._model.card, first, pulse)
        self._hidden[stream] = 0
        self.novelty[stream] = -np.inf

    def step(self, frames: Sequence[np.ndarray | None], time_ps: float = 0.0) -> np.ndarray:
        """Probabilities, (streams, classes), after one more frame of S_z of each, (H, W).

        A stream whose frame is None stays where it is; its probabilities are NaN.
        Raises ValueError for a frame of a stream that was not begun.
        """
        card = self._model.card
        probabilities = np.full((len(self._hidden), len(card.classes)), np.nan, np.float32)
        those, seen = [], []
        for i, (frame, movie) in enumerate(zip(frames, self._movies, strict=True)):
            if frame is None:
                continue
            if movie is None:
                raise ValueError(f"stream {i}: a frame before `begin`")
            those.append(i)
            seen.append(movie.features(frame, time_ps))
        if not those:
            return probabilities
        outputs = self._model.session.run(
            self._model.outputs, {"features": np.stack(seen), "hidden": self._hidden[those]}
        )
        found = dict(zip(self._model.outputs, outputs, strict=True))
        probabilities[those], self._hidden[those] = found["probabilities"], found["next_hidden"]
        if NOVELTY_OUTPUT in found:
            self.novelty[those] = np.maximum(self.novelty[those], found[NOVELTY_OUTPUT][:, 0])
        return probabilities
