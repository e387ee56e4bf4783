"""DriftWatch: silent on one sample, and loud soon after it becomes another."""

import pytest

from skyctl.agents.outcome import SzSignals, certain
from skyctl.agents.sample_drift import DriftWatch
from skyctl.agents.seeker import PulseMemory
from skyctl.agents.switching_library import Evidence
from skyctl.process import OUTCOMES


@pytest.fixture
def memory():
    return PulseMemory()


def shoot(memory, sample, times, first_pulse=0):
    """What ``times`` shots at a sample of the library would say, its likeliest outcomes."""
    library = memory.switching.library
    for pulse in range(first_pulse, first_pulse + times):
        outcome = OUTCOMES[int(library.chances[sample, pulse].argmax())]
        seen = SzSignals(library.flip_ps[sample, pulse], library.furthest[sample, pulse])
        memory.switching.saw_skyrmion(round(float(2.718281828 ** library.log_size[sample])))
        memory.switching.saw(Evidence(pulse, tuple(certain(outcome)), seen))


def extremes(memory):
    damping = memory.switching.library.samples[:, 0]
    return int(damping.argmin()), int(damping.argmax())


def test_one_sample_is_no_change(memory):
    low, _ = extremes(memory)
    watch = DriftWatch(memory)
    for first in range(0, 24, 2):
        shoot(memory, low, 2, first)
        assert watch.check() == ""
    assert watch.overlap > 2
    assert len(memory.switching.evidence) == 24


def test_another_sample_is_noticed_and_the_first_one_forgotten(memory):
    low, high = extremes(memory)
    watch = DriftWatch(memory)
    shoot(memory, low, 12)
    assert watch.check() == ""
    shoot(memory, high, 4, 12)
    before, _ = memory.switching.estimate()["damping"]
    said = watch.check()
    assert "the sample changed" in said
    assert watch.overlap < 1
    assert len(memory.switching.evidence) == 4
    assert memory.switching.estimate()["damping"][0] > before
    assert watch.check() == ""  # said once


def test_few_shots_say_nothing(memory):
    low, high = extremes(memory)
    watch = DriftWatch(memory)
    shoot(memory, low, 3)
    shoot(memory, high, 4)
    assert watch.check() == ""


def test_forgetting_leaves_what_was_known_before_the_first_shot(memory):
    shoot(memory, 0, 5)
    memory.write_T.too_little()
    DriftWatch(memory).forget()
    assert memory.as_json() == PulseMemory().as_json()
