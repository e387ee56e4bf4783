"""Runge–Kutta methods on spins whose motion is known."""

import numpy as np
import pytest

from skyctl.simulators.physics.runge_kutta import DORMAND_PRINCE, RK4, RungeKutta

TURNS_PER_PS = np.array([0.7, -1.1, 1.9, 0.4])


def precession(time_ps, spins, out):
    """Each spin about z at its own rate, which swells with time: the methods must use the nodes."""
    rate = TURNS_PER_PS * (1 + np.cos(time_ps))
    out[0], out[1], out[2] = -rate * spins[1], rate * spins[0], 0


def start():
    return np.array([[0.8] * 4, [0.0] * 4, [0.6] * 4])


def exact(time_ps):
    angle = TURNS_PER_PS * (time_ps + np.sin(time_ps))
    return np.array([0.8 * np.cos(angle), 0.8 * np.sin(angle), [0.6] * 4])


def error_after(tableau, steps, span_ps=3.0):
    spins = start()
    RungeKutta(tableau, spins.shape).advance(precession, spins, 0.0, span_ps, steps)
    return np.abs(spins - exact(span_ps)).max()


@pytest.mark.parametrize("tableau", [RK4, DORMAND_PRINCE], ids=["RK4", "Dormand–Prince"])
def test_the_error_goes_with_the_order(tableau):
    steps = np.array([60, 80, 120, 160])
    errors = [error_after(tableau, n) for n in steps]
    slope, _ = np.polyfit(np.log(steps), np.log(errors), 1)
    assert -slope == pytest.approx(tableau.order, abs=0.25)


@pytest.mark.parametrize("tableau", [RK4, DORMAND_PRINCE])
def test_the_tableau_is_consistent(tableau):
    assert sum(tableau.weights) == pytest.approx(1, abs=1e-15)
    for node, row in zip(tableau.nodes, tableau.stages, strict=True):
        assert sum(row) == pytest.approx(node, abs=1e-14)
    if tableau.error:
        assert sum(tableau.error) == pytest.approx(0, abs=1e-15)


def test_the_error_estimate_is_of_the_order_of_the_lower_method():
    estimates = []
    for step in (0.2, 0.1):
        method = RungeKutta(DORMAND_PRINCE, (3, 4))
        method._rows[0] = start()
        method._step(precession, 0.0, step, new_state=True)
        estimates.append(method._error(step))
    assert np.log2(estimates[0] / estimates[1]) == pytest.approx(5, abs=0.5)


def test_spins_keep_their_length_and_empty_sites_stay_empty():
    spins = start()
    spins[:, 2] = 0
    RungeKutta(RK4, spins.shape).advance(precession, spins, 0.0, 5.0, 7)
    np.testing.assert_allclose(np.linalg.norm(spins, axis=0), [1, 1, 0, 1], atol=1e-15)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-6, 1e-8])
def test_adaptive_steps_keep_to_the_tolerance(tolerance):
    spins = start()
    method = RungeKutta(DORMAND_PRINCE, spins.shape)
    method.advance_adaptive(precession, spins, 0.0, 10.0, tolerance)
    steps = method.evaluations / 6
    assert np.abs(spins - exact(10.0)).max() < tolerance * steps


def test_adaptive_steps_are_as_many_as_the_tolerance_asks_for():
    counts = []
    for tolerance in (1e-5, 1e-10):
        method = RungeKutta(DORMAND_PRINCE, (3, 4))
        method.advance_adaptive(precession, start(), 0.0, 20.0, tolerance)
        counts.append(method.evaluations)
    assert counts[1] / counts[0] == pytest.approx(10, rel=0.4)  # (1e5)^(1/5)


def test_a_run_in_pieces_ends_where_a_whole_one_does():
    spins, method = start(), RungeKutta(DORMAND_PRINCE, (3, 4))
    for begin in range(10):
        method.advance_adaptive(precession, spins, float(begin), 1.0, 1e-9)
    np.testing.assert_allclose(spins, exact(10.0), atol=1e-7)


def test_the_last_rate_of_a_step_is_the_first_of_the_next():
    spins, method = start(), RungeKutta(DORMAND_PRINCE, (3, 4))
    method.advance(precession, spins, 0.0, 1.0, 10)
    assert method.evaluations == 1 + 10 * 6
    np.testing.assert_allclose(spins, exact(1.0), atol=1e-5)


def test_single_precision_stays_single():
    seen = set()

    def rate(time_ps, spins, out):
        seen.add((spins.dtype, out.dtype))
        precession(time_ps, spins, out)

    spins = start().astype("f4")
    RungeKutta(RK4, spins.shape, "f4").advance(rate, spins, 0.0, 3.0, 60)
    assert seen == {(np.dtype("f4"), np.dtype("f4"))}
    np.testing.assert_allclose(spins, exact(3.0), atol=1e-4)


def test_refusals_name_what_is_wrong():
    with pytest.raises(ValueError, match="no error estimate"):
        RungeKutta(RK4, (3, 4)).advance_adaptive(precession, start(), 0.0, 1.0, 1e-4)
    method = RungeKutta(DORMAND_PRINCE, (3, 4))
    with pytest.raises(ValueError, match="tolerance -1"):
        method.advance_adaptive(precession, start(), 0.0, 1.0, -1.0)
    with pytest.raises(RuntimeError, match="no step meets tolerance"):
        method.advance_adaptive(lambda t, s, out: out.fill(np.nan), start(), 0.0, 1.0, 1e-4)
