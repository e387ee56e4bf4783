"""What a classifier's verdict is called in the paper's terms (arXiv:1907.01814)."""

import numpy as np

from skyctl.errors import FilmUnreadable
from skyctl.inference.film_reader import read_film
from skyctl.inference.model import MovieClassifier
from skyctl.process import BREATHING, MIXED, transition

_KEPT = [transition("one", end, turned=False) for end in ("one", "other")]
_LEAST = 0.8
"""Probability from which the paper names a process."""


def paper_label(model: MovieClassifier, probabilities: np.ndarray, last: np.ndarray) -> str | None:
    """The label of a movie that ``model`` has watched to its ``last`` frame, S_z (H, W).

    A network of transitions calls a film that keeps its skyrmion and gains a domain at an edge
    mixed, for it no longer holds one skyrmion and nothing else; the paper calls it breathing. Where
    the film began with one skyrmion and kept its background in all likelihood, and the last frame
    shows one disc, it breathes.
    """
    label = model.label(probabilities)
    if label not in (None, MIXED) or model.is_novel or model.transitions[_KEPT].sum() < _LEAST:
        return label
    try:
        return BREATHING if read_film(last).discs == 1 else label
    except FilmUnreadable:
        return label
