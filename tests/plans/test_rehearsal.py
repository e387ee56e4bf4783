"""Rehearsal: what it predicts comes true where the guess is right, and no real device moves."""

import numpy as np
import pytest

from skyctl.agents.characteriser import SampleGuess
from skyctl.agents.outcome import NOT_SEEN, certain
from skyctl.agents.seeker import PulseMemory
from skyctl.agents.switching_library import Evidence, SwitchBelief
from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.plans import classify_shot, switch, write
from skyctl.plans.modes import Oversight
from skyctl.process import OUTCOMES
from skyctl.pulse import Pulse
from skyctl.rehearsal import guesses, rehearse, sample_of, twin_skyrmion
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.film import Film, FilmParameters

NUDGE = Pulse(amplitude_T=2.0, width_ps=4.0)
SMALL = FilmParameters(rows=30, columns=30)


@pytest.fixture
def beamline(tmp_path):
    with simulated_beamline(tmp_path, parameters=SMALL) as line:
        line.camera.duration_ps.put(20.0)
        yield line


def test_a_right_guess_predicts_pulses_and_outcome_of_the_real_run(engine, beamline):
    arguments = {"shots": 3}
    (told,) = rehearse(write, arguments, beamline, [DrawnSample(SMALL)]).runs
    report = engine(write(beamline, **arguments)).plan_result
    assert told.pulses == beamline.pulser.guard.fired == tuple(report.proposed)
    assert len(told.pulses) > 1
    assert told.outcome == report.reason
    assert told.dose_T2ps == pytest.approx(beamline.pulser.guard.spent.dose_T2ps)


def test_nothing_real_moves_and_the_memory_stays_as_it_was(beamline, fired, monkeypatch):
    def moved(*_, **__):
        raise AssertionError("a real device was used")

    for device in beamline.pulser, beamline.camera, beamline.classifier, beamline.decisions:
        for method in ("set", "trigger", "stage", "prepare"):
            if hasattr(device, method):
                monkeypatch.setattr(device, method, moved)
    memory = PulseMemory()
    before = memory.as_json()
    asks = Oversight("approve-each", moved)
    rehearse(
        switch, {"shots": 2, "memory": memory, "oversight": asks}, beamline, [DrawnSample(SMALL)]
    )
    assert memory.as_json() == before
    assert fired == []
    assert beamline.pulser.guard.shots_fired == 0


def test_a_plan_that_its_limits_forbid_runs_on_no_twin(beamline):
    strong = Pulse(amplitude_T=5.0, width_ps=4.0)
    report = rehearse(classify_shot, {"pulse": strong}, beamline, guesses(2, film=SMALL))
    assert "amplitude_T = 5" in report.refused
    assert report.runs == ()
    assert report.success == 0
    assert "amplitude_T = 5" in str(report)


def test_twins_have_the_real_guard_s_envelope_and_what_is_left_of_its_budget(tmp_path):
    with simulated_beamline(
        tmp_path, parameters=SMALL, envelope=Envelope(shots=2, rest_s=0.0)
    ) as line:
        line.camera.duration_ps.put(20.0)
        line.pulser.guard.book("before", NUDGE)
        report = rehearse(write, {"shots": 8}, line, [DrawnSample(SMALL)])
    assert [len(run.pulses) for run in report.runs] == [1]
    assert "shot budget of 2" in report.runs[0].outcome


def test_the_report_tells_the_spread_over_the_guesses(beamline):
    seen = []
    report = rehearse(
        classify_shot, {"pulse": NUDGE}, beamline, guesses(3, film=SMALL), progress=seen.append
    )
    told = report.as_json()
    assert seen == list(report.runs)
    assert len({run.sample for run in report.runs}) == 3
    assert sum(told["outcomes"].values()) == 3
    assert told["shots"] == (1, 1, 1)
    assert told["dose_T2ps"] == pytest.approx([NUDGE.dose_T2ps] * 3)


def test_guesses_follow_what_the_shots_said():
    belief = SwitchBelief()
    highest = belief.library.samples[:, 0].argmax()
    for pulse in range(8):
        outcome = OUTCOMES[int(belief.library.chances[highest, pulse].argmax())]
        belief.saw(Evidence(pulse, tuple(certain(outcome)), NOT_SEEN))
    damping, deviation = belief.estimate()["damping"]
    drawn = np.array([sample.parameters.damping for sample in guesses(400, belief=belief)])
    assert drawn.mean() == pytest.approx(damping, abs=4 * deviation / 20)
    assert abs(damping - SwitchBelief().estimate()["damping"][0]) > 4 * deviation / 20
    assert [str(a) for a in guesses(3, 1)] == [str(b) for b in guesses(3, 1)]
    with pytest.raises(ValueError, match="0 twins"):
        guesses(0)


def test_a_twin_of_a_skyrmion_answers_as_the_film_itself():
    guess, pulse = SampleGuess(0.2, 0.6, 0.1, 0.24, 1.03), Pulse(amplitude_T=0.45, width_ps=10.0)
    times_ps = np.array([0.0, 20.0, 40.0])
    other = SampleGuess(0.2, 0.6, 0.103, 0.245, 1.03)
    samples = np.array([list(vars(other).values()), list(vars(guess).values())])
    quiet, noisy = (twin_skyrmion(samples, pulse, times_ps, noise)[1] for noise in (0.0, 0.5))
    drawn = sample_of(guess)
    film = Film(drawn.parameters, precision="f4")
    film.set_skyrmion()  # the twin's relaxed from another sample's
    seen = [m[2].mean() for m in film.frames(drawn.delivered(pulse), times_ps.tolist())]
    assert quiet == pytest.approx(seen, abs=1e-5)
    assert noisy[0] > quiet[0] + 0.1  # cut off at -1
