"""Trajectories that latent networks learn from: their fields, their symmetry, their file."""

from dataclasses import replace

import numpy as np
import pytest

from skyctl.models import latent_data
from skyctl.models.latent_data import (
    LatentPlan,
    LatentSet,
    fill_latent_set,
    half_of,
    judging_plan,
    simulate_trajectory,
    whole_of,
)
from skyctl.simulators.lattice.files import StateError
from skyctl.simulators.thin.film import SP4_FIELDS_T, ThinFilm, ThinFilmParameters, s_state

FILM = ThinFilmParameters(rows=8, columns=32, cell_nm=(15.6, 15.6, 3.0))
TINY = LatentPlan(film=FILM, constant=3, sequences=2, frames=6)


def test_constant_fields_lie_in_the_sector_and_the_first_are_the_same_however_many():
    fields = TINY.fields_T()
    assert fields.shape == (5, 5, 3)
    assert (np.ptp(fields[:3], 1) == 0).all()
    strength = np.linalg.norm(fields[:3, 0], axis=1)
    angle = np.degrees(np.arctan2(fields[:3, 0, 1], -fields[:3, 0, 0]))
    assert (strength >= 0.022).all()
    assert (strength <= 0.041).all()
    assert (np.abs(angle) <= 22).all()
    assert np.array_equal(replace(TINY, constant=40).fields_T()[:3], fields[:3])


def test_sequences_hold_each_field_for_its_time_and_stay_in_the_plane():
    fields = LatentPlan(film=FILM, constant=0, sequences=30).fields_T()
    assert (fields[..., 2] == 0).all()
    assert np.linalg.norm(fields, axis=2).max() <= 0.041
    for run in fields:
        changes = np.flatnonzero((np.diff(run, axis=0) != 0).any(1))
        assert (np.diff(changes) >= 5).all()
    assert 0.1 < (fields == 0).all(2).mean() < 0.4


def test_nobody_is_judged_by_a_field_it_learned_from():
    learned = {tuple(field) for field in TINY.fields_T()[:, 0]}
    judged = judging_plan(TINY).fields_T()[:, 0]
    assert tuple(map(tuple, judged[:2])) == tuple(SP4_FIELDS_T.values())
    assert not learned & {tuple(field) for field in judged if field.any()}


def test_a_trajectory_is_the_films_own_and_half_of_it_says_all():
    fields = TINY.fields_T()[3]
    half = simulate_trajectory(FILM, fields)
    film = ThinFilm(FILM)
    film.magnetisation = s_state(FILM)
    for number, field in enumerate(fields):
        for _ in film.frames(field, [10.0]):
            pass
        off = np.abs(whole_of(half[number + 1]) - film.magnetisation).max()
        assert off < 5e-3  # the film's steps are restarted only where the field changes


def test_half_of_a_film_without_the_symmetry_is_refused():
    m = s_state(FILM)
    assert np.array_equal(whole_of(half_of(m)), whole_of(m[:, :4]))
    m[:, 1, 2] = (0, 0, 1)
    with pytest.raises(ValueError, match="half a turn changes m by"):
        half_of(m)


def test_a_set_goes_on_where_it_was_stopped_and_gives_the_same(tmp_path, monkeypatch):
    class StoppedError(Exception):
        pass

    def stop():
        raise StoppedError

    with LatentSet(tmp_path / "set.h5", TINY) as there, pytest.raises(StoppedError):
        fill_latent_set(there, progress=stop)
    counted = []
    with LatentSet(tmp_path / "set.h5", TINY) as there:
        assert there.done.sum() == 1
        with pytest.raises(ValueError, match="4 runs are missing"):
            there.read()
        fill_latent_set(there, progress=lambda: counted.append(1))
        resumed = there.read()
    assert len(counted) == 4
    with LatentSet(tmp_path / "whole.h5", TINY) as there:
        fill_latent_set(there)
        whole = there.read()
    assert resumed.sha256 == whole.sha256
    np.testing.assert_allclose(
        whole.magnetisation(4), simulate_trajectory(FILM, TINY.fields_T()[4]), atol=2e-5
    )
    monkeypatch.setattr(latent_data, "simulate_trajectory", lambda *_: pytest.fail("again"))
    with LatentSet(tmp_path / "whole.h5", TINY) as there:
        fill_latent_set(there)


def test_a_file_of_another_plan_is_refused(tmp_path):
    with LatentSet(tmp_path / "set.h5", TINY):
        pass
    with pytest.raises(StateError, match="made with other options"):
        LatentSet(tmp_path / "set.h5", replace(TINY, seed=8))


def test_a_plan_of_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="even number"):
        LatentPlan(film=ThinFilmParameters(rows=7))
    with pytest.raises(ValueError, match="0 trajectories"):
        LatentPlan(constant=0, sequences=0)
