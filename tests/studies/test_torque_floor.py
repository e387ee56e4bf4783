"""What no torque network can better: other boundaries, and spins out of reach."""

import json
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.models import torque_recipe
from skyctl.models.torque_data import TorquePlan, TorqueStates, label
from skyctl.models.torque_recipe import TorqueRecipe
from skyctl.simulators.itinerant.electrons import Electrons, random_spins
from skyctl.studies import torque_floor as study
from skyctl.studies.torque_floor import distance_from_middle, label_floor, reach_floor

WARM = Electrons(temperature=0.1)


@pytest.fixture(scope="module")
def states():
    rng = np.random.default_rng(0)
    spins = np.stack([random_spins(12, 12, rng) for _ in range(4)]).astype(np.float32)
    fields = np.stack([label(WARM, one.astype(np.float64)) for one in spins]).astype(np.float32)
    return TorqueStates(spins, fields, np.array(["lattice", "quench"] * 2))


def test_four_other_boundaries_agree_better_than_one(states):
    said = label_floor(WARM, states, 2)
    for kind in ("lattice", "quench"):
        four, one = said[kind]["four others"], said[kind]["one"]
        assert 0 < four["error"] < one["error"]
        assert four["sites"] == 2 * 144


def test_what_lies_within_reach_is_all_there_is_and_what_lies_beyond_counts(states):
    said = reach_floor(WARM, states, 3, (1, 12))
    for near, everything in said["changes"].values():
        assert near > 0.1
        assert everything == pytest.approx(0, abs=1e-6)


def test_distances_are_the_same_in_six_directions():
    distance = distance_from_middle(12, 12)
    assert (distance == 0).sum() == 1
    assert (np.isclose(distance, 1)).sum() == (np.isclose(distance, 2)).sum() == 6
    assert distance.max() == pytest.approx(12 / np.sqrt(3), rel=0.05)


def test_the_command_says_both(tmp_path, monkeypatch):
    plan = TorquePlan(side=12, runs=8, steps=1, electrons=WARM)
    recipe = partial(TorqueRecipe, plan=plan, test_runs=4, test_steps=1)
    monkeypatch.setattr(torque_recipe, "TorqueRecipe", recipe)
    monkeypatch.setattr(study, "REACHES", (4,))
    target = tmp_path / "floor.json"
    done = CliRunner().invoke(
        app,
        ["bench", "torque-floor", "--data", str(tmp_path), "--states", "1", "--spins", "1",
         "--json", str(target)],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    result = json.loads(target.read_text())
    assert set(result["labels"]) == set(result["reach"]["changes"]) == {"lattice", "quench"}
    assert "another state beyond" in done.output
