"""`skyctl run`: what it shows, that only a y in time fires, and what Ctrl-C leaves behind."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

from skyctl.cli import app
from skyctl.plans.modes import Request
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording

# The package's attribute of this name is the command itself.
command = importlib.import_module("skyctl.cli.run")
PULSES = Pulse(amplitude_T=2.4, width_ps=16.0), Pulse(amplitude_T=2.0, width_ps=12.0)


def request(timeout_s=5.0, shots=1):
    candidates = ((PULSES[0], 0.66), (PULSES[1], 0.4))
    film, reason = "1 disc in -z", "66% likely [red]to switch"
    return Request("switch", "seeker", "a", PULSES[0], reason, film, shots, timeout_s, candidates)


@pytest.fixture
def terminal(monkeypatch):
    """The writing end of what the command takes for its terminal."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as source, os.fdopen(writing, "wb", buffering=0) as sink:
        monkeypatch.setattr(sys, "stdin", source)
        yield sink


@pytest.fixture
def typed(terminal, monkeypatch):
    """What a person types when the question is there."""
    show = command.console.print

    def type_once(text):
        def shown(*what, **how):
            show(*what, **how)
            if str(what[0]).startswith("Fire"):
                terminal.write(text)

        monkeypatch.setattr(command.console, "print", shown)

    return type_once


@pytest.mark.parametrize(
    ("text", "approved", "comment"),
    [
        (b"y a\n", True, ""),
        (b"Yes A\n", True, ""),
        (b"y\ny a\n", True, ""),
        (b"n\n", False, "said 'n'"),
        (b"\n", False, "said 'nothing'"),
        (b"yolo\n", False, "said 'yolo'"),
        (b"y b\n", False, "said 'y b'"),
        (b"a\n", False, "said 'a'"),
    ],
)
def test_only_a_yes_that_names_the_shot_is_a_yes(typed, text, approved, comment):
    typed(text)
    answer = command.ask_at_terminal(request())
    assert (answer.approved, answer.comment) == (approved, comment)
    assert answer.approver


@pytest.mark.parametrize("text", [b"", b"y a", b"y\n"], ids=["silence", "no return", "no name"])
def test_no_answer_in_time_is_a_no(typed, text):
    typed(text)
    answer = command.ask_at_terminal(request(timeout_s=0.05))
    assert not answer.approved
    assert answer.comment == "no answer at the terminal"


def test_what_was_typed_before_the_question_answers_nothing(terminal):
    terminal.write(b"y a\n" * 3)
    assert not command.ask_at_terminal(request(timeout_s=0.05)).approved


def test_a_closed_terminal_is_a_no(terminal):
    terminal.close()
    assert not command.ask_at_terminal(request()).approved


def test_an_answer_is_for_one_question(typed):
    typed(b"y a\ny a\n")
    assert command.ask_at_terminal(request()).approved
    typed(b"")
    assert not command.ask_at_terminal(request(timeout_s=0.05)).approved


def test_the_question_shows_pulse_dose_and_candidates(typed, capsys):
    typed(b"n\n")
    command.ask_at_terminal(request(shots=3))
    shown = capsys.readouterr().out
    for text in (
        str(PULSES[0]), f"{PULSES[0].dose_T2ps:.0f}", "66%", str(PULSES[1]), "40%",
        "1 disc in -z", "[red]to switch", "and up to 2 more", "at most 2.4 T", "y a",
        "5 s, then no",
    ):  # fmt: skip
        assert text in shown


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


def test_what_cannot_be_is_misuse(tmp_path):
    for options in (["fly"], ["write", "--mode", "yolo"], ["write", "--shots", "0"]):
        done, _ = invoke(tmp_path, *options)
        assert done.exit_code == 2


def test_an_interrupt_disarms_before_anything_else():
    done, paused = [], threading.Event()

    class Engine:
        def request_pause(self):
            done.append("pause")
            paused.set()

    class Pulser:
        def disarm(self, reason):
            done.append(f"disarm: {reason}")

    before = signal.getsignal(signal.SIGINT)
    with command._CtrlC(Engine(), Pulser()):
        os.kill(os.getpid(), signal.SIGINT)
        assert paused.wait(30)
    assert done == ["disarm: Ctrl-C", "pause"]
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
def test_ctrl_c_ends_a_run_in_order(tmp_path):
    arguments = ["run", "cycle", "--cycles", "1000", "--mode", "autonomous", "--out", str(tmp_path)]
    child = subprocess.Popen(
        [sys.executable, "-m", "skyctl.cli", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        for line in child.stdout:
            if line.startswith("write: reached"):
                child.send_signal(signal.SIGINT)
                break
        _, errors = child.communicate(timeout=120)
    assert child.returncode == 1
    assert "the pulser is disarmed" in errors
    assert "Traceback" not in errors
    booked = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    (file,) = tmp_path.glob("*.h5")
    with Recording(file) as recording:
        filmed = [start.shot for start, _, _ in recording.shots() if start.pulse]
    assert filmed == [entry["shot"] for entry in booked]
