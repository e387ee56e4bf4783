"""Weak pulses of the imagined film: what a noisy camera shows, and that a stopped run goes on."""

import numpy as np
import pytest

from skyctl.models.probe_shots import NOISES, make_probe_shots, seen_mean


@pytest.mark.parametrize("level", [-0.98, -0.5, 0.3, 0.999])
def test_what_a_camera_shows_is_the_mean_of_cut_off_pixels(level):
    rng = np.random.default_rng(0)
    for noise, found in zip(NOISES, seen_mean(np.full((4, 4), level)), strict=True):
        image = np.clip(level + noise * rng.standard_normal(200_000), -1, 1)
        assert found == pytest.approx(image.mean(), abs=6 * image.std() / 447 + 1e-3)


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    whole = make_probe_shots(3, tmp_path / "whole.h5", threads=1)
    make_probe_shots(2, tmp_path / "parts.h5", threads=1)
    parts = make_probe_shots(3, tmp_path / "parts.h5", threads=1)
    assert len(whole) == 3
    assert (parts.seen == whole.seen).all()
    assert (parts.samples == whole.samples).all()
    quiet, loud = whole.seen[:, 0], whole.seen[:, -1]
    assert (quiet[:, 0] < -0.9).all()
    assert (np.ptp(quiet, axis=1) > np.ptp(loud, axis=1)).all()
