"""Pause, resume, abort, stop, halt and Ctrl-C in a shot: one pulse a shot, no frame lost."""

import json
import signal
import subprocess
import sys
import threading

import pytest
from bluesky.plan_stubs import pause
from bluesky.suspenders import SuspendBoolHigh
from bluesky.utils import RunEngineInterrupted
from ophyd import Signal

from skyctl.beamline import simulated_beamline
from skyctl.errors import PulseRefused
from skyctl.plans import campaign, classify_shot, write
from skyctl.pulse import Pulse
from skyctl.recording.reader import Recording
from skyctl.simulators.lattice.film import FilmParameters
from skyctl.verdict import Verdict

NUDGE = Pulse(amplitude_T=2.0, width_ps=4.0)
MOVIE = 34


def pausing_after(plan, wanted):
    """The plan, with an immediate pause after each message that is ``wanted``."""
    answer = None
    while True:
        try:
            message = plan.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield message
        if wanted(message):
            yield from pause()


def run_through(engine, plan):
    """Run a plan and resume it whenever it pauses; its result, and how often it paused."""
    pauses = 0
    try:
        result = engine(plan)
    except RunEngineInterrupted:
        while True:
            pauses += 1
            try:
                result = engine.resume()
                break
            except RunEngineInterrupted:
                continue
    return result.plan_result, pauses


def assert_one_whole_shot(beamline, documents, fired, result):
    assert fired == [result.shot]
    assert result.problem == ""
    assert documents.counts() == {"looks": 1, "primary": 1}
    assert [event["seq_num"] for event in documents.events("primary")] == [1]
    assert documents.events("primary")[0]["data"]["pulser_shot"] == result.shot
    documents.assert_all_frames_documented_once(1 + MOVIE)
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == 1 + MOVIE


def on_first_verdict(beamline, action):
    """Call ``action`` once, while a movie is under way."""
    shots = []

    def listen(news):
        if isinstance(news, Verdict) and not shots:
            shots.append(news.shot)
            action()

    beamline.streaming.subscribe(listen)


def interrupt_in_the_movie(engine, beamline, plan):
    on_first_verdict(beamline, engine.request_pause)
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    assert engine.state == "paused"
    assert beamline.pulser.armed.get() == 0


def test_a_pause_after_each_message_changes_nothing(engine, beamline, documents, fired):
    plan = pausing_after(classify_shot(beamline, NUDGE), lambda message: True)
    result, pauses = run_through(engine, plan)
    assert pauses > 30
    assert_one_whole_shot(beamline, documents, fired, result)


def test_a_pause_after_each_message_of_a_task_fires_each_shot_once(
    engine, tmp_path, documents, weak
):
    film = FilmParameters(rows=30, columns=30)
    with simulated_beamline(tmp_path, parameters=film) as beamline:
        beamline.camera.duration_ps.put(20.0)
        plan = pausing_after(write(beamline, shots=2, memory=weak), lambda message: True)
        report, pauses = run_through(engine, plan)
        fired = [shot.shot for shot in report.shots]
        assert beamline.pulser.guard.shots_fired == len(set(fired)) == report.pulses == 2
    assert pauses > 100
    decided = [event["data"]["decisions_shot"] for event in documents.events("decisions")]
    assert decided == fired == [e["data"]["pulser_shot"] for e in documents.events("primary")]
    documents.assert_all_frames_documented_once(report.frames)


@pytest.mark.parametrize("command", ["checkpoint", "set", "trigger", "create", "save", "collect"])
def test_a_pause_after_one_kind_of_message_changes_nothing(
    engine, beamline, documents, fired, command
):
    plan = pausing_after(classify_shot(beamline, NUDGE), lambda message: message.command == command)
    result, pauses = run_through(engine, plan)
    assert pauses
    assert_one_whole_shot(beamline, documents, fired, result)


def test_a_pause_between_arming_and_firing_disarms(engine, beamline, documents, fired):
    plan = pausing_after(classify_shot(beamline, NUDGE), lambda message: message.command == "set")
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    assert beamline.pulser.armed.get() == 0
    with pytest.raises(PulseRefused, match="not armed"):
        beamline.pulser.trigger()
    assert fired == []
    assert_one_whole_shot(beamline, documents, fired, engine.resume().plan_result)


def test_an_immediate_pause_in_a_movie_fires_once_and_loses_nothing(
    engine, beamline, documents, fired
):
    interrupt_in_the_movie(engine, beamline, classify_shot(beamline, NUDGE))
    assert_one_whole_shot(beamline, documents, fired, engine.resume().plan_result)


def test_a_pause_that_outlasts_the_movie_loses_nothing(engine, beamline, documents, fired):
    interrupt_in_the_movie(engine, beamline, classify_shot(beamline, NUDGE))
    beamline.sample.wait_settled()
    assert_one_whole_shot(beamline, documents, fired, engine.resume().plan_result)


def test_a_deferred_pause_lets_the_shot_finish(engine, beamline, documents, fired):
    on_first_verdict(beamline, lambda: engine.request_pause(defer=True))
    with pytest.raises(RunEngineInterrupted):
        engine(write(beamline))
    assert len(fired) == documents.counts()["primary"] == 1
    report = engine.resume().plan_result
    assert report.reached
    assert len(fired) == len(set(fired)) == report.pulses == documents.counts()["primary"]
    documents.assert_all_frames_documented_once(documents.seen())


@pytest.mark.parametrize(
    ("end", "status"), [("abort", "abort"), ("stop", "success"), ("halt", "abort")]
)
def test_the_end_of_a_run_in_a_shot_leaves_all_in_order(
    engine, beamline, documents, fired, end, status
):
    interrupt_in_the_movie(engine, beamline, classify_shot(beamline, NUDGE))
    getattr(engine, end)()
    assert engine.state == "idle"
    assert beamline.pulser.armed.get() == 0
    assert len(fired) == 1
    assert documents.named("stop")[0]["exit_status"] == status
    with pytest.raises(PulseRefused, match="no recording is open"):
        beamline.pulser.set(NUDGE, shot="after")
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == 1 + MOVIE
        assert int(recording.ends[-1]["missing"]) == 0
    if end != "halt":  # a halt is asked to clean up nothing: its documents end where it hit
        documents.assert_all_frames_documented_once(1 + MOVIE)
    first = beamline.camera.recording
    result = engine(classify_shot(beamline, NUDGE)).plan_result
    assert beamline.camera.recording != first
    assert_one_whole_shot(beamline, documents, fired[1:], result)


@pytest.mark.parametrize("end", ["abort", "halt"])
def test_an_end_between_arming_and_firing_fires_nothing(engine, beamline, fired, end):
    plan = pausing_after(classify_shot(beamline, NUDGE), lambda message: message.command == "set")
    with pytest.raises(RunEngineInterrupted):
        engine(plan)
    getattr(engine, end)()
    assert fired == []
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == 1
    assert engine(classify_shot(beamline, NUDGE)).plan_result.problem == ""


def test_an_end_with_the_camera_waiting_for_its_pulse_does_not_hang(engine, beamline, fired):
    triggers = iter(range(10))

    def before_the_pulse(message):
        triggered = message.obj.name if message.command == "trigger" else ""
        return triggered == beamline.camera.name and next(triggers) == 1

    with pytest.raises(RunEngineInterrupted):
        engine(pausing_after(classify_shot(beamline, NUDGE), before_the_pulse))
    engine.abort()
    assert fired == []
    assert engine(classify_shot(beamline, NUDGE)).plan_result.problem == ""


def test_an_error_in_a_plan_disarms_and_closes_the_file(engine, beamline, fired):
    def broken():
        plan = classify_shot(beamline, NUDGE)
        answer = None
        while True:
            message = plan.send(answer)
            answer = yield message
            if message.command == "set":
                plan.throw(ZeroDivisionError("a user's mistake"))

    with pytest.raises(ZeroDivisionError):
        engine(broken())
    assert beamline.pulser.armed.get() == 0
    assert fired == []
    with Recording(beamline.camera.recording) as recording:
        assert recording.frame_count == 1


@pytest.mark.parametrize("when", ["set", "trigger", "in the movie"])
def test_a_suspender_that_trips_in_a_shot_fires_once_and_loses_nothing(
    engine, beamline, documents, fired, when
):
    lost, armed = Signal(name="lost", value=0), []

    def tripping(command):
        if command == when:
            trip()

    def trip():
        lost.put(1)
        threading.Timer(0.3, back).start()

    def back():
        armed.append(beamline.pulser.armed.get())
        lost.put(0)

    engine.install_suspender(SuspendBoolHigh(lost))
    if when == "in the movie":
        on_first_verdict(beamline, trip)
    plan = classify_shot(beamline, NUDGE)
    result = engine(after_each(plan, tripping)).plan_result
    assert armed
    assert set(armed) == {0}
    assert_one_whole_shot(beamline, documents, fired, result)


def after_each(plan, act):
    """The plan; ``act`` is called with the kind of each message that was done."""
    answer = None
    while True:
        try:
            message = plan.send(answer)
        except StopIteration as end:
            return end.value
        answer = yield message
        act(message.command)


def test_a_lost_stream_suspends_the_task_which_goes_on_when_it_is_back(
    engine, beamline, fired, weak, monkeypatch
):
    send, cut = beamline.publisher, []

    def wait_for_a_movie(timeout_s):
        for device in (beamline.camera, beamline.classifier):
            monkeypatch.setattr(device, "_timeout_s", timeout_s)

    def lose_the_first_movie(method):
        def sent(*args, **options):
            if len(fired) == 1 and len(cut) < 1 + MOVIE + 1:
                return cut.append(method)
            wait_for_a_movie(60.0 if cut else 3.0)  # what is sent may take long on a busy machine
            return getattr(type(send), method)(send, *args, **options)

        return sent

    for method in ("start", "frame", "end"):
        monkeypatch.setattr(send, method, lose_the_first_movie(method))
    report = engine(write(beamline, memory=weak)).plan_result
    assert cut[0] == "start"
    assert cut[-1] == "end"
    assert report.reached
    assert "no end of its movie" in report.shots[0].problem
    assert len(fired) == len(set(fired)) == report.pulses >= 2


def test_an_interlock_that_lets_go_again_only_holds_the_task(
    engine, beamline, fired, monkeypatch, documents
):
    monkeypatch.setattr(campaign, "BETWEEN_LOOKS_S", 0.0)
    held = ["the beam is lost"] * 2
    beamline.pulser.add_interlock(lambda: held.pop() if held else "")
    report = engine(write(beamline)).plan_result
    assert report.reached
    assert documents.counts()["looks"] == report.pulses + 1 + 2
    assert len(fired) == report.pulses


def test_an_interlock_that_never_lets_go_ends_the_task(engine, beamline, fired, monkeypatch):
    monkeypatch.setattr(campaign, "BETWEEN_LOOKS_S", 0.0)
    beamline.pulser.add_interlock(lambda: "the beam is lost")
    report = engine(write(beamline)).plan_result
    assert report.reason == "held fire: the beam is lost"
    assert fired == []


def test_a_stale_result_is_not_acted_on(engine, beamline, fired, monkeypatch):
    monkeypatch.setattr(campaign, "BETWEEN_LOOKS_S", 0.0)
    monkeypatch.setattr(beamline.classifier, "_max_delay_s", -1.0)  # every result is late
    report = engine(write(beamline)).plan_result
    assert "held fire: the result of shot" in report.reason
    assert fired == []


CHILD = """
import json, sys
from pathlib import Path
from bluesky import RunEngine
from bluesky.utils import RunEngineInterrupted
from skyctl.beamline import simulated_beamline
from skyctl.plans import cycle

folder = Path(sys.argv[1])
with simulated_beamline(folder, ledger=folder / "ledger.jsonl") as line:
    engine = RunEngine()
    engine.subscribe(lambda name, doc: print(name, flush=True))
    line.streaming.subscribe(lambda news: print(type(news).__name__, flush=True))
    try:
        engine(cycle(line, cycles=1000))
    except RunEngineInterrupted:
        armed = line.pulser.armed.get()
        engine.abort("Ctrl-C")
        print(json.dumps({
            "armed": armed, "state": engine.state, "fired": line.pulser.guard.shots_fired,
            "file": str(line.camera.recording),
        }), flush=True)
"""


def test_ctrl_c_twice_ends_a_run_in_order(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        for line in child.stdout:
            if line.strip() == "Verdict":  # a movie is under way; more come until the signals act
                child.send_signal(signal.SIGINT)
            if line.startswith("{"):
                said = json.loads(line)
                break
        _, errors = child.communicate(timeout=60)
    assert child.returncode == 0, errors
    assert said["armed"] == 0
    assert said["state"] == "idle"
    booked = (tmp_path / "ledger.jsonl").read_text().splitlines()
    assert len(booked) == said["fired"] >= 1
    with Recording(said["file"]) as recording:
        pulsed = [start.shot for start, _, _ in recording.shots() if start.pulse]
        assert pulsed == [json.loads(line)["shot"] for line in booked]
        assert [int(row["missing"]) for row in recording.ends] == [0] * len(recording.starts)


def test_a_killed_process_leaves_a_ledger_and_a_readable_file(tmp_path):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with child:
        verdicts = 0
        for line in child.stdout:
            verdicts += line.strip() == "Verdict"
            if verdicts == 60:  # in the second shot
                child.kill()
                break
        child.communicate(timeout=60)
    (file,) = tmp_path.glob("*.h5")
    with Recording(file) as recording:
        assert recording.frame_count >= 30
    booked = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    with simulated_beamline(tmp_path, ledger=tmp_path / "ledger.jsonl") as beamline:
        assert beamline.pulser.guard.shots_fired == len(booked) >= 1
