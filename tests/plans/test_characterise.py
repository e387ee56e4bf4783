"""`characterise` on the simulated beamline: three weak pulses, an estimate, the film as it was."""

import pytest

from skyctl.agents.characteriser import Characteriser
from skyctl.beamline import simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.plans.characterise import characterise
from skyctl.plans.modes import Answer, Oversight
from skyctl.rehearsal import rehearse, sample_of
from skyctl.simulators.instrument.spread import DrawnSample
from skyctl.simulators.lattice.empty_film import empty_film_mean_sz
from skyctl.simulators.lattice.film import FilmParameters

FILM = FilmParameters(rows=40, columns=40, damping=0.2)


def predict(guess, pulse, times_ps):
    drawn = sample_of(guess, FILM)
    return empty_film_mean_sz(drawn.parameters, drawn.delivered(pulse), times_ps)


@pytest.fixture
def beamline(tmp_path):
    with simulated_beamline(tmp_path, parameters=FILM) as line:
        yield line


def test_it_finds_the_sample_and_leaves_it_as_it_was(engine, beamline, documents, fired):
    before = beamline.sample.spins()
    report = engine(characterise(beamline, predict)).plan_result
    assert report.reached
    assert report.found.estimates["damping"].value == pytest.approx(0.2, rel=0.1)
    assert (report.emptied, report.shots, len(fired)) == (0, 3, 3)
    assert beamline.sample.spins() == pytest.approx(before, abs=1e-3)
    decisions = [event["data"] for event in documents.events("decisions")]
    assert [d["decisions_shot"] for d in decisions] == fired
    assert {d["decisions_agent"] for d in decisions} == {"characteriser"}
    assert len(decisions[0]["decisions_library_sha256"]) == 64
    (start,) = documents.named("start")
    assert start["plan_name"] == "characterise"
    assert start["plan_args"]["amplitude_T"] == 3.0


def test_a_lost_frame_costs_a_pulse_and_no_estimate(engine, beamline, fired, monkeypatch):
    send, lost = beamline.publisher.frame, []
    monkeypatch.setattr(Characteriser, "estimate", lambda self: len(self._seen))

    def lose_one(frame):
        if frame.index == 9 and not lost:
            lost.append(frame.shot)
        else:
            send(frame)

    monkeypatch.setattr(beamline.publisher, "frame", lose_one)
    report = engine(characterise(beamline, predict)).plan_result
    assert report.found == 3
    assert len(fired) == 4


@pytest.mark.parametrize(
    ("envelope", "oversight", "reason", "pulses"),
    [
        (Envelope(uniform_amplitude_T=2.0), None, "amplitude_T = 3 on the whole film", 0),
        (Envelope(shots=2), None, "shot budget of 2", 2),
        (None, Oversight("approve-each", lambda r: Answer(False, "Ada", "lunch")), "lunch", 0),
        (None, Oversight("dry-run"), "dry-run", 0),
    ],
)
def test_what_may_not_be_fired_ends_it_with_the_reason(
    engine, tmp_path, envelope, oversight, reason, pulses
):
    with simulated_beamline(tmp_path, parameters=FILM, envelope=envelope) as line:
        report = engine(characterise(line, predict, oversight=oversight)).plan_result
        assert line.pulser.guard.shots_fired == pulses
    assert not report.reached
    assert reason in report.reason


def test_it_can_be_rehearsed(beamline, fired, monkeypatch):
    monkeypatch.setattr(Characteriser, "estimate", lambda self: "found")
    arguments = {"predict": predict}
    report = rehearse(characterise, arguments, beamline, [DrawnSample(FILM)])
    assert report.success == 1
    assert len(report.runs[0].pulses) == 3
    assert fired == []
