"""Steering judged: what takes the network away, and what a life's summary counts."""

from types import SimpleNamespace

import numpy as np

from skyctl.agents.field_sequences import drawn_sequences
from skyctl.agents.wanted import HOLD, SWITCH, Wanted, WantedPicture
from skyctl.simulators.thin.film import ThinFilmParameters
from skyctl.studies.steering_judged import (
    SHOTS,
    _cost,
    _OfAnother,
    _Sample,
    _summary,
    drawn_wanted,
)

FILM = ThinFilmParameters(rows=8, columns=32, cell_nm=(15.6, 15.6, 3.0))


def test_a_network_of_others_says_of_each_sequence_what_holds_of_another():
    asked = []
    network = SimpleNamespace(
        card="its card", encode=len, decode=len, imagine=lambda z, fields_T: asked.append(fields_T)
    )
    fields_T = np.arange(30.0).reshape(10, 1, 3)
    others = _OfAnother(network)
    others.imagine(None, fields_T)
    assert others.card == "its card"
    (said,) = asked
    assert sorted(said.ravel()) == sorted(fields_T.ravel())
    assert (said != fields_T).any(axis=(1, 2)).mean() > 0.5


def test_only_the_shots_that_were_allowed_count_as_reached():
    costs = [0.5] * SHOTS + [0.1]
    told = _summary([{"costs": costs}, {"costs": [0.1]}])
    assert told["reached"] == 0.5
    assert told["best_of_shots_median"] == 0.3


def test_lives_are_after_each_goal_in_turns_and_a_picture_is_one_that_the_film_passes_through():
    goals = [drawn_wanted(number, FILM) for number in range(4)]
    assert [name for name, _ in goals] == ["mean", "switch", "hold", "picture"]
    mean, switch, hold, picture = (wanted for _, wanted in goals)
    assert isinstance(mean, Wanted)
    assert (switch, hold) == (SWITCH, HOLD)
    assert isinstance(picture, WantedPicture)
    assert 200 <= picture.at_ps <= 600
    again = drawn_wanted(3, FILM)[1]
    assert np.array_equal(again.image, picture.image)


def test_the_cost_of_a_picture_is_that_of_the_frame_at_its_time():
    sample, sequence = _Sample(FILM), drawn_sequences(1, 0.03, 250.0, np.random.default_rng(1))
    shot = sample.shoot(sequence.pulse(0), [250.0])
    (frame,) = shot.kept
    assert frame.movie_time_ps == 250.0
    np.testing.assert_allclose(frame.data.mean((1, 2)), shot.mean_spins[25][1:], atol=1e-6)
    assert _cost(WantedPicture(frame.data, 250.0), sample, sequence) < 1e-6
    assert _cost(WantedPicture(frame.data, 260.0), sample, sequence) > 1e-3
