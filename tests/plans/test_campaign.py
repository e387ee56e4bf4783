"""`pursue`: when it arms, writes down and fires, what it believes, and what it does when told."""

import json
import threading

import pytest
from bluesky.simulators import check_limits

from skyctl.agents.campaign import Campaign
from skyctl.agents.tasks import Proposal
from skyctl.beamline import simulated_beamline
from skyctl.belief import Belief
from skyctl.decision import NAMES, READINGS
from skyctl.errors import StreamError
from skyctl.plans import write
from skyctl.plans.campaign import pursue
from skyctl.plans.modes import Answer, Oversight
from skyctl.plans.plans import in_one_run
from skyctl.pulse import Pulse
from skyctl.simulators.lattice.film import FilmParameters

NUDGE = Pulse(amplitude_T=0.5, width_ps=2.0)


class Nudger:
    """Fires weak pulses that leave the film as it is; done after so many movies."""

    task, name, seed, library_sha256, gave_up = "nudge", "nudger", 7, "", "nothing left"

    def __init__(self, shots=2, slow_s=0.0):
        self._left, self._slow_s = shots, slow_s
        self.seen, self.learned, self.missed, self.threads = [], [], [], set()

    def reached(self, belief):
        return not self._left

    def suggest(self, belief):
        self.threads.add(threading.current_thread().name)
        threading.Event().wait(self._slow_s)
        return Proposal("write", NUDGE, "a nudge", ((NUDGE, 0.5),))

    def probe(self, belief):
        return Proposal("probe", NUDGE, "to see")

    def saw(self, look):
        self.seen.append(look)

    def ingest(self, proposal, before, result, after):
        self.learned.append((before, result, after))
        self._left -= 1

    def failed(self, proposal):
        self.missed.append(proposal)


@pytest.fixture
def beamline(tmp_path):
    with simulated_beamline(tmp_path, parameters=FilmParameters(rows=30, columns=30)) as line:
        line.camera.duration_ps.put(20.0)
        yield line


def nudge(beamline, agent, oversight=None, shots=8):
    def body():
        return (yield from pursue(beamline, Campaign(agent, shots), oversight))

    return in_one_run("nudge", beamline, body, None)


@pytest.fixture
def course(engine, beamline, monkeypatch):
    """What happens, in order: "armed", events by their stream, "fired"."""
    happened, streams = [], {}

    def document(name, doc):
        if name == "descriptor":
            streams[doc["uid"]] = doc["name"]
        elif name == "event":
            happened.append(streams[doc["descriptor"]])

    send = beamline.sample.fire

    def fire(shot, pulse):
        happened.append("fired")
        send(shot, pulse)

    engine.subscribe(document)
    monkeypatch.setattr(beamline.sample, "fire", fire)
    beamline.pulser.armed.subscribe(
        lambda value, **_: happened.append("armed") if value else None, run=False
    )
    return happened


def test_it_arms_before_it_writes_and_writes_before_it_fires(engine, beamline, course):
    report = engine(nudge(beamline, Nudger(shots=1))).plan_result
    assert report.reached
    first = course.index("fired")
    assert course[:first] == ["armed", "looks", "decisions", "armed"]
    assert "primary" in course[first:]


def test_a_shot_s_event_has_its_own_pulse_though_the_next_one_is_armed(
    engine, beamline, documents, fired
):
    strengths = iter([0.5, 0.6, 0.7])
    agent = Nudger(shots=3)
    agent.suggest = lambda belief: Proposal(
        "write", NUDGE.model_copy(update={"amplitude_T": next(strengths)}), "stronger"
    )
    assert engine(nudge(beamline, agent)).plan_result.reached
    shots = [event["data"] for event in documents.events("primary")]
    assert [shot["pulser_shot"] for shot in shots] == fired
    assert [shot["pulser_amplitude_T"] for shot in shots] == [0.5, 0.6, 0.7]


def test_a_movie_that_does_not_reach_the_disk_disarms_and_is_no_shot(
    engine, beamline, fired, monkeypatch
):
    finish, stuck = beamline.camera._movies.finish, []

    def lost(shot):
        if len(fired) == 1 and not stuck:
            stuck.append(shot)
            beamline.camera._movies.fail(StreamError("the disk is full"))
        else:
            finish(shot)

    monkeypatch.setattr(beamline.camera._movies, "finish", lost)
    agent = Nudger(shots=2)
    report = engine(nudge(beamline, agent)).plan_result
    assert stuck == [fired[0]]
    assert any("the disk is full" in shot.problem for shot in report.shots)
    assert len(fired) == len(set(fired)) == report.pulses


@pytest.mark.parametrize("under_way", ["rewindable", "create", "read", "set", "trigger", "wait"])
def test_whatever_is_under_way_when_a_movie_is_lost_the_task_ends_in_order(
    engine, beamline, fired, monkeypatch, under_way
):
    movies, lost = beamline.camera._movies, []
    finish = movies.finish
    monkeypatch.setattr(movies, "finish", lambda shot: None if shot in fired[:1] else finish(shot))

    def lose(message):
        over = beamline.classifier.result
        if fired and not lost and over and over.shot == fired[0] and message.command == under_way:
            lost.append(message.command)
            movies.fail(StreamError("the disk is full"))

    engine.msg_hook = lose
    report = engine(nudge(beamline, Nudger(shots=2))).plan_result
    assert lost == [under_way]
    assert any("the disk is full" in shot.problem for shot in report.shots)
    assert len(fired) == len(set(fired)) == report.pulses


def test_an_agent_is_asked_in_a_thread_and_documents_do_not_wait_for_it(engine, beamline, course):
    agent = Nudger(shots=1, slow_s=0.3)
    engine(nudge(beamline, agent))
    assert agent.threads == {"skyctl-plan"}
    assert course[:3] == ["looks", "armed", "decisions"]


def test_an_approver_sees_the_look_written_and_nothing_armed(engine, beamline, course):
    seen = []

    def approve(request):
        seen.append(list(course))
        return Answer(True, "Ada")

    engine(nudge(beamline, Nudger(shots=1), Oversight("approve-each", approve)))
    assert seen == [["looks"]]


def test_a_decision_s_event_is_made_of_the_decision(engine, beamline, documents):
    report = engine(nudge(beamline, Nudger(shots=1))).plan_result
    assert beamline.decisions.read_attrs == list(READINGS)
    assert NAMES == ("shot", "from_shot")
    data = documents.events("decisions")[0]["data"]
    assert {key.removeprefix("decisions_") for key in data} == set(READINGS)
    assert json.loads(data["decisions_belief"]) == report.before.as_json()
    assert json.loads(data["decisions_proposal"]) == NUDGE.model_dump()
    assert json.loads(data["decisions_candidates"])[0]["probability"] == 0.5
    assert (data["decisions_seed"], data["decisions_approved"]) == (7, 1)


def test_the_agent_learns_from_the_beliefs_on_either_side_of_a_shot(engine, beamline):
    agent = Nudger(shots=2)
    report = engine(nudge(beamline, agent)).plan_result
    assert len(agent.learned) == report.pulses == 2
    assert all(before.kind == after.kind == "empty" for before, _, after in agent.learned)
    assert agent.missed == []
    assert len(agent.seen) >= 1


def test_a_run_forgets_the_film_and_remembers_the_network(engine, beamline, documents):
    engine(nudge(beamline, Nudger(shots=2)))
    trusted = beamline.streaming.belief
    assert trusted.unsound != Belief.unknown().unsound
    engine(write(beamline, shots=1))
    (start,) = documents.named("start")
    film = start["belief"]["film"]
    assert sum(film[1]) == pytest.approx(trusted.unsound)
    assert len(set(film[0])) == len(set(film[1])) == 1
    assert documents.counts()["looks"] >= 1


def test_a_plan_that_nobody_runs_ends(engine, beamline, fired):
    beamline.streaming.belief = Belief.certain("empty", -1)

    def walked():
        report = yield from pursue(beamline, Campaign(Nudger(), 4))
        assert "nobody runs the plan" in report.reason

    assert engine.state == "idle"
    check_limits(walked())
    assert fired == []
