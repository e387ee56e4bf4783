"""How maps are judged, on maps small enough to judge by eye; and the truth maps that ship."""

import json
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from skyctl.agents.baseline_mappers import Scripted, grid
from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_grid import Axis
from skyctl.process import letter_of
from skyctl.simulators.instrument.spread import SampleSpread
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.simulators.lattice.movies import simulate
from skyctl.simulators.physics.topology import process_label
from skyctl.studies import mapper_runs, truth_maps
from skyctl.studies import mappers as mapping
from skyctl.studies.map_scores import (
    Score,
    areas,
    boundary_error,
    islands_found,
    macro_f1,
    topology,
)
from skyctl.studies.mapper_runs import JUDGED_MAPS, PRIOR_MAPS, SCRIPTS, Job, Run, run_agent
from skyctl.studies.mappers import mapping_metrics
from skyctl.studies.mappers_table import NOISES, _spread, mapper_rows
from skyctl.studies.truth_maps import CLASSES, DAMPINGS, WIDTHS_PS, TruthMap, truth_shot

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


def test_patches_without_a_square_of_four_are_no_areas():
    speckled = HALVES.copy()
    speckled[4, 2] = 1
    speckled[0:3, 6:12] = 2  # 18 cells, three high
    smooth, kept = areas(speckled)
    np.testing.assert_array_equal(smooth[3:], HALVES[3:])
    assert not (smooth == 2).any()
    assert (~kept).sum() == 19


def test_an_area_keeps_what_hangs_on_to_it():
    tail = HALVES.copy()
    tail[5, 3:6] = 1
    assert areas(tail)[1].all()


def test_a_map_without_areas_is_left_as_it_is():
    chaos = np.indices((6, 6)).sum(0) % 2
    smooth, kept = areas(chaos)
    np.testing.assert_array_equal(smooth, chaos)
    assert not kept.any()


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


@pytest.mark.parametrize(
    ("boundary_cells", "area_f1", "reached"), [(0.9, 0.96, 1), (1.1, 0.96, 0), (0.9, 0.94, 0)]
)
def test_a_target_is_both_boundaries_and_labels(boundary_cells, area_f1, reached):
    assert Score(1.0, area_f1, boundary_cells, True).reached == bool(reached)


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
    assert (run.stopped, run.at_stop) == (None, None)  # a grid does not say when it is done


def test_a_target_met_once_is_not_held():
    good, bad = Score(1.0, 1.0, 0.5, True), Score(0.5, 0.5, 3.0, False)
    scores = [(10, bad), (15, good), (20, bad), (25, good), (30, good)]
    run = Run(scores, 22, 0.1, 0.1, 0.1)
    assert run.reached == run.boundaries == run.islands == 25
    assert run.at_stop == good
    assert Run(scores[:-1], None, 0.1, 0.1, 0.1).reached is None


def test_the_mapper_is_watched_until_it_is_done():
    rows, columns = Axis("damping", tuple(range(10))), Axis("width_ps", tuple(range(12)))
    run = run_agent(BoundaryMapper(rows, columns, CLASSES), HALVES, budget=120)
    assert run.reached < run.stopped <= run.scores[-1][0]
    assert run.at_stop.reached
    assert 0 <= run.claimed_error < 0.2
    assert run.true_error < 0.1


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
    never = _spread([("a", 10), ("a", math.inf), ("b", 20), ("b", 30)])
    assert (never["median"], never["p90"], never["success"]) == (30.0, None, 0.75)
    assert never["maps"] == {"a": None, "b": 30.0}
    assert never["interval"][0] == 10.0
    json.dumps(never, allow_nan=False)
    assert _spread([("a", math.inf)])["median"] is None


def test_p90_is_what_nine_of_ten_are_as_good_as():
    runs = [("a", float(i)) for i in range(1, 11)]
    assert _spread(runs)["p90"] == 10.0
    assert _spread(runs, more_is_better=True)["p90"] == 1.0


def _done(reached):
    """Runs of each agent that reach the target after so many shots."""
    bad = Score(0.5, 0.5, 3.0, False)
    done = {}
    for job, shots in reached.items():
        good = Score(0.9, 0.96, 0.8, True)
        scores = [(5, bad), (shots, good), (shots + 5, good)]
        done[job] = Run(scores, shots + 5, 0.1, 0.1, 0.1)
    return done


def test_rows_have_the_format_of_the_benchmark():
    reached = {
        Job(agent, name, s): shots * (1 + (name == "b"))
        for agent, shots in (("learned", 25), ("boundary-mapper", 50), ("random", 500))
        for name in ("a", "b")
        for s in (0, 1)
    }
    for noise in NOISES:
        reached[Job("boundary-mapper", "b", 0, noise)] = 150
        reached[Job("boundary-mapper", "b", 0, noise, 3)] = 300
    rows = {row["name"]: row for row in mapper_rows(_done(reached))}
    json.dumps(rows, allow_nan=False)
    assert all({"median", "p90", "success", "baselines"} <= row.keys() for row in rows.values())
    both = "shots to boundary error ≤ 1 cell and macro-F1 ≥ 0.95 over areas"
    assert rows[f"{both}, with a prior"]["maps"] == {"a": 25, "b": 50}
    assert rows[f"{both}, prior-free"]["baselines"]["random"]["median"] == 1000
    # Each map on its own: pooled, 20 and 10 would come out.
    assert rows["acceleration over random, with a prior"]["maps"] == {"a": 20, "b": 20}
    assert rows["acceleration over random, prior-free"]["median"] == 10
    noisy = rows["label noise 5 %: multiplier of shots, prior-free"]
    assert noisy["median"] == 1.5
    assert noisy["baselines"]["repeat-3 voting"]["median"] == 3
    assert rows["shots when the mapper ends, prior-free"]["success"] == 1


@pytest.fixture
def small(monkeypatch):
    """Two maps and few jobs, in this process."""
    maps = {"judged": HALVES, "taught": HALVES[:, ::-1]}
    monkeypatch.setattr(TruthMap, "load", classmethod(lambda cls, name: cls(40, None, maps[name])))
    monkeypatch.setattr(mapping, "JUDGED_MAPS", ("judged",))
    monkeypatch.setattr(mapper_runs, "DAMPINGS", tuple(range(1, 11)))
    monkeypatch.setattr(mapper_runs, "WIDTHS_PS", tuple(range(1, 13)))
    monkeypatch.setattr(
        mapping, "ProcessPoolExecutor", lambda workers, **_: ThreadPoolExecutor(workers)
    )
    agents = ("grid", "random", "boundary-mapper")
    monkeypatch.setattr(mapping, "_jobs", lambda *_: [Job(agent, "judged", 0) for agent in agents])
    return maps


def test_runs_that_are_kept_are_not_made_again_unless_the_map_is_another(
    small, tmp_path, monkeypatch
):
    kept = tmp_path / "runs.jsonl"
    first = mapping_metrics(1, 1, kept=kept)
    assert len(kept.read_text().splitlines()) == 3
    ran = []
    monkeypatch.setattr(mapper_runs, "run_agent", lambda *_, **__: ran.append(1) or 1 / 0)
    assert mapping_metrics(1, 1, kept=kept) == first
    assert not ran
    small["judged"] = HALVES.T[:10].repeat(2, axis=1)[:, :12]
    with pytest.raises(ZeroDivisionError):
        mapping_metrics(1, 1, kept=kept)


def test_more_samples_than_maps_are_refused():
    with pytest.raises(ValueError, match="9 samples: there are truth maps of 1 to"):
        mapping_metrics(1, 9)


def test_nothing_that_is_judged_is_in_the_prior():
    assert not set(JUDGED_MAPS) & set(PRIOR_MAPS)


def test_every_baseline_and_every_noise_is_run_on_every_map():
    jobs = mapping._jobs(("a", "b"), 20, 0)
    assert len(set(jobs)) == len(jobs)
    for name in ("a", "b"):
        here = [job for job in jobs if job.map == name]
        for agent in ("learned", "boundary-mapper"):
            assert sum(j.agent == agent and not j.noise for j in here) == 20
        assert {j.agent for j in here} > {*SCRIPTS, "straddle", "gp-classifier"}
        assert {(j.noise, j.repeats) for j in here if j.noise} == {
            (noise, repeats) for noise in NOISES for repeats in (1, 3)
        }


def test_a_map_survives_its_file_and_a_changed_file_is_refused(tmp_path, monkeypatch):
    truth = TruthMap(40, 7, np.random.default_rng(0).integers(4, size=(40, 44)))
    truth.save(tmp_path)
    monkeypatch.setattr(truth_maps, "_MAPS", tmp_path)
    again = TruthMap.load("theta40-sample7")
    assert (again.name, again.sample) == (truth.name, 7)
    np.testing.assert_array_equal(again.labels, truth.labels)
    path = tmp_path / "theta40-sample7.json"
    content = json.loads(path.read_text())
    content["rows"][0] = "B" * 44
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="changed by hand"):
        TruthMap.load("theta40-sample7")
    with pytest.raises(ValueError, match="no truth map 'theta41'"):
        TruthMap.load("theta41")


def test_a_cell_of_a_sample_is_its_film_at_the_cell_s_damping():
    sample = SampleSpread().draw(5)
    shot = truth_shot(30, 5, 0.3, 12.0)
    assert shot.parameters.damping == 0.3
    assert shot.parameters.moment_muB == sample.parameters.moment_muB
    assert shot.pulse.amplitude_T == pytest.approx(2.0 * sample.field_calibration)
    assert (shot.pulse.width_ps, shot.pulse.theta_deg) == (12.0, 30)
    assert truth_shot(30, None, 0.3, 12.0).parameters == FilmParameters(damping=0.3)


def test_the_shipped_maps_have_the_paper_s_processes_and_say_what_chaos_allows():
    labels = TruthMap.load("theta40").labels
    row = DAMPINGS.index(0.36)
    named = [CLASSES[labels[row, WIDTHS_PS.index(w)]] for w in (8, 28, 40)]
    assert named == ["B", "S", "C"]  # the paper's examples
    found = topology("theta40")
    assert found["islands"] == 4
    assert found["macro_f1_of_all_areas_known"] < 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", [*PRIOR_MAPS, *JUDGED_MAPS])
def test_cells_inside_areas_come_out_the_same_again(name):
    truth = TruthMap.load(name)
    labels = truth.labels
    rng = np.random.default_rng(truth.theta_deg)
    inside = [
        (i, j)
        for i in range(12, 38)
        for j in range(2, 42)
        if len(np.unique(labels[i - 2 : i + 3, j - 2 : j + 3])) == 1
    ]
    for i, j in rng.permutation(inside)[:6]:
        cell = DAMPINGS[i], WIDTHS_PS[j]
        shot = truth_shot(truth.theta_deg, truth.sample, *cell)
        movie = simulate(shot, precision="f8")
        assert letter_of(process_label(movie[0], movie[-1])) == CLASSES[labels[i, j]]
