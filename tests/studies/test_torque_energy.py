"""Energy along a film: kept under a torque that is its gradient, pumped under one that is not."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.models.torque_data import DATA_ELECTRONS, label
from skyctl.simulators.itinerant.electrons import perpendicular, skyrmion_lattice
from skyctl.studies import torque_energy as study
from skyctl.studies.torque_energy import energy_course

TIMES = [0.0, 5.0, 10.0]


def truth(spins):
    return label(DATA_ELECTRONS, spins)


def twisted(spins):
    """The truth's field, and a tenth of it turned about each spin: what anti-damping does."""
    field = truth(spins)
    return perpendicular(spins, field + 0.1 * np.cross(spins, field, axis=0))


@pytest.fixture(scope="module")
def start():
    rng = np.random.default_rng(0)
    return skyrmion_lattice(12, 12, magnetisation=0.4, spread=0.3, rng=rng)


def test_the_truth_keeps_its_energy_and_pumps_none(start):
    course = energy_course(truth, start, TIMES, step_t0=2.5)
    damped = energy_course(truth, start, TIMES, step_t0=2.5, damping=0.05)
    assert damped.gained < 0
    assert abs(course.gained) < 0.05 * abs(damped.gained)  # the scheme's, at this step
    assert abs(course.pumped_share) < 1e-3
    lost = np.trapezoid(damped.dissipated, TIMES)
    assert -damped.gained == pytest.approx(lost, rel=0.4)


def test_a_torque_that_is_no_gradient_pumps_what_its_rate_says(start):
    course = energy_course(twisted, start, TIMES, step_t0=2.5)
    assert course.gained == pytest.approx(np.trapezoid(course.pumped, TIMES), rel=0.3)
    # A tenth of the field turned by 90° moves energy as a damping of 0.1 does, twice the paper's.
    assert abs(course.pumped_share) == pytest.approx(2, rel=0.2)


def test_the_command_tells_of_each_network(tmp_path, monkeypatch):
    monkeypatch.setattr(study, "LOOKS", 2)
    target, png = tmp_path / "energy.json", tmp_path / "energy.png"
    done = CliRunner().invoke(
        app,
        ["bench", "torque-energy", "--side", "12", "--long", "10", "--json", str(target),
         "--png", str(png)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    runs = json.loads(target.read_text())["runs"]
    assert set(runs) == {"lattice", "quench"}
    for drivers in runs.values():
        assert set(drivers) == {"truth", "itinerant-torque-equivariant", "damped"}
        assert drivers["damped"]["gained"] < min(0, drivers["truth"]["gained"])
        assert len(drivers["truth"]["energy"]) == 3
    assert png.stat().st_size > 5000
