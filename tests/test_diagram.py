"""The classifier against the truth on simulated shots at θ = 40°, an angle it never trained on."""

from dataclasses import replace

import pytest

from skyctl.diagram import Diagram, classify_movie, filmed_shot, process_diagram
from skyctl.inference.model import MovieClassifier
from skyctl.pulse import Movie, Pulse
from skyctl.simulators.film import Film
from skyctl.simulators.movies import simulate

PAPER_MOVIE = Movie()
LONG_MOVIE = Movie(duration_ps=165)
LIVE_MOVIE = Movie(duration_ps=165, interval_ps=5)


@pytest.mark.parametrize(
    ("width", "process"), [(8, "breathing"), (28, "switching"), (40, "collapse")]
)
@pytest.mark.parametrize("movie", [PAPER_MOVIE, LONG_MOVIE, LIVE_MOVIE])
def test_the_papers_examples(width, process, movie):
    shot = filmed_shot(0.36, Pulse(width_ps=width), movie)
    truth, label, frames = classify_movie(iter(simulate(shot)), MovieClassifier())
    assert truth == label == process
    assert len(frames) == len(movie.times_ps)


def test_a_film_upside_down_gets_the_same_verdict():
    film = Film()
    film.set_skyrmion(background=1)
    shot = replace(
        filmed_shot(0.36, Pulse(width_ps=28, theta_deg=140), PAPER_MOVIE), start=film.spins
    )
    truth, label, _ = classify_movie(iter(simulate(shot)), MovieClassifier())
    assert truth == label == "switching"


def test_a_small_diagram_has_a_row_a_damping():
    seen = []
    result = process_diagram(40, [4, 40], [0.2, 0.36, 0.44], progress=lambda: seen.append(1))
    assert len(seen) == 6
    assert result.truth == [["B", "C"]] * 3
    assert result.agreement == (6, 6)


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
