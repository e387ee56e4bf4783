"""Samples that differ: drawn within the spread that was asked for, and pinning defects."""

import json
from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats

from skyctl.simulators.instrument.spread import SampleSpread, pinning_map
from skyctl.simulators.lattice.film import FilmParameters

NOMINAL = FilmParameters()
COUNT = 2000


@pytest.fixture(scope="module")
def draws():
    """Of many samples, where each parameter lies in its range, from 0 to 1."""
    samples = [SampleSpread().draw(seed) for seed in range(COUNT)]
    return {
        "damping": [(s.parameters.damping - 0.08) / 0.37 for s in samples],
        "moment": [(s.parameters.moment_muB / 0.6 - 0.85) / 0.30 for s in samples],
        "anisotropy": [
            (s.parameters.anisotropy_meV / NOMINAL.anisotropy_meV - 0.92) / 0.16 for s in samples
        ],
        "dmi": [(s.parameters.dmi_meV / NOMINAL.dmi_meV - 0.95) / 0.10 for s in samples],
        "field": [(s.field_calibration - 0.95) / 0.10 for s in samples],
    }


@pytest.mark.parametrize("name", ["damping", "moment", "anisotropy", "dmi", "field"])
def test_each_parameter_is_uniform_over_its_range(draws, name):
    assert min(draws[name]) >= -1e-12
    assert max(draws[name]) <= 1 + 1e-12
    assert stats.kstest(draws[name], "uniform").pvalue > 0.01


def test_parameters_are_drawn_independently(draws):
    correlations = np.corrcoef(list(draws.values()))
    assert np.abs(correlations - np.eye(5)).max() < 4 / np.sqrt(COUNT)


def test_a_seed_is_a_sample():
    assert SampleSpread().draw(3) == SampleSpread().draw(3)
    assert SampleSpread().draw(3) != SampleSpread().draw(4)


def test_without_spread_every_sample_is_the_nominal_one():
    none = SampleSpread(damping=None, moment=0, anisotropy=0, dmi=0, field=0)
    sample = none.draw(5)
    assert sample.parameters == NOMINAL
    assert sample.field_calibration == 1.0


@pytest.mark.parametrize(
    ("off", "parameter"),
    [
        ({"damping": None}, "damping"),
        ({"moment": 0}, "moment_muB"),
        ({"anisotropy": 0}, "anisotropy_meV"),
        ({"dmi": 0}, "dmi_meV"),
    ],
)
def test_a_spread_switched_off_leaves_the_other_draws(off, parameter):
    full, fewer = SampleSpread().draw(8), SampleSpread(**off).draw(8)
    nominal = getattr(NOMINAL, parameter)
    assert fewer.parameters == replace(full.parameters, **{parameter: nominal})
    assert full.parameters != fewer.parameters
    assert fewer.field_calibration == full.field_calibration


def test_a_sample_keeps_what_is_not_spread():
    nominal = FilmParameters(rows=20, columns=30, periodic=True, bias_T=(0.0, 0.0, 0.5))
    drawn = SampleSpread().draw(1, nominal).parameters
    assert (drawn.rows, drawn.columns, drawn.periodic) == (20, 30, True)
    assert drawn.bias_T == nominal.bias_T
    assert drawn.exchange_meV == nominal.exchange_meV
    json.dumps(drawn.as_dict())  # plain numbers, as a file's header needs


@pytest.mark.parametrize(
    "wrong",
    [
        {"damping": (0.4, 0.1)},
        {"damping": (-0.1, 0.1)},
        {"moment": 1.0},
        {"anisotropy": -0.1},
        {"dmi": float("nan")},
        {"field": 2.0},
        {"exchange": 0.1},
    ],
)
def test_a_spread_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        SampleSpread(**wrong)


def test_defects_are_as_many_as_asked_and_as_strong():
    film = FilmParameters(rows=30, columns=40)
    map_ = pinning_map(film, 17, 0.5, 0.0, seed=2)
    assert map_.shape == (30, 40)
    assert (map_ == 1.5).sum() == 17
    assert (map_ == 1.0).sum() == 30 * 40 - 17
    np.testing.assert_array_equal(map_, pinning_map(film, 17, 0.5, 0.0, seed=2))
    assert (map_ != pinning_map(film, 17, 0.5, 0.0, seed=3)).any()


def test_a_film_without_defects_is_uniform_and_one_full_of_them_too():
    film = FilmParameters(rows=5, columns=7)
    assert (pinning_map(film, 0, 0.5, 2.0) == 1.0).all()
    assert (pinning_map(film, 35, -0.25, 0.0) == 0.75).all()


def test_a_defect_is_a_disc_and_goes_over_a_periodic_edge():
    """29 sites lie within 3 of a site; at the open edge of a film some of them are missing."""
    sizes = {
        periodic: [int((pinning_map(film, 1, 1.0, 3.0, seed) == 2.0).sum()) for seed in range(40)]
        for periodic in (False, True)
        if (film := FilmParameters(rows=12, columns=14, periodic=periodic))
    }
    assert set(sizes[True]) == {29}
    assert max(sizes[False]) == 29
    assert min(sizes[False]) < 29


def test_overlapping_defects_do_not_add_up():
    map_ = pinning_map(FilmParameters(rows=20, columns=20), 60, -0.4, 3.0)
    assert set(np.unique(map_)) <= {0.6, 1.0}


@pytest.mark.parametrize(
    ("count", "strength", "radius", "fault"),
    [
        (-1, 0.5, 1.0, "-1 pinning defects"),
        (101, 0.5, 1.0, "give 0 to 100"),
        (1, float("nan"), 1.0, "strength nan"),
        (1, 0.5, -1.0, "radius -1.0"),
        (1, 0.5, float("nan"), "radius nan"),
        (1, 0.5, 5.5, "radius 5.5"),
    ],
)
def test_defects_that_cannot_be_are_refused(count, strength, radius, fault):
    with pytest.raises(ValueError, match=fault):
        pinning_map(FilmParameters(rows=10, columns=10), count, strength, radius)
