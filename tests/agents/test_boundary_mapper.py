"""The boundary mapper on maps with known boundaries, and its parts against plain references."""

import math

import numpy as np
import pytest
from scipy.special import ndtr

from skyctl.agents.boundary_mapper import BoundaryMapper
from skyctl.agents.map_field import GAIN
from skyctl.agents.map_grid import Axis
from skyctl.agents.map_prior import MapPrior

ROWS = Axis("damping", tuple(0.02 * i for i in range(1, 21)))
COLUMNS = Axis("width_ps", tuple(float(w) for w in range(5, 29)))
CLASSES = ("A", "B", "C")


def stripes(slope=0.5, first=4.0, second=13.0):
    """(20, 24): three areas with slanting boundaries between them."""
    row, column = np.indices((20, 24))
    return (column > first + slope * row).astype(int) + (column > second + slope * row)


def mapper(**options):
    return BoundaryMapper(ROWS, COLUMNS, CLASSES, **options)


def answer(agent, truth, points, noise=0.0, rng=None):
    told = []
    for point in points:
        label = truth[ROWS.index(point["damping"]), COLUMNS.index(point["width_ps"])]
        if noise and rng.random() < noise:
            label = (label + rng.integers(1, 3)) % 3
        told.append({**point, "label": CLASSES[label]})
    agent.ingest(told)


def fire(agent, truth, shots, noise=0.0, seed=0):
    rng = np.random.default_rng(seed)
    while agent.shots < shots:
        answer(agent, truth, agent.suggest(), noise, rng)
    return agent


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_forty_shots_of_480_find_both_boundaries(seed):
    truth = stripes()
    wrong = np.mean(fire(mapper(seed=seed), truth, 40).labels() != truth)
    assert wrong < 0.05


def test_shots_gather_at_boundaries():
    truth = stripes()
    agent = fire(mapper(), truth, 36)  # later on the boundaries are known, and it looks elsewhere
    row, column = np.divmod(agent._cells[12:], 24)
    lead = np.minimum(np.abs(column - 4 - row / 2), np.abs(column - 13 - row / 2))
    chosen = np.delete(lead, [i - 12 for i in agent._checks if i >= 12])
    row, column = np.indices((20, 24))
    everywhere = np.minimum(np.abs(column - 4 - row / 2), np.abs(column - 13 - row / 2))
    assert np.median(chosen) <= 0.7 * np.median(everywhere)


def test_wrong_labels_are_outvoted():
    truth = stripes()
    agent = fire(mapper(), truth, 160, noise=0.2)
    assert np.mean(agent.labels() != truth) < 0.06


def test_the_same_seed_asks_for_the_same_shots_and_another_does_not():
    truth = stripes()
    one, two, other = (fire(mapper(seed=seed), truth, 30) for seed in (3, 3, 4))
    assert one._cells == two._cells
    assert one._cells != other._cells


def test_a_batch_is_spread_and_failures_are_forgotten():
    truth = stripes()
    agent = fire(mapper(), truth, 25)
    points = agent.suggest(6)
    assert len({(p["damping"], p["width_ps"]) for p in points}) >= 5
    assert len({p["_id"] for p in points}) == 6
    agent.register_failures(points[:3])
    answer(agent, truth, points[3:])
    assert agent.shots == 28
    assert not agent._pending


def test_one_shot_in_eight_tests_the_map():
    agent = fire(mapper(), stripes(), 100)
    assert 0.10 <= len(agent._checks) / agent.shots <= 0.15
    assert agent.map().checks == len(agent._checks)


def test_where_the_map_is_tested_does_not_depend_on_the_map():
    agents = [fire(mapper(seed=2), truth, 60) for truth in (stripes(), stripes(slope=-0.4))]
    one, other = ([agent.cells[shot] for shot in agent.checks] for agent in agents)
    assert one == other
    assert len(set(one)) > 3


def test_the_covariance_is_learned_anew_as_shots_come_in():
    agent = fire(mapper(), stripes(), 14)
    early = agent._covariance._settings
    assert not np.allclose(early, fire(agent, stripes(), 50)._covariance._settings)


def test_the_map_says_where_it_is_unsure_and_about_how_often_it_is_wrong():
    truth = stripes()
    found = fire(mapper(), truth, 20).map()
    wrong = found.labels != truth
    assert found.probabilities.shape == (20, 24, 3)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1)
    assert found.error[wrong].mean() > 2 * found.error[~wrong].mean()
    assert wrong.mean() / 3 < found.expected_error < 3 * wrong.mean()


def test_held_out_error_has_an_interval_and_is_nan_without_checks():
    found = mapper().map()
    assert all(map(math.isnan, found.held_out_error))
    share, low, high = fire(mapper(), stripes(), 60).map().held_out_error
    assert 0 <= low <= share <= high <= 1
    assert high < 0.5


def test_it_stops_when_shots_mend_little_or_are_used_up():
    truth = stripes()
    agent = mapper(max_shots=300)
    while not agent.should_stop()[0]:
        answer(agent, truth, agent.suggest())
    assert 24 <= agent.shots < 200
    assert "expected to mend" in agent.should_stop()[1]
    assert np.mean(agent.labels() != truth) < 0.05
    assert fire(mapper(max_shots=10), truth, 10).should_stop() == (True, "10 shots fired, of 10")


def test_check_shots_that_contradict_the_map_keep_it_from_stopping():
    agent = fire(mapper(worth_cells=1e9), stripes(), 60)
    assert agent.should_stop()[0]
    # The same shots, but those at random places say something else each time.
    shuffled = np.random.default_rng(0).integers(0, 3, len(agent._checks))
    for shot, label in zip(agent._checks, shuffled, strict=True):
        agent._labels[shot] = int((agent._labels[shot] + 1 + label % 2) % 3)
    agent._field = None
    agent._refit_at = 10**9
    assert agent.falsified
    assert agent.should_stop() == (False, None)


def test_maps_of_other_samples_save_shots():
    truth = stripes(slope=0.45, first=5)
    others = [stripes(slope=s, first=f, second=g) for s, f, g in [(0.3, 3, 11), (0.6, 6, 15)]]
    prior = MapPrior.of_maps(others, 3)
    shots = 9  # later on, a map this plain is known with either
    wrong = [
        [np.mean(fire(mapper(seed=seed, prior=p), truth, shots).labels() != truth) for p in pair]
        for seed, pair in enumerate([(prior, None)] * 3)
    ]
    with_prior, without = np.mean(wrong, axis=0)
    assert with_prior < 0.8 * without


def test_shots_tell_along_which_way_a_map_is_smooth_and_how_noisy_it_is():
    row, column = np.indices((20, 24))
    ridges = ((row + column) // 6) % 2  # stripes that fall to the left
    clean, noisy = mapper(), mapper()
    rng = np.random.default_rng(0)
    cells = rng.choice(480, 150, replace=False)
    labels = ridges.ravel()[cells]
    clean._covariance.fit(cells, labels, 3)
    noisy._covariance.fit(cells, np.where(rng.random(150) < 0.4, 2 - labels, labels), 3)
    here = np.array([10 * 24 + 12])
    along, across = np.array([14 * 24 + 8]), np.array([14 * 24 + 16])
    assert clean._covariance.between(here, along) > 2 * clean._covariance.between(here, across)
    assert noisy._covariance.noise > 5 * clean._covariance.noise


def test_settings_that_act_by_their_ratio_are_as_far_apart_as_their_logarithms():
    axis = Axis("damping", (0.01, 0.02, 0.04, 0.16), log=True)
    np.testing.assert_allclose(axis.places, [0, 0.75, 1.5, 3])
    np.testing.assert_array_equal(Axis("damping", (0.01, 0.02, 0.16)).places, [0, 1, 2])
    agent = BoundaryMapper(axis, Axis("width_ps", (1.0, 2.0, 9.0)), CLASSES)
    column = agent._covariance.between(np.array([0]), np.array([0, 3, 6, 9]))[0]
    assert column[1] ** 2 == pytest.approx(column[2] * column[0])  # two steps of the same ratio
    with pytest.raises(ValueError, match="axis 'damping': 0 has no logarithm"):
        Axis("damping", (0.0, 1.0), log=True)


def test_before_any_shot_the_map_is_the_prior_s():
    prior = MapPrior.of_maps([stripes()], 3, stretches=(1.0,), blur=0.0)
    np.testing.assert_array_equal(mapper(prior=prior).labels(), stripes())


@pytest.mark.parametrize("which", [0, 1])
def test_one_shot_tells_two_maps_of_a_prior_apart(which):
    maps = [stripes(), stripes(slope=0.3, first=7.0, second=16.0)]
    prior = MapPrior.of_maps(maps, 3, stretches=(1.0,), blur=0.0)
    row, column = np.argwhere(maps[0] != maps[1])[5]
    agent = mapper(prior=prior)
    point = {"damping": ROWS.values[row], "width_ps": COLUMNS.values[column]}
    answer(agent, maps[which], [point])
    assert np.mean(agent.labels() != maps[which]) < 0.3 * np.mean(maps[0] != maps[1])


def test_a_prior_is_the_mean_and_covariance_of_stretched_maps():
    prior = MapPrior.of_maps([stripes()], 3, stretches=(1.0,), blur=0.0)
    np.testing.assert_array_equal(prior.mean.argmax(-1), stripes())
    np.testing.assert_allclose(prior.covariance, 0, atol=1e-12)
    two = MapPrior.of_maps([stripes(), stripes(first=6)], 3, stretches=(1.0,), blur=0.0)
    differ = (stripes() != stripes(first=6)).ravel()
    assert (np.diag(two.covariance)[differ] > 0).all()
    assert (np.diag(two.covariance)[~differ] < 1e-12).all()
    assert two.mean.sum(-1) == pytest.approx(1)


def test_maps_of_a_prior_are_stretched_along_both_axes_and_softened():
    corner = np.zeros((20, 24), int)
    corner[:6, :6] = 1
    sharp = MapPrior.of_maps([corner], 2, stretches=(2.0,), blur=0.0)
    large = sharp.mean.argmax(-1)
    assert large[:10, :10].all()
    assert not large[12:].any()
    assert not large[:, 12:].any()
    assert set(np.unique(sharp.mean)) == {0, 1}
    soft = MapPrior.of_maps([corner], 2, stretches=(1.0,)).mean[2, 4:8, 1]
    assert 1 > soft[1] > 0.5 > soft[2] > 0


@pytest.mark.parametrize("shots", [1, 7, 70])
def test_one_shot_at_a_time_gives_the_regression_of_all_at_once(shots):
    rng = np.random.default_rng(0)
    agent = mapper()
    cells, labels = rng.integers(480, size=shots), rng.integers(3, size=shots)
    covariance = agent._covariance
    agent._cells, agent._labels = cells.tolist(), labels.tolist()
    agent._refit_at = 10**9
    field = agent._conditioned()
    everywhere = np.arange(480)
    prior_mean = covariance.mean(labels, 3)
    k = covariance.between(cells, cells) + covariance.noise * np.eye(shots)
    reach = covariance.between(everywhere, cells)
    mean = prior_mean + reach @ np.linalg.solve(k, np.eye(3)[labels] - prior_mean[cells])
    variance = covariance.variance - np.sum(reach * np.linalg.solve(k, reach.T).T, axis=1)
    np.testing.assert_allclose(field.mean, mean, atol=1e-6)
    np.testing.assert_allclose(field.variance, variance, atol=1e-6)


def test_leaving_a_shot_out_is_the_regression_without_it():
    agent = fire(mapper(), stripes(), 30)
    field = agent._conditioned()
    left_out = field.left_out(np.array([4, 17]))
    for row, shot in zip(left_out, (4, 17), strict=True):
        others = [i for i in range(30) if i != shot]
        without = type(field)(field._prior_mean, field._covariance)
        for i in others:
            without.condition(agent._cells[i], agent._labels[i])
        np.testing.assert_allclose(row, without.probabilities()[agent._cells[shot]], atol=1e-6)


def test_the_gain_of_a_shot_is_what_a_simulation_of_it_gives():
    rng = np.random.default_rng(1)
    normal = rng.standard_normal(400_000)
    for z, r in [(0.0, 0.5), (0.7, 0.9), (1.5, 0.3), (3.0, 0.6)]:
        after = ndtr(-np.abs(z + math.sqrt(r) * normal) / math.sqrt(1 - r)).mean()
        assert GAIN(np.array(z), np.array(r)) == pytest.approx(ndtr(-z) - after, abs=1e-3)


@pytest.mark.parametrize(
    ("point", "fault"),
    [
        ({"damping": 0.1, "width_ps": 9.0, "label": "D"}, "label 'D': choose one of A, B, C"),
        ({"damping": 0.1, "width_ps": 9.0, "label": None}, "label None"),
        ({"damping": 0.1, "label": "A"}, "'width_ps' is missing"),
        (
            {"damping": 0.1, "width_ps": 40.0, "label": "A"},
            "width_ps = 40: outside the map, 5 … 28",
        ),
        ({"damping": math.nan, "width_ps": 9.0, "label": "A"}, "damping = nan: outside"),
    ],
)
def test_a_point_that_cannot_be_right_is_refused_and_nothing_is_learned(point, fault):
    agent = mapper()
    good = {"damping": 0.1, "width_ps": 9.0, "label": "A"}
    with pytest.raises(ValueError, match=fault):
        agent.ingest([good, point])
    assert agent.shots == 0


def test_settings_read_back_between_two_cells_go_to_the_nearer():
    agent = mapper()
    agent.ingest([{"damping": 0.0995, "width_ps": 8.6, "label": "B"}])
    assert divmod(agent._cells[0], 24) == (4, 4)


def test_what_cannot_be_mapped_is_said():
    with pytest.raises(ValueError, match="give two or more, each once"):
        BoundaryMapper(ROWS, COLUMNS, ("A", "A"))
    with pytest.raises(ValueError, match="must ascend"):
        Axis("width_ps", (1.0, 1.0))
    with pytest.raises(ValueError, match="two finite values"):
        Axis("width_ps", (1.0, math.inf))
    with pytest.raises(ValueError, match="num_points = 0"):
        mapper().suggest(0)
    prior = MapPrior.of_maps([np.zeros((3, 3), int)], 3)
    with pytest.raises(ValueError, match=r"prior of \(3, 3, 3\): the map has \(20, 24\)"):
        mapper(prior=prior)
    with pytest.raises(ValueError, match="one or more, all of one size"):
        MapPrior.of_maps([], 3)


def test_it_is_an_optimizer_of_bluesky_adaptive():
    protocols = pytest.importorskip("bluesky_adaptive.protocols")
    agent = mapper()
    assert isinstance(agent, protocols.Optimizer)
    assert isinstance(agent, protocols.SupportsStoppingCriteria)
    assert isinstance(agent, protocols.TrialFaultAware)
