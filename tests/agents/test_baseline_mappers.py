"""The baselines do what they are called."""

import numpy as np
import pytest

from skyctl.agents.baseline_mappers import (
    LeastConfidence,
    Scripted,
    Straddle,
    bisection,
    grid,
    random,
    sobol,
    staircase,
)
from skyctl.agents.map_grid import Axis

ROWS, COLUMNS = Axis("damping", tuple(range(1, 13))), Axis("width_ps", tuple(range(1, 17)))
CLASSES = ("A", "B", "C")
ROW, COLUMN = np.indices((12, 16))
TRUTH = (COLUMN > 3 + ROW // 3).astype(int) + (COLUMN > 9 + ROW // 4)


def fire(agent, shots):
    while agent.shots < shots:
        (point,) = agent.suggest()
        label = TRUTH[ROWS.index(point["damping"]), COLUMNS.index(point["width_ps"])]
        agent.ingest([{**point, "label": CLASSES[label]}])
    return agent


def scripted(script, seed=0):
    return Scripted(ROWS, COLUMNS, CLASSES, script, seed)


@pytest.mark.parametrize("script", [grid, random, sobol])
def test_every_cell_once_makes_the_whole_map(script):
    agent = fire(scripted(script), 192)
    assert sorted(agent._cells) == list(range(192))
    np.testing.assert_array_equal(agent.labels(), TRUTH)


def test_a_grid_is_coarse_first():
    agent = fire(scripted(grid), 2 + 6 + 16)
    rows, columns = np.divmod(agent._cells, 16)
    assert set(rows[:2]) == {4}
    assert set(columns[:2]) == {4, 12}
    assert len(set(zip(rows.tolist(), columns.tolist(), strict=True))) == 24


@pytest.mark.parametrize("script", [random, sobol])
def test_chance_is_the_seed_s(script):
    one, two, other = (fire(scripted(script, seed), 20)._cells for seed in (1, 1, 2))
    assert one == two != other


def test_bisection_brackets_both_boundaries_of_a_row():
    agent = fire(scripted(bisection), 10)
    row = agent._cells[0] // 16
    shot = {cell % 16: label for cell, label in zip(agent._cells, agent._labels, strict=True)}
    for column in np.flatnonzero(np.diff(TRUTH[row])):
        assert (shot[column], shot[column + 1]) == (TRUTH[row, column], TRUTH[row, column + 1])


def test_a_staircase_stays_at_the_boundaries():
    agent = fire(scripted(staircase), 45)
    found = agent.labels()
    assert np.mean(found != TRUTH) < 0.08
    rows, columns = np.divmod(agent._cells[12:40], 16)
    boundaries = np.stack([3.5 + rows // 3, 9.5 + rows // 4])
    assert np.abs(columns - boundaries).min(0).mean() < 2


def test_a_script_that_ends_is_gone_on_with_at_random():
    agent = fire(scripted(staircase), 150)
    assert agent.shots == 150


def test_an_unmeasured_cell_has_the_label_of_the_nearest_and_a_measured_one_that_of_most():
    agent = scripted(grid)
    agent.ingest([{"damping": 1, "width_ps": 1, "label": label} for label in "ABB"])
    agent.ingest([{"damping": 12, "width_ps": 16, "label": "C"}])
    found = agent.labels()
    assert found[0, 0] == found[2, 3] == 1
    assert found[11, 15] == found[10, 12] == 2


@pytest.mark.parametrize("make", [LeastConfidence, Straddle])
def test_both_gaussian_processes_find_the_map(make):
    agent = fire(make(ROWS, COLUMNS, CLASSES, seed=0), 48)
    assert np.mean(agent.labels() != TRUTH) < 0.08
    assert len(set(agent._cells)) > 40


def test_least_confidence_goes_where_classes_meet():
    agent = fire(LeastConfidence(ROWS, COLUMNS, CLASSES, seed=0), 48)
    rows, columns = np.divmod(agent._cells[20:], 16)
    boundaries = np.stack([3.5 + rows // 3, 9.5 + rows // 4])
    everywhere = np.abs(COLUMN - np.stack([3.5 + ROW // 3, 9.5 + ROW // 4])).min(0)
    assert np.abs(columns - boundaries).min(0).mean() < 0.7 * everywhere.mean()


def test_one_class_only_is_that_class():
    agent = LeastConfidence(ROWS, COLUMNS, CLASSES)
    agent.ingest([{"damping": 1, "width_ps": 1, "label": "B"}])
    assert (agent.labels() == 1).all()
