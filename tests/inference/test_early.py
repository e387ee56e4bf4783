"""A verdict that ends a movie early, at cameras faster than those the rule was fitted to."""

import itertools

import pytest

from skyctl.inference.model import MovieClassifier
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.lattice.movies import simulate_batch
from skyctl.studies.process_diagram import filmed_shot


@pytest.mark.slow
def test_an_early_verdict_is_the_last_one_however_fast_the_camera():
    movie = FrameSchedule(duration_ps=165, interval_ps=1)
    cells = itertools.product((0.2, 0.36), (6, 10, 16, 24, 28, 32, 40, 46))
    shots = [filmed_shot(damping, Pulse(width_ps=width), movie) for damping, width in cells]
    movies = list(simulate_batch(shots, lambda shot, frames: [spins[2] for spins in frames][:-1]))
    model = MovieClassifier()
    for every_ps in (1, 2, 5, 10):
        ended = []
        for sz, shot in zip(movies, shots, strict=True):
            early = None
            model.begin(sz[0], shot.pulse)
            for time_ps in range(0, 166, every_ps):
                probabilities = model.step(sz[time_ps], float(time_ps))
                if early is None and model.may_stop(probabilities, time_ps - 40.0):
                    early = model.label(probabilities)
            if early is not None:
                ended.append((early, model.label(probabilities)))
        assert len(ended) >= 8
        assert all(early == last for early, last in ended), (every_ps, ended)
