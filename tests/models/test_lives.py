"""Lives: what a loop does to a film, kept so that it can be gone on with."""

from itertools import pairwise

import h5py
import numpy as np
import pytest

from skyctl.models import lives as lives_module
from skyctl.models.lives import CELLS, JUDGE, Lives, Movies, draw_pulse, fill_lives, live, on_cells
from skyctl.simulators.lattice.files import StateError


@pytest.fixture(scope="module")
def short():
    """Lives of two shots, so that they are quick; the seed says all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lives_module, "SHOTS", 2)
        patch.setattr(lives_module, "_SIDES", (50,))
        patch.setattr(lives_module, "_SIDE_SHARES", (1.0,))
        yield [live(seed) for seed in (3, 3, 4)]


def test_a_life_is_its_seeds(short):
    first, again, other = short
    for a, b in zip(first, again, strict=True):
        assert a.cells.tobytes() == b.cells.tobytes()
        assert (a.pulse, a.before, a.after) == (b.pulse, b.before, b.after)
    assert first[0].pulse != other[0].pulse


def test_each_shot_begins_where_the_last_one_settled(short):
    first, second = short[0]
    assert first.after == second.before
    np.testing.assert_allclose(first.rest.astype(int), second.cells[0].astype(int), atol=3)
    assert first.cells.shape[1:] == (CELLS, CELLS)
    assert len(first.cells) == int(first.pulse.peak_ps + 125) + 1


def test_cells_keep_the_mean():
    sz = np.random.default_rng(0).uniform(-1, 1, (80, 80)).astype(np.float32)
    assert on_cells(sz).astype(float).mean() / 127 - 1 == pytest.approx(sz.mean(), abs=0.003)


@pytest.mark.parametrize("kind", ["empty", "one", "other"])
def test_pulses_are_what_a_loop_fires_in_both_backgrounds(kind):
    down = [draw_pulse(np.random.default_rng(i), (kind, -1), 100) for i in range(300)]
    up = [draw_pulse(np.random.default_rng(i), (kind, 1), 100) for i in range(300)]
    for a, b in zip(down, up, strict=True):
        assert a.theta_deg + b.theta_deg == pytest.approx(180)
        assert a.model_copy(update={"theta_deg": b.theta_deg}) == b
    along = sum(pulse.theta_deg > 90 for pulse in down)
    spots = sum(pulse.spot is not None for pulse in down)
    assert 20 < along < 250
    assert 10 < spots < 250


def test_what_a_narrow_life_changed_is_put_back():
    shots = live(0, narrow=True)
    changed = [(a, b) for a, b in pairwise(shots) if a.after != a.before]
    again = [a.before == b.before for a, b in changed]
    assert any(again)
    assert shots[0].cells.shape[1:] == (CELLS, CELLS)


def test_what_is_done_is_kept(tmp_path, monkeypatch):
    """A folder of two lives is gone on with to three; those it has are not lived again."""
    lived = []

    class Direct:
        def __init__(self, *_, **__):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def submit(self, call, path, seed, number):
            lived.append(number)
            call(path, seed, number)
            return number

        def shutdown(self, **_):
            pass

    class Done:
        def result(self):
            return None

    monkeypatch.setattr(lives_module, "ProcessPoolExecutor", Direct)
    monkeypatch.setattr(lives_module, "as_completed", lambda pending: [Done() for _ in pending])
    monkeypatch.setattr(lives_module, "SHOTS", 1)
    two = fill_lives(tmp_path, 2, 7, judges=1)
    hash_of_two = two.content_sha256
    done = []
    three = fill_lives(tmp_path, 3, 7, judges=1, progress=done.append)
    assert lived == [0, 1, JUDGE, 2]
    assert done == [4]
    assert (len(two), len(three)) == (3, 4)
    assert Lives(tmp_path, 7, 2).content_sha256 == hash_of_two != three.content_sha256
    movies = Movies.read(three)
    assert movies.lives.tolist() == [0, 1, 2, JUDGE]
    assert movies.content_sha256 == three.content_sha256
    with pytest.raises(StateError, match=r"life-000000\.h5: version and seed"):
        Movies.read(Lives(tmp_path, 8))
    with h5py.File(three.path(1), "a") as file:
        del file["0"]["cells"]
    with pytest.raises(StateError, match=r"life-000001\.h5.*Remove it"):
        Movies.read(three)
