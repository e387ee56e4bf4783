"""From nothing to an exported torque network, on lattices small enough for a test."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.bench.torque_network import torque_speed
from skyctl.cli import app
from skyctl.errors import ModelError
from skyctl.inference.torque_network import TorqueNetwork
from skyctl.models import torque_recipe
from skyctl.models.torque_data import DAMPING, H_EXT, TorquePlan, start_of_run
from skyctl.models.torque_recipe import (
    DRIVEN_STATES,
    EARLY_STATES,
    TorqueRecipe,
    make_torque_network,
)
from skyctl.simulators.itinerant.electrons import (
    FOUR_TWISTS,
    Electrons,
    equilibrium,
    perpendicular,
)
from skyctl.simulators.itinerant.film import midpoint_step

PLAN = TorquePlan(side=12, runs=8, steps=1, electrons=Electrons(temperature=0.1))


RECIPE = TorqueRecipe(
    "paper", (2, 3), PLAN, test_runs=2, test_steps=1, steps=2, rounds=1, driven_runs=8,
    driven_states=1, longest_t0=15,
)  # fmt: skip


def listening():
    """What is begun, with its steps, and what to call for it."""
    begun = []

    def progress(what, steps):
        begun.append((what.split("-")[0], steps))
        return lambda: None

    return begun, progress


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of a network that was made, its facts, and what was begun for it."""
    folder = tmp_path_factory.mktemp("made")
    begun, progress = listening()
    _, facts = make_torque_network(RECIPE, folder / "made.onnx", folder / "data", progress=progress)
    return folder, facts, begun


def test_a_network_is_made_and_learns_from_driven_states_too(made, monkeypatch):
    folder, facts, begun = made
    out = folder / "made.onnx"
    assert begun == [
        ("states driven by truth", 8),
        ("states driven by truth", 2),
        ("training, round 1", 2),
        ("states driven by equivariant", 8),
        ("training, round 2", 2),
    ]
    assert set(facts.scores) == {"lattice", "quench", EARLY_STATES, DRIVEN_STATES}
    # 8 + 8 runs of 2 and 1 states; of four runs of a kind one is held out.
    assert facts.states == 6 * 2 + 6
    card = TorqueNetwork(out).card
    assert card.mean_field == facts.scale
    assert card.electrons == PLAN.electrons.as_dict()
    assert facts.data_sha256 in out.with_suffix(".md").read_text()

    # What is labelled is kept: the truth is not asked again.
    def never(*_):
        raise AssertionError

    monkeypatch.setattr("skyctl.models.torque_data.label", never)
    monkeypatch.setattr(torque_recipe, "train_torque", never)
    monkeypatch.setattr(torque_recipe, "export_torque", lambda *_: 0.0)  # the files are there
    _, again = make_torque_network(RECIPE, out, folder / "data")
    assert again.data_sha256 == facts.data_sha256


def test_sets_that_are_labelled_and_a_driver_can_be_given(made, tmp_path):
    data, second = tmp_path / "data", tmp_path / "second.onnx"
    shutil.copytree(made[0] / "data", data)
    driver = data / "equivariant-0.onnx"
    (labelled,) = data.glob("equivariant-*.h5")
    labelled = labelled.rename(data / "labelled.h5")
    begun, progress = listening()
    _, facts = make_torque_network(
        RECIPE, second, data, driver=driver, labelled=[labelled], progress=progress
    )
    # The truth's states are there, and no network is trained first to drive.
    assert [(what, steps) for what, steps in begun if steps] == [
        ("states driven by equivariant", 8),
        ("training, round 2", 2),
    ]
    assert facts.states == 6 * 2 + 6 + 6
    sha256 = TorqueNetwork(driver).card.file_sha256
    assert (data / f"equivariant-{sha256[:12]}-{PLAN.seed + 1}.h5").is_file()
    with pytest.raises(ValueError, match="driven by the truth"):
        make_torque_network(RECIPE, second, data, labelled=[data / "truth.h5"])
    warmer = replace(RECIPE, plan=replace(PLAN, electrons=Electrons(temperature=0.2)))
    with pytest.raises(ValueError, match="12 sites along a side"):
        make_torque_network(warmer, second, tmp_path / "warmer", labelled=[labelled])
    with pytest.raises(FileNotFoundError, match=r"nowhere\.h5"):
        make_torque_network(RECIPE, second, data, labelled=[tmp_path / "nowhere.h5"])


def test_the_runs_by_which_networks_are_judged_lose_energy():
    """They are damped. In steps of 10 t0 a lattice of skyrmions gains some instead."""
    plan = replace(TorqueRecipe().test_plan, side=12, steps=1)
    spins = start_of_run("lattice", plan.side, np.random.default_rng(0))
    applied = np.array([0, 0, H_EXT])[:, None, None]
    energies = []

    def field(state, second):
        now = equilibrium(plan.electrons, state, FOUR_TWISTS)
        if not second:
            energies.append(now.grand_potential - H_EXT * state[2].mean())
        return perpendicular(state, now.field) + applied

    for _ in range(round(40 / plan.step_t0) + 1):
        spins = midpoint_step(spins, field, plan.step_t0, DAMPING)
    assert np.all(np.diff(energies) < 0)
    assert energies[0] - energies[-1] > 2e-4  # 4.4e-4 in steps of 2.5 t0


def test_networks_begin_as_their_seed_says():
    first, second, other = (
        next(TorqueRecipe(seed=seed).network().parameters()).detach().numpy() for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)
    for steps in (0, 1):  # the first step of a training changes nothing
        with pytest.raises(ValueError, match=f"{steps} steps"):
            TorqueRecipe(steps=steps)
    with pytest.raises(ValueError, match="held out"):
        TorqueRecipe(driven_runs=6)


def test_the_command_trains_on_a_plan_and_reports(tmp_path, monkeypatch):
    made = []

    def make(recipe, out, data, **options):
        made.append((recipe, out, options["scheduler"]))
        raise ModelError("model: made up")

    monkeypatch.setattr(torque_recipe, "make_torque_network", make)
    arguments = ["train", "torque", "--network", "paper", "--runs", "20", "--rounds", "0"]
    done = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path), "--scheduler", "local"])
    assert done.exit_code == 1
    assert "model: made up" in done.output
    ((recipe, out, scheduler),) = made
    assert (recipe.architecture, recipe.plan.runs, recipe.rounds) == ("paper", 20, 0)
    assert (str(out), scheduler) == ("itinerant-torque-paper.onnx", "local")


@pytest.mark.slow
def test_the_benchmark_times_all_of_them(tmp_path, monkeypatch):
    monkeypatch.setattr("skyctl.bench.torque_network.SIDES", (12, 24))
    target = tmp_path / "torque.json"
    done = CliRunner().invoke(
        app, ["bench", "torque", "--side", "12", "--seconds", "0.1", "--json", str(target)]
    )
    assert done.exit_code == 0, done.output
    rows = json.loads(target.read_text())["results"]
    by_name = {row["what"].split(" (")[0]: row for row in rows if row["sites"] == 144}
    assert by_name["network, ONNX Runtime"]["times_network"] == 1
    assert by_name["diagonalisation"]["seconds"] > 0
    errors = [row["error"] for row in rows if row["what"].startswith("kernel polynomials")]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-3  # each site has a vector of its own
    assert [row["times_network"] for row in rows if row["sites"] == 576] == [None]
    with pytest.raises(ValueError, match="multiple of 12"):
        torque_speed(None, 0.1, 20)
