"""What a noisy camera shows of a mean."""

import numpy as np
import pytest

from skyctl.simulators.instrument.seen_mean import seen_mean

NOISES = (0.0, 0.05, 0.5, 1.0)


@pytest.mark.parametrize("level", [-0.98, -0.5, 0.3, 0.999])
def test_what_a_camera_shows_is_the_mean_of_cut_off_pixels(level):
    rng = np.random.default_rng(0)
    for noise, found in zip(NOISES, seen_mean(np.full((4, 4), level), NOISES), strict=True):
        image = np.clip(level + noise * rng.standard_normal(200_000), -1, 1)
        assert found == pytest.approx(image.mean(), abs=6 * image.std() / 447 + 1e-3)
