"""Benchmark of a latent network: a step, a thousand trajectories, and the film that it replaces."""

import statistics
import time
from typing import Any

import numpy as np

from skyctl.bench.machine import ROUNDS, machine
from skyctl.inference.latent_film import LatentFilm
from skyctl.simulators.thin.film import SP4_FIELDS_T, ThinFilm, ThinFilmParameters, s_state

_BATCH, _STEPS, _SINGLE = 1000, 100, 2000


def latent_speed(network: LatentFilm, film: ThinFilmParameters) -> dict[str, Any]:
    """CPU seconds on one thread, medians of ROUNDS, network and film in turns.

    ``step_us`` : of one trajectory, by all members, with ⟨m⟩
    ``batch_s`` : a thousand trajectories of a hundred steps with ⟨m⟩ in each
    ``film_ms`` : the film's own 10 ps, of 1 ns of standard problem 4, field 1
    """
    start, field = s_state(film), np.array(SP4_FIELDS_T[1], np.float32)
    z = network.encode(start[None])
    fields = np.broadcast_to(field, (_BATCH, _STEPS, 3)).copy()
    took: dict[str, list[float]] = {"step": [], "batch": [], "film": []}
    for _ in range(ROUNDS):
        one, given = z, field[None]
        began = time.process_time()
        for _ in range(_SINGLE):
            one, _ = network.step(one, given)
        took["step"].append((time.process_time() - began) / _SINGLE)
        began = time.process_time()
        network.imagine(z, fields)
        took["batch"].append(time.process_time() - began)
        thin = ThinFilm(film)
        thin.magnetisation = start
        began = time.process_time()
        for _ in thin.frames(SP4_FIELDS_T[1], (10.0 * np.arange(1, _STEPS + 1)).tolist()):
            pass
        took["film"].append((time.process_time() - began) / _STEPS)
    step, batch, own = (statistics.median(times) for times in took.values())
    return {
        "machine": machine(),
        "cells": film.rows * film.columns,
        "step_us": step * 1e6,
        "batch_s": batch,
        "film_ms": own * 1e3,
        "times_faster_alone": own / step,
        "times_faster_in_a_batch": own / (batch / _BATCH / _STEPS),
    }
