"""What a movie is called when a classifier is taught or judged."""

import numpy as np

from skyctl.inference.discs import film_state
from skyctl.models.movie_set import MovieSet
from skyctl.simulators.topology import MIXED, SWITCHING


def truth_of(movies: MovieSet) -> np.ndarray:
    """What happened in each movie of a full set, (movies,) str.

    ``movies.labels``, by charge, with a rule of the paper's (arXiv:1907.01814) on top: a film that
    switched is mixed when it holds anything beside its one skyrmion, or domains whose charges only
    add up to one. Breathing is not held to this: with open edges, all of it leaves a domain at one.
    """
    truth = movies.labels
    for row in np.flatnonzero(truth == SWITCHING).tolist():
        if not film_state(movies.sz(row)[-1]).has_one_skyrmion:
            truth[row] = MIXED
    return truth
