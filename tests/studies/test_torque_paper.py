"""The torque paper done again: its measures on cases that are known, and all of it, very small."""

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.models.torque import EquivariantNetwork
from skyctl.models.torque_data import TorquePlan
from skyctl.models.torque_recipe import TorqueRecipe
from skyctl.simulators.itinerant.electrons import (
    Electrons,
    random_spins,
)
from skyctl.studies import torque_paper as reproduction
from skyctl.studies.torque_paper import (
    ARCHITECTURES,
    TorquePreset,
    equivariance_error,
    field_range,
    receptive_field,
)


def some_spins(side=12):
    rng = np.random.default_rng(0)
    return np.stack([random_spins(side, side, rng) for _ in range(2)])


class OneSpin(torch.nn.Module):
    """T = 3 S_z of the neighbour at (1, 2), along x: neither symmetric nor wide."""

    def forward(self, spins):
        z = 3 * spins[:, 2:].roll((-1, -2), (2, 3))
        return torch.cat([z, 0 * z, 0 * z], 1)


def test_a_network_that_is_not_symmetric_is_found_out():
    spins = some_spins()
    torch.manual_seed(0)
    assert equivariance_error(EquivariantNetwork().eval(), spins) < 1e-5
    assert equivariance_error(OneSpin(), spins) > 0.1


def test_the_receptive_field_is_what_the_network_looks_at():
    influence = receptive_field(OneSpin(), some_spins())
    assert influence[7, 8] == pytest.approx(3)
    assert influence.sum() == pytest.approx(3)
    assert field_range(influence) == pytest.approx(np.sqrt(4 + 2 + 1))


def test_the_whole_of_it_very_small(tmp_path, monkeypatch):
    plan = TorquePlan(side=12, runs=8, steps=1, electrons=Electrons(temperature=0.1))
    recipe = TorqueRecipe(
        widths=(2, 2), plan=plan, steps=2, test_runs=2, test_steps=1, rounds=0
    )  # fmt: skip
    tiny = TorquePreset(recipe, 1, 4.0, 4.0, 25.0)
    monkeypatch.setattr(reproduction, "PRESETS", {"quick": tiny})
    done = CliRunner().invoke(app, ["reproduce", "torque", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "result.json").read_text())
    assert set(result["networks"]) == set(ARCHITECTURES) == set(result["restored"])
    assert result["networks"]["equivariant"]["equivariance_error"] < 1e-5
    assert abs(result["restored"]["paper"]["charge_per_cell_of_the_ansatz"]) == pytest.approx(1)
    figures = ("parity", "receptive_field", "structure_factor", "snapshots", "long_run")
    assert all((tmp_path / f"{name}.png").stat().st_size > 5000 for name in figures)
    assert all((tmp_path / f"{name}.onnx").exists() for name in ARCHITECTURES)
