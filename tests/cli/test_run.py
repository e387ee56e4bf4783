"""`skyctl run`: what it does, and what Ctrl-C or a closed terminal leaves behind."""

import contextlib
import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.recording.reader import Recording


def invoke(tmp_path, *options):
    arguments = ["run", *options, "--out", str(tmp_path), "--json", str(tmp_path / "r.json")]
    done = CliRunner().invoke(app, arguments)
    file = tmp_path / "r.json"
    return done, json.loads(file.read_text()) if file.exists() else None


def test_a_dry_run_tells_and_fires_nothing(tmp_path):
    done, told = invoke(tmp_path, "write", "--mode", "dry-run", "--sample", "3")
    assert done.exit_code == 0, done.output
    assert told["shots_booked"] == 0
    assert told["proposed"][0] in done.output
    assert told["proposed_dose_T2ps"] > 0
    assert told["sample"].startswith("α ")
    assert (tmp_path / "ledger.jsonl").read_text() == ""


def test_without_a_terminal_nothing_is_approved(tmp_path):
    done, told = invoke(tmp_path, "write")
    assert done.exit_code == 1
    assert "no answer at the terminal" in told["reason"]
    assert told["shots_booked"] == 0


def test_autonomous_does_it_and_what_it_left_can_be_replayed(tmp_path):
    done, told = invoke(tmp_path, "write", "--mode", "autonomous", "--rehearse", "1")
    assert done.exit_code == 0, done.output
    assert "rehearsed: write on 1 twins: reached (1)" in done.output
    assert told["reached"] is True
    assert told["pulses"] == told["shots_booked"] == 1
    arguments = ["replay", told["recording"], "--documents", told["documents"]]
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert "1 decisions, all as recorded" in again.output


def test_a_skyrmion_is_written_into_another_film_and_the_library_says_it_is_not_of_it(tmp_path):
    film = ["--film", "pdfeir", "--set", "bias_T=0,0,-3", "--size", "60"]
    done, told = invoke(tmp_path, "write", "--mode", "autonomous", *film)
    assert done.exit_code == 0, done.output
    assert told["reached"] is True
    assert "interfacial_dmi_meV is 2.64, it is in a field" in told["outside_library"]
    assert "the agent learns it from more shots" in done.output
    with Recording(told["recording"]) as recording:
        assert recording.header["sample"]["lattice_nm"] == 0.271
        assert recording.shape == (60, 60)


def test_a_disc_begins_with_its_skyrmion(tmp_path):
    disc = ["--size", "60", "--shape", "disc:29.5", "--start", "skyrmion"]
    done, told = invoke(tmp_path, "erase", "--mode", "dry-run", *disc)
    assert done.exit_code == 0, done.output
    assert "% of its sites are missing" in told["outside_library"]
    with Recording(told["recording"]) as recording:
        (look,) = recording.results
        assert (look["discs"], look["domains"]) == (1, 0)
        assert recording.header["sites"] == pytest.approx(29.5**2 * 3.1416, rel=0.02)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["characterise", "--film", "fege"], "would find wrong numbers"),
        (
            ["write", "--rehearse", "1", "--shape", "disc:45"],
            "its twins are drawn from the library",
        ),
        (["write", "--shape", "ring:45,20"], "are missing, and of an image"),
        (["write", "--set", "dmi=1"], "--set dmi=1: give one of"),
        (["write", "--beamline", "b.toml", "--film", "fege"], "are of the simulated sample"),
        (
            ["switch", "--film", "ptco", "--size", "9", "--start", "skyrmion"],
            "no skyrmion is stable",
        ),
    ],
)
def test_a_film_that_cannot_be_is_refused_with_the_remedy(tmp_path, options, fault):
    done, told = invoke(tmp_path, *options)
    assert (done.exit_code, told) == (2, None)
    assert fault in " ".join(done.output.replace("│", "").split())


def test_what_cannot_be_is_misuse(tmp_path):
    for options in (["fly"], ["write", "--mode", "yolo"], ["write", "--shots", "0"]):
        done, _ = invoke(tmp_path, *options)
        assert done.exit_code == 2


def as_a_shell_would():
    """In the child: the terminal is its own, and a hang-up means something even under nohup."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def at_a_terminal(folder, mode):
    """Starts `skyctl run cycle` at a terminal of its own: the child, and our end of that."""
    ours, its = pty.openpty()
    arguments = ["run", "cycle", "--cycles", "1000", "--mode", mode, "--out", str(folder)]
    child = subprocess.Popen(
        [sys.executable, "-m", "skyctl.cli", *arguments],
        stdin=its, stdout=its, stderr=its, start_new_session=True,
        env={**os.environ, "TERM": "dumb", "NO_COLOR": "1"},
        preexec_fn=as_a_shell_would,
    )  # fmt: skip
    os.close(its)
    return child, ours


def read_until(terminal, text):
    shown = b""
    while text not in shown:
        shown += os.read(terminal, 4096)  # EIO where it ended


@pytest.fixture
def endless(tmp_path):
    """An unattended run at a terminal that has fired."""
    child, ours = at_a_terminal(tmp_path, "autonomous")
    read_until(ours, b"write: ")
    yield child, ours
    child.kill()
    child.wait()
    os.close(ours)


def read_to_the_end(terminal):
    shown = b""
    with contextlib.suppress(OSError):  # EIO: nobody has it open any more
        while more := os.read(terminal, 4096):
            shown += more
    return shown.decode()


@pytest.mark.slow
@pytest.mark.attack
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_run_in_order(tmp_path, endless, how):
    child, terminal = endless
    child.send_signal(how)
    shown = read_to_the_end(terminal)
    assert child.wait(120) == 130
    assert how == signal.SIGHUP or "the pulser is disarmed" in shown
    assert "Traceback" not in shown
    assert_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.attack
def test_a_closed_terminal_ends_a_run_in_order(tmp_path, endless):
    child, terminal = endless
    closing = os.dup(terminal)
    os.dup2(os.open(os.devnull, os.O_RDWR), terminal)  # the fixture closes this one
    os.close(closing)
    assert child.wait(120) == 130
    assert_whole(tmp_path)


@pytest.mark.slow
@pytest.mark.attack
def test_answers_typed_ahead_at_a_terminal_fire_nothing(tmp_path):
    child, ours = at_a_terminal(tmp_path, "approve-each")
    os.write(ours, b"y\n" * 3)  # before anything is asked
    read_until(ours, b"then no): ")
    os.write(ours, b"y\n" * 3)
    read_until(ours, b"which one?")
    os.write(ours, b"n\n")
    read_to_the_end(ours)
    assert child.wait(60) == 1
    os.close(ours)
    assert (tmp_path / "ledger.jsonl").read_text() == ""


def assert_whole(folder):
    """What was booked was filmed into one whole file, and the run has its stop document."""
    booked = [json.loads(line) for line in (folder / "ledger.jsonl").read_text().splitlines()]
    (file,) = folder.glob("*.h5")
    with Recording(file) as recording:
        filmed = [start.shot for start, _, _ in recording.shots() if start.pulse]
        assert recording.cut_frames == 0
    assert filmed == [entry["shot"] for entry in booked]
    documents = [json.loads(line) for line in (folder / "documents.jsonl").read_text().splitlines()]
    assert documents[-1]["name"] == "stop"
    assert documents[-1]["doc"]["exit_status"] in ("abort", "fail")
