"""The page of a simulated beamline that runs: approve, deny, stop, and what is told meanwhile."""

import json
import threading

import pytest
from bluesky import RunEngine

from skyctl.beamline import replayed_beamline, simulated_beamline
from skyctl.devices.guard import Envelope
from skyctl.devices.ledger_lines import Spent
from skyctl.devices.rare_pulses import RarePulses
from skyctl.frame import Frame
from skyctl.monitor import Monitor, People, RecordedView, Watch
from skyctl.monitor.controls import SETTLE_S
from skyctl.plans import classify_shot, switch, write
from skyctl.plans.modes import Oversight
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording

WEAK = Pulse(amplitude_T=2.0, width_ps=4.0)


def asked_and_read(state):
    """A question that one may answer: it has not just changed."""
    return state["request"] is not None and state["request"]["since_s"] > SETTLE_S


def logged(monitor):
    return [json.loads(line) for line in monitor.log.path.read_text().splitlines()]


def test_a_pulse_is_approved_on_the_page_and_another_denied(monitor, beamline, run, look, tmp_path):
    beamline.camera.duration_ps.put(20.0)  # too short a movie: a second pulse is asked for
    ada, grace = look(monitor.links["Ada"]), look(monitor.links["Grace"])
    ada.open()
    ended = run(switch(beamline, shots=2, oversight=Oversight("approve-each", monitor.desk)))
    state = ada.state(asked_and_read)
    request = state["request"]
    assert request["guard"] == "allowed"
    assert request["pulse"]["dose_T2ps"] > 0
    assert request["candidates"][0]["text"] == request["pulse"]["text"]
    assert (tmp_path / "ledger.jsonl").read_text() == ""
    assert grace.answer(state).status_code == 403
    early = ada.post("answer", shot="x", approved=True, comment="", stamp=state["stamp"])
    assert early.status_code == 409
    assert ada.answer(state, comment="go on").json() == {"done": True, "why": ""}
    late = ada.answer(state)
    assert (late.status_code, late.json()["done"]) == (409, False)
    state = ada.state(lambda state: asked_and_read(state) and state["history"])
    shot = request["shot"]
    assert state["request"]["shot"] != shot
    assert state["history"][-1]["shot"] == shot
    assert state["decision"]["approver"] == "Ada"
    assert state["decision"]["approval"] == "approved by Ada: go on"
    assert state["curve"]["shot"] == shot
    assert len(state["curve"]["points"]) == state["history"][-1]["frames"] > 1
    assert state["pulser"]["shots"] == 1
    assert ada.http.get(f"/film/{shot}?frames=3&side=50").content[:4] == b"SKY1"
    assert ada.http.get(f"/shot/{shot}").json()["points"] == state["curve"]["points"]
    assert ada.answer(state, approved=False).json()["done"]
    assert "not approved by Ada" in ended().reason
    assert len((tmp_path / "ledger.jsonl").read_text().splitlines()) == 1
    assert [line["action"] for line in logged(monitor)] == ["approve", "deny"]
    state = ada.state(lambda state: state["run"]["ended"])
    assert (state["run"]["plan"], state["run"]["exit"]) == ("switch", "success")
    assert state["tiled"] == f"http://127.0.0.1:1/ui/browse/{state['run']['uid']}"
    assert state["request"] is None


def test_a_stop_in_the_movie_holds_fire_until_an_operator_releases(
    monitor, beamline, run, look, monkeypatch
):
    grace, ada = look(monitor.links["Grace"]), look(monitor.links["Ada"])
    filming, stopped = threading.Event(), threading.Event()
    send = beamline.publisher.frame

    def held(frame: Frame):
        send(frame)
        if frame.index == 3:
            filming.set()
            assert stopped.wait(20)

    monkeypatch.setattr(beamline.publisher, "frame", held)
    monkeypatch.setattr("skyctl.plans.campaign.BETWEEN_LOOKS_S", 0.01)
    grace.open()
    ended = run(switch(beamline, shots=5))
    assert filming.wait(20)
    assert grace.post("stop").json()["done"]
    assert beamline.pulser.armed.get() == 0
    stopped.set()
    assert "stopped by Grace" in ended().reason
    assert beamline.pulser.guard.spent.shots == 1  # the one that was on its way
    state = grace.state(lambda state: state["stopped"])
    assert state["stopped"]["who"] == "Grace"
    assert any(hold["who"] == "STOP" for hold in state["holds"])
    assert run(write(beamline))().pulses == 0
    said = {"stop": state["stopped"]["number"], "stamp": grace.state()["stamp"]}
    assert grace.post("release", **said).status_code == 403
    assert ada.post("release", stop=said["stop"] + 1, stamp=grace.state()["stamp"]).status_code == (
        409
    )
    assert ada.post("release", **{**said, "stamp": grace.state()["stamp"]}).json()["done"]
    assert grace.state(lambda state: state["stopped"] is None)
    assert [(line["action"], line["who"]) for line in logged(monitor)] == [
        ("stop", "Grace"), ("release", "Ada"),
    ]  # fmt: skip


def test_a_browser_that_goes_leaves_the_question_to_others_and_to_time(
    monitor, beamline, run, look
):
    ada, eve = look(monitor.links["Ada"]), look(monitor.links["Eve"])
    ada.open()
    ended = run(write(beamline, oversight=Oversight("approve-each", monitor.desk, timeout_s=3)))
    state = ada.state(asked_and_read)
    ada.close()
    eve.open()
    assert eve.state(asked_and_read)["request"]["shot"] == state["request"]["shot"]
    assert "no answer within 3 s" in ended().reason
    assert beamline.pulser.guard.spent.shots == 0
    assert eve.state(lambda state: state["request"] is None)


def test_what_the_guard_would_refuse_is_not_made_to_fire_by_a_yes(
    monitor, beamline, run, look, monkeypatch
):
    monkeypatch.setattr("skyctl.plans.campaign.BETWEEN_LOOKS_S", 0.01)
    ada = look(monitor.links["Ada"])
    ada.open()
    ended = run(write(beamline, oversight=Oversight("approve-each", monitor.desk)))
    state = ada.state(asked_and_read)
    beamline.pulser.add_interlock(lambda: "the shutter is closed")
    state = ada.state(lambda state: any("shutter" in hold["why"] for hold in state["holds"]))
    assert ada.answer(state).json()["done"]
    assert "shutter" in ended().reason
    assert beamline.pulser.guard.spent.shots == 0


def test_holds_are_told_by_who_holds(monitor, beamline, look):
    ada = look(monitor.links["Ada"])
    ada.open()
    assert ada.state()["holds"] == [
        {"who": "camera", "why": "no recording is open"},
        {"who": "classifier", "why": "the film was not looked at yet"},
    ]


def test_what_is_left_of_the_current_is_told_beside_the_dose(tmp_path, look):
    envelope = Envelope(rare=RarePulses(budget_A2s_per_m4=4e14))
    spent = Spent(shots=2, dose_A2s_per_m4=1e14)
    with (
        simulated_beamline(tmp_path, envelope=envelope, spent=spent) as line,
        Monitor(line, people=People({"Ada": "operator"})) as page,
    ):
        ada = look(page.links["Ada"])
        ada.open()
        pulser = ada.state()["pulser"]
    assert pulser["current_A2s_per_m4"] == 1e14
    assert pulser["current_most_A2s_per_m4"] == 4e14


def test_frames_come_while_the_movie_runs(monitor, beamline, run, look):
    ada = look(monitor.links["Ada"])
    ada.open()
    beamline.camera.ends_early.put(0)
    ended = run(classify_shot(beamline, WEAK))
    seen = []
    while not seen or seen[-1] < 33:
        said = ada.socket.recv(20)
        if isinstance(said, bytes):
            seen.append(int.from_bytes(said[12:16], "little"))
        ada.socket.send("frame" if isinstance(said, bytes) else "state")
    assert seen[1:] == sorted(seen[1:])
    assert ended().label
    assert beamline.classifier.stale.get() == 0  # the page skips, nobody else does


def test_a_closed_page_leaves_the_beamline_as_it_was(beamline, tmp_path):
    for _ in range(2):
        with Monitor(beamline, people=People({"Ada": "operator"})) as monitor:
            assert monitor.url.startswith("http://127.0.0.1:")
            assert len(beamline.hub.consumers) == 2
    assert len(beamline.hub.consumers) == 1
    assert len(beamline.pulser.interlocks) == 3  # one latch, however many pages there were
    assert RunEngine({}, call_returns_result=True)(write(beamline)).plan_result.reached


@pytest.fixture
def recording(beamline):
    """Of a weak pulse that was classified."""
    beamline.camera.duration_ps.put(20.0)
    RunEngine({})(classify_shot(beamline, WEAK))
    return beamline.camera.recording


def test_a_recording_is_shown_with_nothing_to_act_on(recording):
    view = RecordedView(recording)
    state = view.state()
    (shot,) = state["history"]
    assert (state["kind"], view.controls) == ("recording", None)
    assert shot["pulse"] == str(WEAK)
    assert shot["frames"] == 5
    curve = view.curve(shot["shot"])
    with Recording(recording) as read:
        assert [point[0] for point in curve["points"]] == list(read.columns()["movie_time_ps"])[1:]
        assert curve["points"][-1][1:] == pytest.approx(read.verdicts[-1]["probabilities"])
    assert view.movie(shot["shot"], 2, 50).count(b"SKY1") == 2
    assert view.movie("nothing", 2, 50) is view.curve("nothing") is None
    json.dumps(state, allow_nan=False)


def test_a_movie_that_is_no_longer_kept_comes_from_its_recording(monitor, beamline, recording):
    (shot,) = monitor.state()["history"]
    assert monitor.movie(shot["shot"], 3, 50).count(b"SKY1") == 3
    monitor._film._movies.clear()
    assert monitor.movie(shot["shot"], 3, 50).count(b"SKY1") == 3
    assert monitor.movie("nothing", 3, 50) is None


def test_a_replayed_beamline_has_a_page_too(recording, tmp_path):
    with (
        Recording(recording) as read,
        replayed_beamline(read, tmp_path / "again") as line,
    ):
        watch = Watch(line.hub, line.streaming, "replay", "again")
        try:
            RunEngine({})(classify_shot(line, WEAK))
            state = watch.state()
        finally:
            watch.close()
    assert state["kind"] == "replay"
    assert [shot["frames"] for shot in state["history"]] == [5]
    json.dumps(state, allow_nan=False, default=int)
