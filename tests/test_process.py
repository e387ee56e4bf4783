"""Processes and the transitions they are made of."""

import numpy as np
import pytest

from skyctl.process import (
    KINDS,
    PROCESS_OF,
    PROCESSES,
    TRANSITIONS,
    letter_of,
    process_of,
    process_probabilities,
    transition,
    transition_probabilities,
)


@pytest.mark.parametrize(
    ("start", "end", "turned", "name"),
    [
        ("one", "one", False, "breathing"),
        ("one", "one", True, "switching"),
        ("one", "empty", False, "collapse"),
        ("one", "empty", True, "collapse"),
        ("empty", "one", False, "nucleation"),
        ("empty", "one", True, "nucleation"),
        ("empty", "empty", True, "nothing"),
        ("other", "empty", False, "mixed"),
        ("one", "other", False, "mixed"),
    ],
)
def test_a_process_is_a_transition_of_the_film(start, end, turned, name):
    assert process_of(start, end, turned) == name
    assert PROCESSES[PROCESS_OF[transition(start, end, turned)]] == name


def test_every_transition_has_an_index_of_its_own():
    found = [transition(a, b, t) for a in KINDS for b in KINDS for t in (False, True)]
    assert found == list(range(TRANSITIONS))


def test_probabilities_of_processes_are_sums_and_back():
    rng = np.random.default_rng(0)
    said = rng.dirichlet(np.ones(TRANSITIONS), 5)
    processes = process_probabilities(said)
    np.testing.assert_allclose(processes.sum(axis=1), 1)
    for name, index in zip(PROCESSES, range(len(PROCESSES)), strict=True):
        np.testing.assert_allclose(
            processes[:, index], said[:, [p == index for p in PROCESS_OF]].sum(axis=1), err_msg=name
        )
    again = transition_probabilities(PROCESSES, processes[0])
    np.testing.assert_allclose(process_probabilities(again), processes[0])
    assert again.sum() == pytest.approx(1)


def test_a_network_of_three_processes_says_nothing_of_the_others():
    said = transition_probabilities(
        ("breathing", "switching", "collapse"), np.array([0.2, 0.5, 0.3])
    )
    assert said[transition("one", "one", True)] == pytest.approx(0.5)
    assert said[transition("one", "empty", False)] == pytest.approx(0.15)
    assert said[transition("empty", "one", False)] == 0


@pytest.mark.parametrize(
    ("name", "letter"),
    [
        ("breathing", "B"),
        ("switching", "S"),
        ("collapse", "C"),
        ("mixed", "M"),
        ("nucleation", "M"),
        (None, "M"),
    ],
)
def test_a_diagram_has_a_letter_for_what_becomes_of_one_skyrmion(name, letter):
    assert letter_of(name) == letter
