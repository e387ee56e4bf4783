"""How maps are judged, on maps small enough to judge by eye; and the truth maps that ship."""

import json
from dataclasses import replace

import numpy as np
import pytest

from skyctl.agents.baselines import Scripted, grid
from skyctl.agents.mapper import Axis
from skyctl.bench import mapping
from skyctl.bench.mapping import (
    CLASSES,
    Run,
    Score,
    TruthMap,
    areas,
    boundary_error,
    islands_found,
    macro_f1,
    run_agent,
    save_map,
    shipped,
    topology,
)
from skyctl.diagram import LETTERS
from skyctl.pulse import Pulse
from skyctl.simulators.film import FilmParameters
from skyctl.simulators.movies import Shot, simulate
from skyctl.simulators.topology import process_label

HALVES = np.repeat([[0] * 6 + [1] * 6], 10, axis=0)


def test_a_map_shifted_by_two_columns_is_two_cells_off():
    shifted = np.repeat([[0] * 8 + [1] * 4], 10, axis=0)
    assert boundary_error(HALVES, HALVES) == 0
    assert boundary_error(HALVES, shifted) == pytest.approx(2)
    assert boundary_error(HALVES, np.zeros_like(HALVES)) == np.inf


def test_a_boundary_that_is_not_there_counts_as_much_as_one_that_is_missed():
    spurious = HALVES.copy()
    spurious[:, :2] = 2
    assert boundary_error(HALVES, spurious) == boundary_error(spurious, HALVES) == 1.0


def test_macro_f1_is_that_of_scikit_learn():
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    truth, named = rng.integers(4, size=200), rng.integers(4, size=200)
    assert macro_f1(truth, named) == pytest.approx(f1_score(truth, named, average="macro"))


def test_small_patches_are_no_areas():
    speckled = HALVES.copy()
    speckled[4, 2] = 1
    smooth, kept = areas(speckled)
    np.testing.assert_array_equal(smooth, HALVES)
    assert np.argwhere(~kept).tolist() == [[4, 2]]


def test_an_island_is_a_patch_that_holds_a_square_of_four():
    islands = np.zeros((12, 12), int)
    islands[1:5, 1:5] = 1  # one
    islands[8:10, 0:10] = 2  # none: two high
    assert islands_found(islands, islands) == (2, 2)
    missed = np.where(islands == 1, 0, islands)
    assert islands_found(islands, missed) == (1, 2)


def test_a_score_is_reached_by_the_truth_and_not_by_chance():
    assert Score.of(HALVES, HALVES).reached
    assert not Score.of(HALVES, np.random.default_rng(0).integers(2, size=HALVES.shape)).reached


def _agent():
    rows, columns = Axis("damping", tuple(range(10))), Axis("width_ps", tuple(range(12)))
    return Scripted(rows, columns, CLASSES, grid)


def test_a_run_says_when_the_target_was_reached_and_held():
    run = run_agent(_agent(), HALVES, budget=120)
    assert run.reached is not None
    assert run.reached <= 60
    looks = dict(run.scores)
    assert looks[run.reached].reached
    assert run.reached in [shots for shots, _ in run.scores[:-1]]


def test_noise_costs_shots_and_three_votes_cost_three():
    clean = run_agent(_agent(), HALVES, budget=120)
    noisy = run_agent(_agent(), HALVES, budget=120, noise=0.3)
    voted = run_agent(_agent(), HALVES, budget=360, repeats=3)
    assert noisy.true_error > clean.true_error
    assert (noisy.reached or np.inf) > clean.reached
    # They are looked at after other places than one vote, so that not even the places agree.
    assert voted.reached % 3 == 0
    assert voted.reached > clean.reached


def test_a_run_that_never_gets_there_counts_as_infinite():
    never = mapping._spread([10, None, 20, 30])
    assert (never["median"], never["p90"], never["success"]) == (30.0, None, 0.75)
    assert mapping._spread([None])["median"] is None


def test_rows_have_the_format_of_the_benchmark():
    run = Run(50, 40, 70, [], 0.1, 0.1, 0.1)
    slow = replace(run, reached=500)
    agents = ("learned", "boundary-mapper", "random")
    done = {mapping._Job(a, 40, s): slow if a == "random" else run for a in agents for s in (0, 1)}
    for noise in mapping.NOISES:
        for repeats in (1, 3):
            done[mapping._Job("boundary-mapper", 40, 0, noise, repeats)] = replace(run, reached=75)
    rows = {row["name"]: row for row in json.loads(json.dumps(mapping._rows(done)))}
    assert all(
        {"median", "p90", "success", "baselines", "target"} <= row.keys() for row in rows.values()
    )
    assert rows["acceleration over random, prior-free"]["median"] == 10
    assert rows["label noise 5 %: multiplier of shots, prior-free"]["median"] == 1.5


def test_a_map_survives_its_file_and_a_changed_file_is_refused(tmp_path, monkeypatch):
    truth = TruthMap(40.0, np.random.default_rng(0).integers(4, size=(40, 44)))
    path = tmp_path / "theta40.json"
    save_map(truth, path)
    monkeypatch.setattr(mapping, "_map_file", lambda deg: tmp_path / f"theta{deg}.json")
    np.testing.assert_array_equal(TruthMap.load(40).labels, truth.labels)
    content = json.loads(path.read_text())
    content["rows"][0] = "B" * 44
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="changed by hand"):
        TruthMap.load(40)
    with pytest.raises(ValueError, match="no truth map at θ = 41°"):
        TruthMap.load(41)


def test_the_shipped_maps_have_the_paper_s_processes_and_say_what_chaos_allows():
    assert 40 in shipped((40, 60))
    labels = TruthMap.load(40).labels
    row = mapping.DAMPINGS.index(0.36)
    named = [CLASSES[labels[row, mapping.WIDTHS_PS.index(w)]] for w in (8, 28, 40)]
    assert named == ["B", "S", "C"]  # the paper's examples
    found = topology(40)
    assert found["islands"] == 4
    assert found["macro_f1_of_all_areas_known"] < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("deg", shipped((30, 40, 50, 60)))
def test_cells_inside_areas_come_out_the_same_again(deg):
    truth = TruthMap.load(deg).labels
    rng = np.random.default_rng(deg)
    inside = [
        (i, j)
        for i in range(12, 38)
        for j in range(2, 42)
        if len(np.unique(truth[i - 2 : i + 3, j - 2 : j + 3])) == 1
    ]
    for i, j in rng.permutation(inside)[:6]:
        pulse = Pulse(width_ps=mapping.WIDTHS_PS[j], theta_deg=deg)
        film = FilmParameters(damping=mapping.DAMPINGS[i])
        movie = simulate(Shot(film, [0.0, 165.0], pulse), precision="f8")
        assert LETTERS.get(process_label(movie[0], movie[-1]), "M") == CLASSES[truth[i, j]]
