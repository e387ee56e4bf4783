"""Whole tasks at three weak magnets, on a film made by hand: reached, or given up for a reason."""

import pytest

from skyctl.agents.allowed import Allowed
from skyctl.agents.campaign import Campaign, Fire, Stop
from skyctl.agents.seeker import PulseMemory, TargetSeeker
from skyctl.agents.switching_library import SwitchingLibrary
from skyctl.agents.tasks import Task, against
from skyctl.belief import Belief
from skyctl.devices.guard import Envelope, Guard
from skyctl.frame import Counts
from skyctl.process import OUTCOMES
from skyctl.pulse import Pulse
from skyctl.verdict import ShotResult

WRITES_T, ERASES_PS = 5.5, 14.0


class Toy:
    """A film of which one sample of the library says what switches it.

    A spot of 5.5 T writes, 14 ps along the background erase.
    """

    def __init__(self, sample: int, guard: Guard) -> None:
        self.film = Belief.certain("empty", -1)
        self.library = SwitchingLibrary.load()
        self._sample, self._guard = sample, guard

    def fire(self, pulse: Pulse) -> None:
        self._guard.check(pulse)
        kind, background = self.film.likeliest
        if pulse.spot:
            if kind == "empty" and pulse.amplitude_T >= WRITES_T:
                kind = "one"
        elif pulse.peak_field_T[2] * background > 0:
            kind = "empty" if pulse.width_ps >= ERASES_PS else kind
        elif kind == "one":
            kind, background = self._switched(pulse, background)
        self.film = Belief.certain(kind, background)

    def _switched(self, pulse: Pulse, background: int):
        number = self.library.as_pulses.index(against(background, pulse))
        outcome = OUTCOMES[int(self.library.chances[self._sample, number].argmax())]
        return {
            "breathing": ("one", background),
            "switching": ("one", -background),
            "collapse": ("empty", -background),
            "mixed": ("other", background),
        }[outcome]


def pursue(task: Task, toy: Toy, memory: PulseMemory, allowed: Allowed) -> tuple[Stop, int]:
    campaign = Campaign(TargetSeeker(task, (49.5, 49.5), memory, allowed), shots=30)
    while True:
        step = campaign.step(toy.film)
        if isinstance(step, Stop):
            return step, campaign.pulses
        assert isinstance(step, Fire)  # whose film is always known
        before = toy.film
        toy.fire(step.proposal.pulse)
        campaign.fired(step.proposal, before, ShotResult("s", None, None, Counts(), "", ()))


def easy_sample(**limits) -> int:
    """One that half of what the envelope leaves of the library switches, or as many as do."""
    library, allowed = SwitchingLibrary.load(), Allowed.from_envelope(envelope(**limits))
    may = [allowed.allows(pulse) for pulse in library.as_pulses]
    switches = library.chances[:, may].argmax(2) == OUTCOMES.index("switching")
    return int(switches.sum(1).argmax())


def envelope(**limits) -> dict:
    return Envelope(**limits).model_dump()


@pytest.mark.parametrize("limits", [{}, {"amplitude_T": (0.0, 7.0)}, {"width_ps": (1.0, 20.0)}])
def test_a_magnet_that_is_strong_and_slow_enough_does_all_tasks(limits):
    allowed, memory = Allowed.from_envelope(envelope(**limits)), PulseMemory()
    toy = Toy(easy_sample(**limits), Guard(Envelope(**limits)))
    for task in ("write", "switch", "erase"):
        stop, pulses = pursue(task, toy, memory, allowed)
        assert stop == Stop(True)
        assert pulses <= 8


def test_a_magnet_of_2_T_switches_and_erases_and_gives_writing_up():
    limits = {"amplitude_T": (0.0, 2.0)}
    allowed, memory = Allowed.from_envelope(envelope(**limits)), PulseMemory()
    toy = Toy(easy_sample(**limits), Guard(Envelope(**limits)))
    stop, pulses = pursue("write", toy, memory, allowed)
    assert (stop.reached, stop.gave_up) == (False, True)
    assert "all that the envelope leaves of 1 … 12 T" in stop.reason
    assert pulses <= 5
    toy.film = Belief.certain("one", -1)
    for task in ("switch", "erase"):
        stop, _ = pursue(task, toy, memory, allowed)
        assert stop == Stop(True)


def test_a_magnet_that_only_makes_short_pulses_is_given_up_before_the_first_shot():
    limits = {"width_ps": (1.0, 5.0)}
    allowed, memory = Allowed.from_envelope(envelope(**limits)), PulseMemory()
    for task in ("switch", "erase"):
        toy = Toy(0, Guard(Envelope(**limits)))
        toy.film = Belief.certain("one", -1)
        stop, pulses = pursue(task, toy, memory, allowed)
        assert (stop.reached, stop.gave_up, pulses) == (False, True, 0)
        assert "the envelope leaves no" in stop.reason
