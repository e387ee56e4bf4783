"""The classifier's ONNX session: a frame in, probabilities out, the hidden state carried along."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from skyctl.errors import ModelError
from skyctl.inference.card import NOVELTY_OUTPUT, TRANSITIONS_OUTPUT, ModelCard, read_card
from skyctl.inference.features import background_sign, frame_features
from skyctl.inference.movie import MoviePlace
from skyctl.inference.session import open_session, read_model, shipped_model, try_once
from skyctl.plugins import load, offered
from skyctl.process import PROCESS_OF, PROCESSES, TRANSITIONS, transition_probabilities
from skyctl.pulse import Pulse

SHIPPED = "skyrmion-process"
"""Name of the classifier that comes with skyctl."""


def model_file(name: Path | str, here: Path = Path()) -> Path:
    """Where a classifier is: what a package offers under this name as "skyctl.models" (a function
    that returns a path), or else the file of this name, seen from ``here``.

    Raises PluginError for a package that is broken.
    """
    if str(name) in offered("models"):
        return Path(load("models", str(name))())
    return here / name


class MovieClassifier:
    """An ONNX Runtime session of the recurrent classifier, and its place in a movie.

    path : the ``.onnx`` file, or the name of another package's; None is the shipped one
    provider : "cpu" or "cuda"; what the session really got is in ``provider``

    Raises ModelError for a file that is missing, not ONNX, or not such a classifier, and for a
    provider that this machine does not give (there is no silent fall-back).
    """

    def __init__(self, path: Path | str | None = None, provider: str = "cpu") -> None:
        self.path = model_file(path) if path else shipped_model(SHIPPED)
        remedy = "Give the path of an .onnx file, or leave --model out for the shipped one."
        content = read_model(self.path, "model", remedy)
        self.session = open_session(content, self.path, provider)
        self.provider: str = self.session.get_providers()[0]
        self.card = read_card(self.session, self.path, hashlib.sha256(content).hexdigest())
        _try_one_step(self.session, self.card, self.path)
        there = {output.name for output in self.session.get_outputs()}
        self.outputs = ["probabilities", "next_hidden"]
        self.outputs += [name for name in (TRANSITIONS_OUTPUT, NOVELTY_OUTPUT) if name in there]
        self._probabilities = np.full(len(self.card.classes), 1 / len(self.card.classes))
        self.begin(-np.ones((self._least_pixels, self._least_pixels), np.float32))

    @property
    def _least_pixels(self) -> int:
        return self.card.valid.pixels if self.card.valid else 2

    def begin(self, first: np.ndarray, pulse: Pulse | None = None) -> None:
        """Forget the movie; the next one has this first frame, S_z (H, W).

        The film is turned so that the background of that frame is down.
        pulse : whose movie it is; a model that reads the clock counts from its peak
        """
        self.background = int(background_sign(first))
        self._movie = MoviePlace(self.card, first, pulse)
        self._hidden = np.zeros((1, self.card.hidden), np.float32)
        self.novelty = -math.inf
        """Of the most foreign frame of the movie so far; -infinity where the model has none."""
        self.transitions = np.full(TRANSITIONS, 1 / TRANSITIONS)
        """What the film was and what it becomes (`skyctl.process`), as of the last frame."""
        self.outside = ""
        """Why the movie is none that the model is valid for, or ""."""
        self._sure_of, self._steady = -1, 0

    def step(self, sz: np.ndarray, time_ps: float = 0.0) -> np.ndarray:
        """Probabilities, (classes,), after one more frame of S_z, (H, W), finite.

        time_ps : of the frame, in the movie. A frame that comes too soon after the last one that
        was looked at (``LEAST_INTERVAL_PS``) is passed over by a model that reads the clock.
        """
        movie = self._movie
        fault, due = movie.admits(sz, time_ps)
        self.outside = self.outside or fault
        if not due:
            return self._probabilities
        outputs = self.session.run(
            self.outputs,
            {"features": movie.features(sz, time_ps)[None], "hidden": self._hidden},
        )
        found = dict(zip(self.outputs, outputs, strict=True))
        self._hidden = found["next_hidden"]
        if NOVELTY_OUTPUT in found:
            self.novelty = max(self.novelty, float(found[NOVELTY_OUTPUT][0, 0]))
        self._probabilities = found["probabilities"][0]
        self.transitions = (
            found[TRANSITIONS_OUTPUT][0]
            if TRANSITIONS_OUTPUT in found
            else transition_probabilities(self.card.classes, self._probabilities)
        )
        self._count_sure()
        return self._probabilities

    def _count_sure(self) -> None:
        """Count the frames in a row that are sure of one transition."""
        best, rules = int(self.transitions.argmax()), self.card.rules
        level = rules.early if rules else None
        sure = level is not None and bool(self.transitions[best] >= level)
        self._steady = self._steady * (best == self._sure_of) + 1 if sure else 0
        self._sure_of = best

    def watch(
        self, images: Iterable[np.ndarray], times_ps: Iterable[float], pulse: Pulse | None = None
    ) -> Iterator[np.ndarray]:
        """Probabilities, (classes,), after each frame of a whole movie; arguments as ``begin``'s
        and ``step``'s."""
        for index, (sz, time_ps) in enumerate(zip(images, times_ps, strict=False)):
            if index == 0:
                self.begin(sz, pulse)
            yield self.step(sz, time_ps)

    @property
    def is_novel(self) -> bool:
        """Whether the movie so far is none the network can know."""
        rules = self.card.rules
        return bool(self.outside) or (rules is not None and not self.novelty <= rules.novelty)

    def label(self, probabilities: np.ndarray) -> str | None:
        """The class that these probabilities name, or None: the network abstains.

        By the model's rules, and then never in a movie that is novel; without rules, the class at
        or above the threshold.
        """
        card = self.card
        if card.rules is None:
            best = int(np.argmax(probabilities))
            return card.classes[best] if probabilities[best] >= card.threshold else None
        named = None if self.is_novel else card.rules.named(probabilities)
        return None if named is None else card.classes[named]

    def may_stop(self, probabilities: np.ndarray, after_peak_ps: float) -> bool:
        """Whether a frame ``after_peak_ps`` after the pulse's peak with these probabilities need
        wait for no other: its class is named, and one transition so likely, in so many frames in a
        row, that the rules let it stand."""
        rules = self.card.rules
        if rules is None or rules.early is None or after_peak_ps < 0:
            return False
        best = int(self.transitions.argmax())
        return (
            bool(self.transitions[best] >= rules.early)
            and self._steady >= rules.steady
            and self.label(probabilities) == PROCESSES[PROCESS_OF[best]]
        )


def _try_one_step(session: Any, card: ModelCard, path: Path) -> None:
    """A graph may have the right names and sizes and still not take a frame."""
    frame = {
        "features": np.zeros((1, card.features), np.float32),
        "hidden": np.zeros((1, card.hidden), np.float32),
    }
    # Compiles the loops of the features, seconds that no movie should wait for.
    blank = -np.ones((50, 50), np.float32)
    if card.preprocessing == "shape":
        frame["features"][0] = frame_features(blank, card.features, "shape")
    elif card.preprocessing == "cells":
        frame["features"][0] = MoviePlace(card, blank, None).features(blank, 0.0)
    try:
        probabilities, hidden = try_once(session, ["probabilities", "next_hidden"], frame)
        fits = probabilities.shape == (1, len(card.classes)) and hidden.shape == (1, card.hidden)
        if not fits or not np.isfinite(probabilities).all():
            raise ValueError(f"it gives {probabilities} and a state of shape {hidden.shape}")
    except Exception as error:  # onnxruntime raises its own classes straight from Exception
        raise ModelError(
            f"model {path}: cannot take one frame ({error}). Export it again with "
            "`skyctl train classifier`."
        ) from error
