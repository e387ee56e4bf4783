"""Training of the imagined film: from shots made by hand to a file that the agent reads."""

import numpy as np
import pytest

from skyctl.agents.imagined_film import ImaginedFilm
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.models import imagined_film as training
from skyctl.models.imagined_film import fit_imagined_film
from skyctl.models.probe_shots import NOISES, ProbeShots
from skyctl.models.seeker_library import MOVIE
from skyctl.models.warm_shots import WarmShots
from skyctl.process import OUTCOMES, SWITCHING

LIBRARY = SwitchingLibrary.load()


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(training, "_ROWS", 2000)
    for settings, passes in (("_OUTCOME", 2), ("_SIGNAL", 2), ("_SIZE", 20), ("_PROBE", 20)):
        monkeypatch.setitem(getattr(training, settings), "max_iter", passes)


def test_shots_become_a_film_that_knows_what_they_show(tmp_path, brief):
    rng = np.random.default_rng(0)
    low, high = training._ranges()
    samples = rng.uniform(low, high, (60, 5))
    kelvin = np.where(np.arange(60) % 2, rng.uniform(0.2, 1.5, 60), 0.0)
    seen = -0.98 + 0.01 * rng.uniform(size=(60, len(NOISES), len(MOVIE.times_ps)))
    weak = ProbeShots(samples, rng.uniform(0.3, 1.2, 60), kelvin, seen, np.ones(60, bool))
    # Warm films switch below 1 K, whatever the pulse.
    kelvin = rng.uniform(0.2, 1.5, 300)
    outcomes = np.where(kelvin < 1.0, OUTCOMES.index(SWITCHING), OUTCOMES.index("collapse"))
    at = rng.integers(len(LIBRARY.pulses), size=300)
    warm = WarmShots(
        np.column_stack([rng.uniform(low, high, (300, 5)), kelvin]), LIBRARY.pulses[at], outcomes
    )
    path = tmp_path / "film.npz"
    fit = fit_imagined_film(LIBRARY, weak, warm, path, command="by hand")
    assert set(fit) == {"divergence", "movie", "warm_movie"}
    film = ImaginedFilm.load(path)
    assert film.about["command"] == "by hand"
    cool, hot = (np.append((low + high) / 2, t)[None] for t in (0.4, 1.4))
    success = [film.chances(each, LIBRARY.pulses)[0, :, 1].mean() for each in (cool, hot)]
    assert success[0] > 0.7 > 0.4 > success[1]
    assert film.probe_movie(cool, 0.5, 0.0).shape == (1, len(MOVIE.times_ps))
