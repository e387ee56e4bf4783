"""Movies made up so that the right answer is known, as lives keep them."""

import numpy as np
import pytest

from skyctl.inference.model import MovieClassifier
from skyctl.models.lives import CELLS, LifeShot, Movies
from skyctl.pulse import Pulse

FRAMES = 166
_ENDS = {
    "empty": (),
    "one": ((25, 25),),
    "other": ((12, 12), (36, 36)),
}


def film(kind, background):
    """Cells of a film: discs in a background."""
    y, x = np.mgrid[:CELLS, :CELLS]
    sz = np.full((CELLS, CELLS), 0.97 * background)
    for row, column in _ENDS[kind]:
        sz[(y - row) ** 2 + (x - column) ** 2 <= 9] *= -1
    return np.rint((sz + 1) * 127).astype(np.uint8)


def made_up_shot(start, end, turned, background=-1, peak_ps=40.0):
    """The film as it was until 10 ps after the peak, then as it becomes."""
    after = -background if turned else background
    cells = np.stack([film(start, background)] * FRAMES)
    cells[int(peak_ps) + 10 :] = film(end, after)
    return LifeShot(
        Pulse(width_ps=8, peak_ps=peak_ps), cells, (start, background), (end, after), cells[-1]
    )


def made_up(lives, seed=0):
    """Lives of ten such shots, of random transitions."""
    rng = np.random.default_rng(seed)
    shots = [
        made_up_shot(
            *(str(rng.choice(list(_ENDS))) for _ in range(2)),
            bool(rng.random() < 0.5),
            int(rng.choice([-1, 1])),
        )
        for _ in range(10 * lives)
    ]
    return Movies.of(shots, np.arange(10 * lives) // 10, f"made up {seed}")


@pytest.fixture(name="made_up", scope="session")
def _made_up():
    return made_up


@pytest.fixture(name="made_up_shot", scope="session")
def _made_up_shot():
    return made_up_shot


@pytest.fixture(scope="session")
def model():
    return MovieClassifier()
