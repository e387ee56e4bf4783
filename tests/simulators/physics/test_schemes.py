"""The schemes' scalar functions as they are; compiled ones are tested beside their kernels."""

from typing import get_args

import numpy as np
import pytest

from skyctl.simulators.physics import llg
from skyctl.simulators.physics.schemes import DEPONDT, HEUN, MIDPOINT, SCHEMES, SchemeName

FIELD = np.array([0.2, -0.3, 0.5])
START = np.array([0.6, 0.0, 0.8])
CONSTANTS = (0.5, 1.0, llg.TAN_PADE)


def stepped(scheme, field, steps, damping=0.1):
    """A spin after a turn by ``field``, its B', in so many steps; nothing interacts."""
    predict, correct = scheme.functions(lambda function: function)
    spin = START
    for _ in range(steps):
        now = llg.turning(*spin, *(field / steps), damping)
        predicted = predict(*spin, *now, *CONSTANTS)
        later = llg.turning(*predicted, *(field / steps), damping)
        spin = np.array(correct(*spin, *predicted, *now, *later, *CONSTANTS))
        if scheme is HEUN:
            spin /= np.linalg.norm(spin)
    return spin


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_a_spin_turns_as_it_does_in_many_small_steps_and_the_error_is_of_second_order(scheme):
    exact = stepped(scheme, FIELD, 4000)
    errors = [np.abs(stepped(scheme, FIELD, steps) - exact).max() for steps in (4, 8)]
    assert errors[0] < 2e-3
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.2)


@pytest.mark.parametrize("scheme", [MIDPOINT, DEPONDT], ids=["midpoint", "depondt"])
def test_a_rotation_keeps_the_length(scheme):
    assert np.linalg.norm(stepped(scheme, 3 * FIELD, 5)) == pytest.approx(1, abs=1e-14)


def test_depondts_rotation_is_exact_without_damping():
    angle = np.linalg.norm(FIELD)
    axis = FIELD / angle
    along = axis * (axis @ START)
    expected = along + (START - along) * np.cos(angle) - np.cross(START, axis) * np.sin(angle)
    np.testing.assert_allclose(stepped(DEPONDT, FIELD, 1, damping=0), expected, atol=1e-14)


def test_what_a_scheme_reads_and_writes_goes_with_what_it_keeps():
    values = {name: scheme.pass_values for name, scheme in SCHEMES.items()}
    assert values == {"heun": 15, "midpoint": 15, "depondt": 21}


def test_every_name_is_a_schemes():
    assert tuple(SCHEMES) == get_args(SchemeName)
    assert all(name == scheme.name for name, scheme in SCHEMES.items())
