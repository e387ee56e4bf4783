"""Shots at warm films: a stopped run goes on, and what they tell."""

import pytest

from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.models.probe_shots import make_probe_shots
from skyctl.models.warm_shots import make_warm_shots
from skyctl.process import OUTCOMES, SWITCHING
from skyctl.simulators.lattice.files import StateError

LIBRARY = SwitchingLibrary.load()


def test_a_stopped_run_goes_on_where_it_was(tmp_path):
    whole = make_warm_shots(LIBRARY, 2, tmp_path / "whole.h5", threads=1)
    make_warm_shots(LIBRARY, 1, tmp_path / "parts.h5", threads=1)
    parts = make_warm_shots(LIBRARY, 2, tmp_path / "parts.h5", threads=1)
    assert len(whole) == 2
    assert (parts.samples == whole.samples).all()
    assert (parts.pulses == whole.pulses).all()
    assert (parts.outcomes == whole.outcomes).all()
    assert (whole.samples[:, :5] == LIBRARY.samples[0]).all()
    assert (whole.samples[:, 5] >= 0.2).all()
    # They are pulses that would likely switch it cold.
    row = LIBRARY.chances[0, :, OUTCOMES.index(SWITCHING)]
    fired = [int((LIBRARY.pulses == pulse).all(axis=1).argmax()) for pulse in whole.pulses]
    assert (row[fired] > row.mean()).all()


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "other.h5"
    make_warm_shots(LIBRARY, 1, path, threads=1)
    with pytest.raises(StateError):
        make_probe_shots(1, path, threads=1)
