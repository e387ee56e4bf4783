"""The question before a pulse: what it shows, and that only a yes in time that names it fires."""

import os
import sys

import pytest

from skyctl.cli import approval
from skyctl.plans.modes import Request
from skyctl.pulse import Pulse

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
    show = approval.console.print

    def type_once(text):
        def shown(*what, **how):
            show(*what, **how)
            if str(what[0]).startswith("Fire"):
                terminal.write(text)

        monkeypatch.setattr(approval.console, "print", shown)

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
    answer = approval.ask_at_terminal(request())
    assert (answer.approved, answer.comment) == (approved, comment)
    assert answer.approver


@pytest.mark.parametrize("text", [b"", b"y a", b"y\n"], ids=["silence", "no return", "no name"])
def test_no_answer_in_time_is_a_no(typed, text):
    typed(text)
    answer = approval.ask_at_terminal(request(timeout_s=0.05))
    assert not answer.approved
    assert answer.comment == "no answer at the terminal"


def test_what_was_typed_before_the_question_answers_nothing(terminal):
    terminal.write(b"y a\n" * 3)
    assert not approval.ask_at_terminal(request(timeout_s=0.05)).approved


def test_a_closed_terminal_is_a_no(terminal):
    terminal.close()
    assert not approval.ask_at_terminal(request()).approved


def test_an_answer_is_for_one_question(typed):
    typed(b"y a\ny a\n")
    assert approval.ask_at_terminal(request()).approved
    typed(b"")
    assert not approval.ask_at_terminal(request(timeout_s=0.05)).approved


def test_the_question_shows_pulse_dose_and_candidates(typed, capsys):
    typed(b"n\n")
    approval.ask_at_terminal(request(shots=3))
    shown = capsys.readouterr().out
    for text in (
        str(PULSES[0]), f"{PULSES[0].dose_T2ps:.0f}", "66%", str(PULSES[1]), "40%",
        "1 disc in -z", "[red]to switch", "and up to 2 more", "at most 2.4 T", "y a",
        "5 s, then no",
    ):  # fmt: skip
        assert text in shown
