"""The mean S_z of an empty film under a pulse, from two strips and one spin."""

from dataclasses import replace

import numpy as np

from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import Film, FilmParameters
from skyctl.simulators.physics.pulsed_film import check_times

_BEGINS_WIDTHS = 6.0
"""How many of its widths before its peak a pulse begins to act: 1.5e-8 of the peak."""


def empty_film_mean_sz(
    parameters: FilmParameters, delivered: Pulse, times_ps: np.ndarray
) -> np.ndarray:
    """Mean S_z (frames,) of a film that points along -z, relaxed, at ``times_ps`` after the start.

    While nothing nucleates, the film moves as one spin, and its edges, which the DMI tilts, as
    those of an infinitely long strip: mean = strip along x + strip along y - one spin. Against the
    film of 100 × 100 sites that is right to 5e-4 for pulses of 3 T at 110° and up to 3 ps, and some
    hundred times quicker. Temperature and pinning are left out; a periodic film is one spin.

    delivered : the pulse as the film gets it (``DrawnSample.delivered``)

    Raises ValueError for a pulse with a spot, and for times that do not ascend from 0.
    """
    if delivered.spot:
        raise ValueError(
            f"pulse {delivered}: a spot moves one place only; give one on the whole film"
        )
    check_times(list(times_ps))
    film = replace(parameters, temperature_K=0.0)
    parts = [(1, 1, -1.0), (1, film.columns, 1.0), (film.rows, 1, 1.0)]
    if film.periodic:
        parts = [(1, 1, 1.0)]
    mean = np.zeros(len(times_ps))
    for rows, columns, sign in parts:
        part = Film(replace(film, rows=rows, columns=columns, periodic=False))
        mean += sign * _mean_sz(part, delivered, np.asarray(times_ps, float))
    return mean


def _mean_sz(film: Film, pulse: Pulse, times_ps: np.ndarray) -> np.ndarray:
    """At rest until the pulse begins to act; only from then on is there anything to compute."""
    film.relax()
    begin_ps = max(0.0, pulse.peak_ps - _BEGINS_WIDTHS * pulse.width_ps)
    still = int(np.searchsorted(times_ps, begin_ps, side="right"))
    rest = film.spins[2].mean()
    late = pulse.model_copy(update={"peak_ps": pulse.peak_ps - begin_ps})
    moving = [spins[2].mean() for spins in film.frames(late, list(times_ps[still:] - begin_ps))]
    return np.concatenate([np.full(still, rest), moving])
