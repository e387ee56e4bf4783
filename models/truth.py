"""What a movie is called when a classifier is taught or judged."""

import numpy as np

from skyctl.models.movie_set import MovieSet
from skyctl.simulators.topology import COLLAPSE, EMPTY, MIXED, ONE, SWITCHING, film_picture


def truth_of(movies: MovieSet) -> np.ndarray:
    """What happened in each movie of a full set, (movies,) str.

    ``movies.labels``, by charge, with the paper's rule on top that skyrmions with others or with
    domains are mixed: a film that switched holds one skyrmion and nothing else, not domains whose
    charges add up to one; one that collapsed holds nothing, not a domain on its way out over an
    edge. (Breathing is not held to this: with our open edges, all of it leaves a domain there.)

    Read off the last frame as it is: above 3 K its noise alone makes a film mixed.
    """
    truth = movies.labels
    for row in np.flatnonzero(np.isin(truth, (SWITCHING, COLLAPSE))).tolist():
        picture, _ = film_picture(movies.sz(row)[-1])
        if picture != (ONE if truth[row] == SWITCHING else EMPTY):
            truth[row] = MIXED
    return truth
