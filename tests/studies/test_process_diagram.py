"""The classifier against the truth on simulated shots at θ = 40°, an angle it never trained on."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.inference.model import MovieClassifier
from skyctl.models import scale_out
from skyctl.models.movie_set import MovieSet
from skyctl.pulse import FrameSchedule, Pulse
from skyctl.simulators.lattice.files import StateError
from skyctl.simulators.lattice.film import Film
from skyctl.simulators.lattice.movies import simulate
from skyctl.studies.process_diagram import Diagram, classify_movie, filmed_shot, process_diagram

PAPER_MOVIE = FrameSchedule()
LONG_MOVIE = FrameSchedule(duration_ps=165)
LIVE_MOVIE = FrameSchedule(duration_ps=165, interval_ps=5)


@pytest.mark.parametrize(
    ("width", "process"), [(8, "breathing"), (28, "switching"), (40, "collapse")]
)
@pytest.mark.parametrize("movie", [PAPER_MOVIE, LONG_MOVIE, LIVE_MOVIE])
def test_the_papers_examples(width, process, movie):
    shot = filmed_shot(0.36, Pulse(width_ps=width), movie)
    truth, label, frames = classify_movie(iter(simulate(shot)), shot, MovieClassifier())
    assert truth == label == process
    assert len(frames) == len(movie.times_ps)


def test_a_film_upside_down_gets_the_same_verdict():
    film = Film()
    film.set_skyrmion(background=1)
    shot = replace(
        filmed_shot(0.36, Pulse(width_ps=28, theta_deg=140), PAPER_MOVIE), start=film.spins
    )
    truth, label, _ = classify_movie(iter(simulate(shot)), shot, MovieClassifier())
    assert truth == label == "switching"


def test_a_small_diagram_has_a_row_a_damping():
    seen = []
    result = process_diagram(40, [4, 40], [0.2, 0.36, 0.44], progress=lambda: seen.append(1))
    assert len(seen) == 6
    assert result.truth == [["B", "C"]] * 3
    # At 4 ps and 0.36 the network takes the movie for one it does not know, by a hair.
    agree, cells = result.agreement
    assert (agree >= 5, cells) == (True, 6)


def test_movies_that_are_kept_are_not_simulated_again(tmp_path, monkeypatch):
    file = tmp_path / "diagram.h5"
    with pytest.raises(KeyboardInterrupt):
        process_diagram(40, [4, 40], [0.36], data=file, progress=_interrupt)
    with MovieSet(file) as movies:
        assert movies.missing() == [1]
    seen = []
    first = process_diagram(40, [4, 40], [0.36], data=file, progress=lambda: seen.append(1))
    assert len(seen) == 2
    assert first.truth == [["B", "C"]]
    assert first.classifier[0][1] == "C"
    with monkeypatch.context() as simulated:
        simulated.setattr(scale_out, "simulate_batch", lambda *_, **__: 1 / 0)
        assert process_diagram(40, [4, 40], [0.36], data=file) == first
    with pytest.raises(StateError, match=r"movie 0 with pulse.theta_deg 40.0, wanted 50.0"):
        process_diagram(50, [4, 40], [0.36], data=file)


def _interrupt():
    raise KeyboardInterrupt


def test_a_kept_movie_is_named_as_the_film_itself(tmp_path):
    """The file's S_z is rounded to 1/32767: not so that a verdict changes."""
    widths = [8, 28, 40]
    named = process_diagram(40, widths, [0.36], data=tmp_path / "diagram.h5").classifier
    with MovieSet(tmp_path / "diagram.h5") as movies:
        for row, width in enumerate(widths):
            shot = filmed_shot(0.36, Pulse(width_ps=width), PAPER_MOVIE)
            spins = simulate(shot)
            truth, label, _ = classify_movie(iter(spins), shot, MovieClassifier())
            assert movies.labels[row] == truth
            assert np.abs(movies.sz(row) - spins[:, 2]).max() < 1.6e-5
            assert named[0][row] == label[0].upper()


def test_agreement_counts_cells_with_a_process_and_abstention_mixed_ones():
    result = Diagram(40, [1, 2, 3], [0.1], [["B", "M", "M"]], [["C", "M", "S"]])
    assert result.agreement == (0, 1)
    assert result.abstention == (1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("movie", [PAPER_MOVIE, LONG_MOVIE, LIVE_MOVIE])
def test_the_whole_map_at_40_degrees(movie):
    alphas = [0.04, 0.08, 0.12, 0.20, 0.28, 0.36, 0.44, 0.52, 0.60]
    agree, cells = process_diagram(40, range(4, 49, 4), alphas, movie).agreement
    assert cells >= 60
    assert agree / cells >= 0.95
