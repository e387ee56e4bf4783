"""Torque networks against the states they learned from, on lattices small enough for a test."""

import json
from functools import partial

from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.models import torque_recipe
from skyctl.models.torque_data import TorquePlan
from skyctl.models.torque_recipe import TorqueRecipe
from skyctl.simulators.itinerant.electrons import Electrons

PLAN = TorquePlan(side=12, runs=8, steps=1, electrons=Electrons(temperature=0.1))


def test_networks_learn_from_more_and_more_states_and_go_on(tmp_path, monkeypatch):
    recipe = partial(TorqueRecipe, plan=PLAN, test_runs=2, test_steps=1)
    monkeypatch.setattr(torque_recipe, "TorqueRecipe", recipe)
    target, png = tmp_path / "scaling.json", tmp_path / "scaling.png"
    arguments = ["bench", "torque-scaling", "--network", "paper", "--network", "equivariant"]
    arguments += ["--count", "4", "--count", "0", "--seeds", "2", "--steps", "2"]
    arguments += ["--data", str(tmp_path), "--json", str(target), "--png", str(png)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    rows = json.loads(target.read_text())["results"]
    cells = [(row["architecture"], row["states"], row["seed"]) for row in rows]
    # Of 8 runs of 2 states two are held out.
    assert cells == [
        (name, states, seed)
        for seed in (0, 1)
        for states in (4, 12)
        for name in ("equivariant", "paper")
    ]
    assert len({row["quench"]["error"] for row in rows}) == 8
    assert png.stat().st_size > 5000

    def never(*_, **__):
        raise AssertionError

    monkeypatch.setattr("skyctl.models.torque_data.label", never)
    monkeypatch.setattr(torque_recipe, "train_torque", never)
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert json.loads(target.read_text())["results"] == rows


def test_a_network_that_is_none_is_refused():
    done = CliRunner().invoke(app, ["bench", "torque-scaling", "--network", "cubic"])
    assert done.exit_code == 2
    assert "equivariant, gradient, paper" in done.output
