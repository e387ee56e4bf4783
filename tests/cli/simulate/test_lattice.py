"""`skyctl simulate lattice`, used as a person would."""

import json

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.simulators.instrument.spread import SampleSpread


def invoke(*args):
    command = ["simulate", "lattice", *map(str, args)]
    return CliRunner().invoke(app, command, env={"COLUMNS": "120"})


def test_simulate_prints_and_writes_the_movie(tmp_path):
    done = invoke("--width", 40, "--json", tmp_path / "s.json", "--png", tmp_path / "s.png")
    assert done.exit_code == 0, done.output
    assert "collapse" in done.output
    result = json.loads((tmp_path / "s.json").read_text())
    assert result["label"] == "collapse"
    assert [f["time_ps"] for f in result["frames"]] == [15.0 * i for i in range(12)]
    assert abs(result["frames"][-1]["charge"]) < 0.2
    assert (tmp_path / "s.png").read_bytes().startswith(b"\x89PNG")


def test_simulate_shows_a_drawn_sample_through_a_camera(tmp_path, monkeypatch):
    strips = []
    monkeypatch.setattr("skyctl.pictures.film_strip", lambda strip, path: strips.extend(strip))
    camera = [
        "--noise", 0.1, "--photons", 500, "--blur", 1, "--pixels", "7x11", "--drift", "0.1,0",
        "--seed", 5,
    ]  # fmt: skip
    film = ["--size", 24, "--start", "empty", "--duration", 30, "--png", tmp_path / "s.png"]
    shown = []
    for more in (["--sample-seed", 3], ["--sample-seed", 3, "--damping", 0.2], []):
        done = invoke(*film, *camera, *more, "--json", tmp_path / "s.json")
        assert done.exit_code == 0, done.output
        shown.append((done.output, json.loads((tmp_path / "s.json").read_text())))
    drawn = SampleSpread().draw(3)
    output, result = shown[0]
    assert f"sample 3: {drawn}" in output
    assert result["film"]["moment_muB"] == drawn.parameters.moment_muB
    assert result["film"]["damping"] == drawn.parameters.damping
    assert result["field_calibration"] == drawn.field_calibration
    assert result["imaging"]["pixels"] == [7, 11]
    assert shown[1][1]["film"]["damping"] == 0.2  # asked for, so not drawn
    assert shown[1][1]["film"]["moment_muB"] == drawn.parameters.moment_muB
    assert shown[2][1]["film"]["damping"] == 0.36
    assert shown[2][1]["field_calibration"] == 1.0
    # What the strip draws is the camera's image: its pixels, its noise.
    for image in (image for strip in strips for image in strip.sz):
        assert image.shape == (7, 11)
        assert image.std() > 0.05
    assert shown[0][1]["frames"] != shown[2][1]["frames"]


def test_simulate_writes_a_skyrmion_with_a_spot(tmp_path):
    done = invoke(
        "--start", "empty", "--amplitude", 8, "--width", 16, "--spot", "49.5,49.5,6",
        "--precision", "f4",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "nucleation" in done.output


def test_a_film_that_was_saved_is_pulsed_again(tmp_path):
    film, target = tmp_path / "film.h5", tmp_path / "s.json"
    first = ["--size", 36, "--duration", 30, "--seed", 7, "--save", film]
    done = invoke(*first)
    assert done.exit_code == 0, done.output
    more = ["--duration", 30, "--amplitude", 0, "--resume", film, "--json", target]
    done = invoke(*more)
    assert done.exit_code == 0, done.output
    result = json.loads(target.read_text())
    assert (result["start"], result["film"]["rows"], result["seed"]) == (str(film), 36, 7)
    done = invoke(*more, "--damping", 0.2)
    assert done.exit_code == 2
    assert "--damping changes nothing with --resume" in " ".join(
        done.output.replace("│", " ").split()
    )


@pytest.mark.parametrize(
    "args",
    [
        ["--width", "-3"],
        ["--width", "nan"],
        ["--spot", "1,2"],
        ["--spot", "500,500,3"],
        ["--png", "picture.xyz"],
        ["--size", "1"],
        ["--damping", "-1"],
        ["--noise", "-1"],
        ["--pixels", "3"],
        ["--pixels", "0x4"],
        ["--drift", "1"],
        ["--sample-seed", "-1"],
        ["--field", "2"],
        ["--torque", "nowhere.onnx"],
    ],
)
def test_misuse_ends_with_status_2(args):
    assert invoke(*args).exit_code == 2


@pytest.mark.parametrize("option", ["--field", "--torque"])
def test_options_of_other_films_are_named(option):
    done = invoke(option, "2")
    assert f"No such option: {option}" in " ".join(done.output.split())
