"""Grids, areas and agreement, on maps that are made up."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.studies.classifier_paper_movies import (
    PRESETS,
    Preset,
    ReproduceError,
    training_rows,
    training_shots,
)
from skyctl.studies.process_map import PAPER_PROCESSES, Agreement, Grid

B, S, C = PAPER_PROCESSES


def stripes(grid: Grid) -> np.ndarray:
    """Breathing, switching and collapse as three vertical areas, and two mixed cells."""
    labels = np.array([B] * grid.shape[1], dtype="<U16")
    third = grid.shape[1] // 3
    labels[third : 2 * third + 1] = S
    labels[2 * third + 1 :] = C
    rows = np.tile(labels, (grid.shape[0], 1))
    rows[0, 0] = rows[-1, -1] = "mixed"
    return rows.ravel()


def drawing(movies_per_class: int) -> Preset:
    """A preset that draws so many training movies from a map of Grid(2)."""
    return replace(PRESETS["quick"], selection=Grid(2), movies_per_class=movies_per_class)


def test_the_papers_grid_has_its_size_and_holds_the_points_that_it_names():
    grid = Grid()
    assert grid.shape == (40, 44)
    assert len(grid.shots([0.0], theta_deg=40)) == 1760
    for damping, width_ps in ((0.36, 8), (0.36, 28), (0.36, 40), (0.12, 40)):
        assert np.isclose(grid.dampings, damping).any()
        assert width_ps in grid.widths_ps


@pytest.mark.parametrize("stride", [1, 2, 3, 4, 6])
def test_a_coarser_grid_is_part_of_the_papers(stride):
    grid = Grid(stride)
    assert set(grid.widths_ps) <= set(Grid().widths_ps)
    assert set(grid.dampings) <= set(Grid().dampings)
    assert grid.cell == pytest.approx((0.015 * stride, stride))


def test_cells_count_row_by_row_and_get_what_was_asked_for():
    grid = Grid(6)
    shots = grid.shots([0.0, 165.0], theta_deg=30, temperature_K=1.5, peak_ps=60, seed=100)
    rows, columns = grid.shape
    shot = shots[2 * columns + 3]
    assert shot.parameters.damping == grid.dampings[2]
    assert shot.parameters.temperature_K == 1.5
    assert shot.pulse is not None
    assert (shot.pulse.width_ps, shot.pulse.theta_deg) == (grid.widths_ps[3], 30)
    assert (shot.pulse.peak_ps, shot.pulse.amplitude_T, shot.pulse.phi_deg) == (60, 2, 0)
    assert len({shot.seed for shot in shots}) == rows * columns, "noise of its own in each cell"


@pytest.mark.parametrize(("stride", "margin"), [(1, 2), (2, 1), (4, 1)])
def test_inside_is_where_all_cells_around_carry_the_same_label(stride, margin):
    grid = Grid(stride)
    rng = np.random.default_rng(0)
    labels = stripes(grid)
    labels[rng.integers(len(labels), size=5)] = "mixed"
    table = labels.reshape(grid.shape)
    expected = []
    for i, j in np.ndindex(grid.shape):
        rows, columns = (slice(max(k - margin, 0), k + margin + 1) for k in (i, j))
        expected.append(len(np.unique(table[rows, columns])) == 1)
    inside = grid.inside(labels)
    assert inside.tolist() == expected
    assert 0 < inside.sum() < len(labels)


def test_agreement_counts_processes_only():
    truth = np.array([B, B, S, C, "mixed", C])
    named = np.array([B, S, S, "", S, C])
    found = Agreement.count(truth, named)
    assert found == Agreement(right=3, wrong=1, unnamed=1)
    assert found.share == 3 / 5
    assert Agreement.count(truth, named, np.array([1, 0, 0, 1, 1, 0], bool)) == Agreement(1, 0, 1)
    assert Agreement.count(truth[4:5], named[4:5]).share is None


def test_a_mixed_label_of_a_classifier_is_wrong_on_a_process():
    assert Agreement.count(np.array([B]), np.array(["mixed"])) == Agreement(0, 1, 0)


def test_training_movies_come_from_the_inside_of_the_areas_at_50_degrees():
    grid = Grid(2)
    labels = stripes(grid)
    inside = grid.inside(labels).reshape(grid.shape)
    shots = training_shots(drawing(40), labels, seed=1)
    assert len(shots) > 3 * 40
    height, width = grid.cell
    for number, shot in enumerate(shots):
        pulse = shot.pulse
        assert pulse is not None
        assert (pulse.theta_deg, pulse.peak_ps) == (50, 40)
        row = round((shot.parameters.damping - grid.dampings[0]) / height)
        column = round((pulse.width_ps - grid.widths_ps[0]) / width)
        assert inside[row, column]
        assert labels.reshape(grid.shape)[row, column] == PAPER_PROCESSES[number % 3]
    assert len({shot.parameters.damping for shot in shots}) == len(shots), "not only cell centres"


def test_a_shorter_training_set_begins_a_longer_one_and_a_seed_draws_another():
    grid = Grid(2)
    short, long = (training_shots(drawing(n), stripes(grid), seed=1) for n in (20, 40))
    assert long[: len(short)] == short
    assert training_shots(drawing(20), stripes(grid), seed=2) != short


def test_a_process_without_inside_is_named():
    grid = Grid(2)
    labels = stripes(grid)
    labels[(labels == S) & (np.arange(len(labels)) % 2 == 0)] = "mixed"
    with pytest.raises(ReproduceError, match=r"inside an area of switching.*'paper'"):
        training_shots(drawing(20), labels, seed=0)


def test_training_movies_are_chosen_by_what_they_turned_out_to_show():
    labels = np.array([B, C, S, S, S, B, C, C, "mixed", B])
    assert training_rows(labels, 2).tolist() == [0, 5, 2, 3, 1, 6]
    with pytest.raises(ReproduceError, match=r"3 of 4 show breathing"):
        training_rows(labels, 4)
