"""Weak pulses of the imagined film: a stopped run goes on."""

import numpy as np

from skyctl.models.probe_shots import make_probe_shots


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
