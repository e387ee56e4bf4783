"""The checks that ``skyctl verify`` prints, and what it says when one fails or cannot be done."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.simulators.proof import table
from skyctl.simulators.proof.check import Check, Missing
from skyctl.simulators.proof.integrators import energy_drift_meV_per_ps
from skyctl.simulators.proof.other_programs import spirit_difference
from skyctl.simulators.proof.table import choose
from skyctl.simulators.proof.temperature import chain_product, langevin
from skyctl.simulators.proof.waves import spin_wave_error


def by_name(checks):
    gpu = {"cuda": [pytest.mark.gpu]}
    return [
        pytest.param(check, id=check.name, marks=gpu.get(check.name.split("-")[0], []))
        for check in checks
    ]


def passes(check):
    outcome = check.run()
    if outcome.missing:
        pytest.skip(f"{check.name}: {outcome.missing}")
    assert outcome.passed, f"{outcome.measured} instead of {check.expected} ± {check.tolerance}"


@pytest.mark.parametrize("check", by_name(choose()))
def test_the_quick_checks_pass(check):
    passes(check)


@pytest.mark.slow
@pytest.mark.parametrize("check", by_name(check for check in choose(full=True) if check.full))
def test_the_long_checks_pass(check):
    passes(check)


@pytest.mark.parametrize("mode", [(1, 0), (-1, 0), (3, 0), (-3, 0), (0, 2), (5, -3)])
@pytest.mark.parametrize("along", ["x", "z"])
def test_spin_waves_of_a_plane_have_the_lattice_dispersion(along, mode):
    assert abs(spin_wave_error(along, mode, rows=12)) < 1e-5


def test_the_correlation_of_a_chain_falls_by_one_factor_a_site():
    u = langevin(1 / (0.08617333262 * 6.0))
    assert chain_product(distance=2) == pytest.approx(u**2, abs=0.006)
    assert chain_product(distance=3) == pytest.approx(u**3, abs=0.006)


def test_the_energy_drift_of_heun_falls_with_the_third_power_of_the_step():
    steps = [0.004, 0.002, 0.001]
    drifts = [energy_drift_meV_per_ps("heun", step, span_ps=2.0) for step in steps]
    order, _ = np.polyfit(np.log(steps), np.log(np.abs(drifts)), 1)
    assert order == pytest.approx(3, abs=0.15)  # one order better than the spins


def test_spirit_agrees_across_periodic_edges():
    try:
        difference = spirit_difference("depondt", periodic=True)
    except Missing as missing:
        pytest.skip(str(missing))
    assert difference < 1e-6


def test_where_spirit_is_not_installed_the_check_says_how_to(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = choose(only=["spirit-heun"])[0].run()
    assert outcome.passed is None
    assert outcome.missing == "not installed: pip install spirit"


def a_check(value, **change):
    check = Check("a-check", "a number", lambda: value, expected=2.0, tolerance=0.5, source="us")
    return replace(check, **change)


@pytest.mark.parametrize(
    ("value", "passed"),
    [(2.5, True), (1.5, True), (2.6, False), (1.4, False), (np.nan, False), (np.inf, False)],
)
def test_a_check_passes_within_its_tolerance(value, passed):
    assert a_check(value).run().passed is passed


def test_names_are_unique_and_every_check_names_its_source():
    checks = choose(full=True)
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.source and check.what for check in checks)


def test_the_quick_set_leaves_out_what_takes_long():
    assert not any(check.full for check in choose())
    assert {"curie-point", "sp4-field1-mean"} <= {check.name for check in choose(full=True)}
    assert [check.name for check in choose(only=["curie-p"])] == [
        "curie-point",
        "curie-point-error",
    ]


def invoke(*arguments):
    return CliRunner().invoke(app, ["verify", *map(str, arguments)], env={"COLUMNS": "120"})


def test_the_command_prints_a_figure_a_check_and_writes_them(tmp_path):
    done = invoke("--only", "larmor", "--only", "damping-rate", "--json", tmp_path / "table.json")
    assert done.exit_code == 0, done.output
    assert "17.84" in done.output
    assert "4 passed, 0 failed" in done.output
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["name"] for row in rows][:2] == ["larmor-period", "damping-rate-0.04"]
    assert rows[0]["measured"] == pytest.approx(rows[0]["expected"], abs=1e-4)
    assert all(row["passed"] for row in rows)


def test_a_failed_check_ends_the_command_with_status_1(monkeypatch, tmp_path):
    def lacking():
        raise Missing("not on this machine")

    checks = (a_check(2.1), a_check(7.0, name="bad"), a_check(0, name="away", measure=lacking))
    monkeypatch.setattr(table, "CHECKS", checks)
    done = invoke("--json", tmp_path / "table.json")
    assert done.exit_code == 1
    assert "1 passed, 1 failed, 1 that this machine cannot do" in done.output
    assert "FAIL" in done.output
    assert "failed: bad" in done.output
    assert "not on this machine" in " ".join(done.output.split())
    rows = json.loads((tmp_path / "table.json").read_text())
    assert [row["passed"] for row in rows] == [True, False, None]


def test_what_cannot_be_done_is_no_failure(monkeypatch):
    def lacking():
        raise Missing("not on this machine")

    monkeypatch.setattr(table, "CHECKS", (a_check(0, measure=lacking),))
    assert invoke().exit_code == 0


def test_a_check_that_does_not_exist_is_misuse():
    done = invoke("--only", "larmour")
    assert done.exit_code == 2
    assert "no check is called 'larmour'" in " ".join(done.output.split())
