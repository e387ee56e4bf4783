"""The polynomial through a slow field's evaluations, and the steps that it bears."""

import numpy as np
import pytest

from skyctl.simulators.physics.multirate import FieldHistory, Multirate


def history_of(function, times):
    history = FieldHistory((2,))
    for time in times:
        history.next()[:] = function(time), -function(time)
        history.keep(time)
    return history


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_polynomial_goes_through_the_last_evaluations(degree):
    def field(t):
        return (0.3 + t) ** degree

    # What came before the last three is forgotten.
    history = history_of(field, [-9.0, -0.7, 0.0, 0.2][3 - degree :])
    for time in (-0.5, 0.2, 0.3, 1.7):
        np.testing.assert_allclose(history.at(time), [field(time), -field(time)], atol=1e-12)


def test_an_evaluation_that_is_not_kept_changes_nothing():
    history = history_of(np.sin, [0.0, 0.1, 0.2])
    before = history.at(0.4).copy()
    history.next()[:] = 77.0
    np.testing.assert_array_equal(history.at(0.5), history_of(np.sin, [0.0, 0.1, 0.2]).at(0.5))
    np.testing.assert_array_equal(history.at(0.4), before)


def test_what_a_smooth_field_misses_is_known_in_the_mean():
    history = history_of(lambda t: t**3, [1.0, 2.0, 3.0])  # t³ misses exactly (t-1)(t-2)(t-3)
    assert history.missed_mean(3.0, 1.0) == pytest.approx(2.25 / 6)


def precess(spins, slow, out):
    out[0], out[1], out[2] = -slow[2] * spins[1], slow[2] * spins[0], 0


def slow_field(spins, out):
    out[:2], out[2] = 0, 1 + spins[0] ** 2


def accept(spins, was, should_be, time_ps, out):
    out[:] = spins
    return float(time_ps * np.abs(should_be - was).max())


def spin_after(correct, tolerance=1e-4):
    spins = np.array([[1.0], [0.0], [0.0]])
    stepper = Multirate(spins.shape, substep_ps=0.05, tolerance=tolerance)
    stepper.start(spins, slow_field)
    stepper.advance(precess, slow_field, correct, spins, 0.0, 2.0)
    stepper.advance(precess, slow_field, correct, spins, 2.0, 3.0)
    return spins, stepper


def test_a_step_beyond_the_tolerance_is_taken_again_shorter():
    calls = []

    def refuse_the_ninth(spins, was, should_be, time_ps, out):
        calls.append(time_ps)
        error = accept(spins, was, should_be, time_ps, out)
        if len(calls) == 9:
            out[:] = np.nan  # what is refused must not be used
            return 1.0
        return error

    plain, usual = spin_after(accept)
    spins, stepper = spin_after(refuse_the_ninth)
    assert calls[9] < 0.5 * calls[8]
    assert stepper.slow_evaluations == len(calls) + 1
    assert stepper.slow_evaluations > usual.slow_evaluations
    np.testing.assert_allclose(spins, plain, atol=1e-3)


def test_it_says_so_when_no_step_is_short_enough():
    with pytest.raises(RuntimeError, match="no step meets tolerance"):
        spin_after(lambda spins, was, should_be, time_ps, out: 1.0)
