"""What is wanted of a thin film: what it costs, what is refused, and what is written down."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from skyctl.agents.wanted import HOLD, SWITCH, Wanted, WantedPicture, wanted_from_json
from skyctl.frame import Counts, Frame
from skyctl.verdict import ShotResult

TIMES = np.arange(0, 501, 10.0)
FILM = SimpleNamespace(start=np.zeros((3, 2, 4)), times_ps=TIMES)


def turned(angle_deg):
    """All spins so far from x, in the plane: (3, 2, 4)."""
    turn = np.radians(angle_deg)
    return np.tile([[[np.cos(turn)]], [[np.sin(turn)]], [[0.0]]], (1, 2, 4))


def test_the_cost_is_what_is_off_while_it_is_wanted():
    means = np.zeros((2, len(TIMES), 3))
    means[1, 30:41] = (0.3, 0.4, 0)
    wanted = Wanted((0, 0, 0), 300, 400)
    np.testing.assert_allclose(wanted.cost(TIMES, means), [0, 0.5])
    with pytest.raises(ValueError, match="no frame in that time"):
        Wanted((0, 0, 0), 501, 505).cost(TIMES, means)
    with pytest.raises(ValueError, match="no earlier than the beginning"):
        Wanted((0, 0, 0), 400, 300)


def test_a_pictures_cost_is_the_distance_of_spins_over_all_cells():
    wanted = WantedPicture(turned(0), 300)
    np.testing.assert_allclose(
        wanted.off(np.stack([turned(0), turned(60), turned(180)])), [0, 1, 2], atol=1e-6
    )
    half = turned(0)
    half[:, 0] = turned(180)[:, 0]
    assert wanted.off(half) == pytest.approx(np.sqrt(2))
    one = WantedPicture(turned(0)[1], 300, "sy")
    assert one.off(turned(30)) == pytest.approx(0.5)


def test_a_picture_is_never_nearer_than_its_mean():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(50, 3, 2, 4))
    states /= np.linalg.norm(states, axis=1, keepdims=True)
    off = WantedPicture(states[0], 300).off(states)
    means = states.mean((2, 3))
    assert (off >= np.linalg.norm(means - means[0], axis=1) - 1e-6).all()


def test_a_shot_costs_what_its_kept_frame_shows_and_nothing_without_one():
    wanted = WantedPicture(turned(0), 300)
    shot = ShotResult("one", None, None, Counts(), "", ())
    assert wanted.seen(shot) is None
    frame = Frame("run", "one", 30, 300.0, 0, turned(60).astype(np.float32))
    assert wanted.seen(ShotResult("one", None, None, Counts(), "", (), kept=(frame,))) == (
        pytest.approx(1)
    )


@pytest.mark.parametrize(
    ("image", "at_ps", "shown", "says"),
    [
        (np.full((3, 2, 4), np.nan), 300, "spins", "NaN"),
        (2 * turned(0), 300, "spins", "not normalised"),
        (turned(0)[0], 300, "spins", r"give \(3, rows, columns\)"),
        (turned(0), 300, "sx", r"\(rows, columns\) is needed"),
        (np.full((2, 4), 1.5), 300, "sx", "beyond ±1"),
        (turned(0), -10, "spins", "from 0 on"),
        (turned(0), np.nan, "spins", "from 0 on"),
        (turned(0)[0], 300, "mx", "choose spins, sx, sy, sz"),
    ],
)
def test_what_is_no_picture_is_refused(image, at_ps, shown, says):
    with pytest.raises(ValueError, match=says):
        WantedPicture(image, at_ps, shown)


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        (WantedPicture(turned(0)[0, :, :3], 300, "sx"), "2 x 3 cells: this film has 2 x 4"),
        (WantedPicture(turned(0), 304), "has no frame then; the nearest is at 300 ps"),
        (WantedPicture(turned(0), 510), "from 0 to 500 ps, has no frame then"),
        (Wanted((0, 0, 0), 600, 700), "no frame in that time"),
    ],
)
def test_what_a_film_cannot_show_is_refused(wanted, says):
    with pytest.raises(ValueError, match=says):
        wanted.check(FILM)


@pytest.mark.parametrize("wanted", [SWITCH, HOLD, Wanted((0.1, 0, 0), 300, 400)])
def test_a_course_comes_back_from_its_json(wanted):
    assert wanted_from_json(json.loads(json.dumps(wanted.as_json()))) == wanted


@pytest.mark.parametrize(("rows", "shown"), [(slice(None), "spins"), (1, "sy")])
def test_a_picture_comes_back_from_its_json_bit_for_bit(rows, shown):
    wanted = WantedPicture(turned(33)[rows], 300, shown)
    again = wanted_from_json(json.loads(json.dumps(wanted.as_json())))
    assert (again.at_ps, again.shown) == (wanted.at_ps, wanted.shown)
    assert np.array_equal(again.image, wanted.image)
    with pytest.raises(ValueError, match="no base64"):
        wanted_from_json({**wanted.as_json(), "image": "?"})
