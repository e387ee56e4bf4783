"""Quenches of the truth and of networks: their order, and that the truth's are kept."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.models.torque_data import label
from skyctl.simulators.itinerant.electrons import helix, skyrmion_lattice, structure_factor
from skyctl.studies import torque_quenches as study
from skyctl.studies.torque_quenches import (
    mean_wave_number,
    order,
    peak_height,
    peaks_found,
    run_film,
)


def test_order_is_the_share_of_the_six_peaks():
    assert order(helix(24, 24)) == pytest.approx(1)
    uniform = np.zeros((3, 24, 24))
    uniform[2] = 1
    assert order(uniform) == pytest.approx(0)
    assert 0.5 < order(skyrmion_lattice(24, 24, magnetisation=0.4)) < 1


def test_peaks_are_found_within_one_pixel():
    s = structure_factor(skyrmion_lattice(24, 24))
    assert peaks_found(s) == 6
    assert peaks_found(np.roll(s, (1, -1), (0, 1))) == 6
    assert peaks_found(np.roll(s, 12, 1)) == 0


def test_the_paper_s_peak_height_is_sites_times_s_of_q():
    # One helix: half of S(q) at Q1 and at -Q1, nothing at the other four.
    assert peak_height(helix(24, 24)) == pytest.approx(24 * 24 / 6)
    assert peak_height(helix(48, 48)) == pytest.approx(48 * 48 / 6)


def test_the_mean_wave_number_is_q_s_length_wherever_it_points():
    for peak in study.order_peaks(24, 24):
        s = np.zeros((24, 24))
        s[0, 0], s[peak] = 5.0, 0.3
        assert mean_wave_number(s) == pytest.approx(1)
    corner = np.zeros((24, 24))
    corner[8, 16] = 1.0  # K, the corner of the Brillouin zone: |q| = 4π/3
    assert mean_wave_number(corner) == pytest.approx(4)


def test_films_are_looked_at_when_asked():
    def field(spins):
        out = np.zeros_like(spins)
        out[0] = 0.1
        return out

    start = np.zeros((3, 12, 12))
    start[2] = 1
    first, second = run_film(field, start, [0.0, 10.0])
    np.testing.assert_array_equal(first, start)
    # A turn of 1 about x, by -S x B, but for damping and H_ext.
    assert second[1, 0, 0] == pytest.approx(-np.sin(1.0), abs=0.06)


@pytest.fixture
def diagonalised(monkeypatch):
    """How often the truth was asked."""
    asked = []

    def counted(electrons, spins):
        asked.append(1)
        return label(electrons, spins)

    monkeypatch.setattr(study, "label", counted)
    return asked


def test_the_command_goes_on_with_the_truth_s_quenches(tmp_path, diagonalised):
    target, png = tmp_path / "quenches.json", tmp_path / "quenches.png"

    def command(quenches):
        done = CliRunner().invoke(
            app,
            ["bench", "torque-quenches", "--side", "12", "--long", "40", "--quenches", quenches,
             "--data", str(tmp_path / "kept"), "--json", str(target), "--png", str(png)],
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        return json.loads(target.read_text())["quenches"]

    one = command("1")
    assert len(diagonalised) == 2 * 8  # midpoint steps of 5 t0
    two = command("2")
    assert len(diagonalised) == 2 * 8 * 2
    assert two["truth"]["order"][0] == one["truth"]["order"][0]
    assert two["truth"] != two["start"]
    assert len(two["itinerant-torque-equivariant"]["wave_number"]) == 2
    assert png.stat().st_size > 5000


def test_a_side_without_the_order_is_refused(tmp_path):
    done = CliRunner().invoke(
        app, ["bench", "torque-quenches", "--side", "14", "--data", str(tmp_path / "kept")]
    )
    assert done.exit_code != 0
    assert "14" in done.output
    assert not (tmp_path / "kept").exists()
